"""What a fold's run keeps of its test: the predictions of the model it leaves, for each sample once."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from dlproj.inference.evaluate import evaluate
from dlproj.inference.trained import open_run
from dlproj.models.losses import class_probabilities
from dlproj.runs.predictions import read_predictions
from dlproj.runs.record import read_run
from dlproj.training.run import run, train

pytestmark = pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)")
QUICK = ["data=digits", "model.hidden=[16]", "trainer.accelerator=cpu", "figures=none", "trainer.max_epochs=1"]
FOLD = [*QUICK, "data.folds=3", "data.fold=1", "data.split_seed=4", "data.eval_batch_size=100"]


@pytest.fixture(scope="module")
def trained(composed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fold")
    train(composed(*FOLD), folder)
    return open_run(folder)


def test_they_are_the_models_for_the_samples_of_scikit_learns_fold(trained):
    everything, _ = trained.data.load()
    splits = StratifiedKFold(3, shuffle=True, random_state=4).split(everything.targets, everything.targets)
    _, tested = list(splits)[1]
    frame = read_predictions(read_run(trained.folder))
    assert frame["index"].tolist() == tested.tolist()
    assert frame["true"].tolist() == [str(int(target)) for target in everything.targets[tested]]
    wanted = class_probabilities(trained.logits(everything.inputs[tested]), trained.model.activation).numpy()
    assert frame.iloc[:, 3:].to_numpy() == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    assert frame["predicted"].tolist() == list(map(str, wanted.argmax(1)))
    hits = (frame["true"] == frame["predicted"]).mean()
    assert hits == pytest.approx(read_run(trained.folder).result.metrics["test/accuracy"])


def test_evaluating_the_run_evaluates_the_same_fold(trained):
    evaluated = evaluate(trained)
    assert evaluated.equals_training()
    assert evaluated.samples == 479  # a third of 1,437


@pytest.mark.slow
@pytest.mark.usefixtures("forked_processes")
def test_two_processes_gather_them_in_the_order_of_the_data(composed, tmp_path, trained):
    run(composed(*FOLD, "data.batch_size=16", "trainer=ddp", "trainer.threads=1"), tmp_path / "two")
    one, two = (read_predictions(read_run(folder)) for folder in (trained.folder, tmp_path / "two"))
    assert two.iloc[:, :2].equals(one.iloc[:, :2])
    both = open_run(tmp_path / "two")
    everything, _ = both.data.load()
    probabilities = both.logits(everything.inputs[two["index"].tolist()]).softmax(1)
    assert two.iloc[:, 3:].to_numpy() == pytest.approx(probabilities.numpy(), rel=1e-4, abs=1e-6)


def test_a_limited_test_leaves_no_file_and_a_run_without_folds_neither(composed, tmp_path):
    train(composed(*FOLD, "trainer.limit_test_batches=1"), tmp_path / "limited")
    train(composed(*QUICK), tmp_path / "whole")
    assert not list(tmp_path.glob("*/test_predictions.csv"))


def test_one_output_for_two_classes_gives_both_probabilities(composed, tmp_path):
    binary = ["model.outputs=1", "model.loss=binary_cross_entropy", "model.output.activation=sigmoid"]
    made = ["data=feature_sum", "data.train_samples=60", "data.test_samples=10", "data.folds=2"]
    train(composed(*QUICK[1:], *made, *binary), tmp_path)
    frame = read_predictions(read_run(tmp_path))
    assert frame["index"].size == 30
    assert np.allclose(frame.iloc[:, 3:].sum(axis=1), 1, atol=1e-5)
