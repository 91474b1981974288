import csv
import json
import shutil

import ctrl_c
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from dlproj.config.checks import ConfigurationError, DataError, UserError
from dlproj.config.data import FIRST_WORD, Side
from dlproj.config.images import DigitsConfig
from dlproj.config.root import load
from dlproj.data.vocabulary import UNKNOWN
from dlproj.inference import evaluate as evaluation
from dlproj.inference.evaluate import evaluate, other_data
from dlproj.inference.trained import open_run


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def recorded(folder, split):
    return {key: value for key, value in summary(folder).items() if key.startswith(f"{split}/")}


@pytest.mark.parametrize("kind", ["digits", "reviews"])
def test_the_figures_are_those_of_training_to_the_digit(kind, request):
    folder = request.getfixturevalue(kind)
    outcome = evaluate(open_run(folder))
    assert outcome.metrics == recorded(folder, "test")
    assert outcome.confusion_matrix == summary(folder)["confusion_matrix"]
    assert outcome.equals_training() is True


def test_validation_is_that_of_the_checkpoints_epoch(digits):
    with (digits / "metrics.csv").open() as file:
        rows = {int(row["epoch"]): row for row in csv.DictReader(file)}
    epochs = {"last": 4, "best": summary(digits)["best_epoch"]}
    assert epochs["best"] < 4
    for which, epoch in epochs.items():
        outcome = evaluate(open_run(digits, which), "val")
        wanted = {key: float(value) for key, value in rows[epoch].items() if key.startswith("val/")}
        assert outcome.metrics == outcome.recorded == wanted
        assert outcome.samples == 144


def test_the_training_set_gets_the_figures_of_the_epochs_own_evaluation_of_it(digits, reviews, trained_run):
    limited = trained_run(
        *("data=digits", "model.hidden=[8]", "model.dropout=0.5", "trainer.max_epochs=2"),
        *("trainer.evaluate_train=true", "trainer.limit_val_batches=3", "data.eval_batch_size=100"),
    )
    for folder, samples in ((reviews, 36), (limited, 300)):
        outcome = evaluate(open_run(folder), "train")
        wanted = {f"train/{key.split('/')[1]}": value for key, value in recorded(folder, "train_eval").items()}
        assert outcome.metrics == outcome.recorded == wanted
        assert outcome.samples == samples
    assert evaluate(open_run(digits), "train").recorded == {}  # its train/* are means over moving weights


def test_the_best_weights_where_training_tested_those(trained_run):
    folder = trained_run(
        *("data=digits", "model.hidden=[8]", "model.weight_l2=0.001", "trainer.max_epochs=4", "optim=sgd"),
        *("optim.learning_rate=30", "callbacks.early_stopping.restore_best=true", "trainer.limit_test_batches=1"),
        "data.eval_batch_size=100",
    )
    outcome = evaluate(open_run(folder))
    assert outcome.weights == "best"
    assert outcome.metrics == recorded(folder, "test")
    assert set(outcome.metrics) >= {"test/data_loss", "test/penalty"}
    assert evaluate(open_run(folder, "last")).equals_training() is None


def test_a_run_that_is_tested_in_training_mode_is_evaluated_so(trained_run):
    """Test batches are normalised by themselves: other ones give other figures."""
    settings = ("data=digits", "model.hidden=[16]", "model.batch_norm=true", "trainer.max_epochs=1")
    folder = trained_run(*settings, "model.eval_mode=false", "data.eval_batch_size=7")
    outcome = evaluate(open_run(folder))
    assert outcome.metrics == recorded(folder, "test")
    assert outcome.equals_training() is True
    assert outcome.metrics != recorded(trained_run(*settings), "test")
    assert evaluate(open_run(folder), settings=["eval_batch_size=90"]).metrics != outcome.metrics
    with pytest.raises(ConfigurationError, match=r"360 in batches of 359 leave a batch of 1: set model\.eval"):
        evaluate(open_run(folder), settings=["eval_batch_size=359"])


def test_dropout_in_the_test_makes_other_figures_and_is_said_to(trained_run, caplog):
    settings = ("data=digits", "model.hidden=[16]", "model.dropout=0.5", "trainer.max_epochs=1")
    folder = trained_run(*settings, "model.eval_mode=false")
    outcome = evaluate(open_run(folder))
    assert outcome.equals_training() is False
    message = "model.eval_mode=false: dropout drops other units than in training, so the figures differ"
    assert message in caplog.messages
    assert evaluate(open_run(folder)).metrics == outcome.metrics


def test_evaluating_in_training_mode_leaves_the_model_as_it_was(trained_run):
    settings = ("data=digits", "model.hidden=[16]", "model.batch_norm=true", "trainer.max_epochs=1")
    trained = open_run(trained_run(*settings, "model.eval_mode=false"))
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    evaluate(trained)
    assert all(torch.equal(before[name], value) for name, value in trained.model.state_dict().items())


def test_figures_that_are_not_finite_are_the_same_too(trained_run):
    folder = trained_run("data=digits", "trainer.max_epochs=1", "optim=sgd", "optim.learning_rate=1e30")
    outcome = evaluate(open_run(folder))
    assert outcome.recorded["test/loss"] is None
    assert outcome.equals_training() is True


def test_ctrl_c_stays_what_it_is(digits, monkeypatch):
    """Lightning would end the process with exit code 1."""

    def interrupted(*_):
        raise KeyboardInterrupt

    trained = open_run(digits)
    monkeypatch.setattr(trained.model, "test_step", interrupted)
    with ctrl_c.heeded(), pytest.raises(KeyboardInterrupt):  # Lightning ignores it from then on
        evaluate(trained)


@pytest.mark.usefixtures("forked_processes")
def test_a_run_of_two_processes(trained_run):
    """Each of them has added up its own batches, so the order of the sums is another than in one process."""
    folder = trained_run(
        *("data=digits", "trainer=ddp", "trainer.threads=1", "trainer.max_epochs=1", "data.eval_batch_size=17")
    )
    outcome = evaluate(open_run(folder))
    assert outcome.metrics == recorded(folder, "test")
    assert outcome.confusion_matrix == summary(folder)["confusion_matrix"]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_the_runs_own_precision(precision, trained_run):
    folder = trained_run("data=digits", "model.hidden=[8]", "trainer.max_epochs=1", f"trainer.precision={precision}")
    assert evaluate(open_run(folder)).metrics == recorded(folder, "test")


def test_an_lstm_is_evaluated_in_the_arithmetic_in_which_it_was_trained(trained_run, caplog):
    folder = trained_run(
        *("data=feature_sum", "data.train_samples=200", "data.test_samples=50", "model=lstm", "model.hidden=[4]"),
        *("trainer.max_epochs=1", "trainer.precision=bf16-mixed", "figures=none"),
    )
    caplog.clear()
    assert evaluate(open_run(folder)).metrics == recorded(folder, "test")
    assert [record.message for record in caplog.records] == summary(folder)["fallbacks"]


def test_a_run_of_another_machine_needs_its_folder_only(reviews, reviews_root, tiny_reviews, tmp_path, monkeypatch):
    folder = shutil.copytree(reviews, tmp_path / "run")
    monkeypatch.setenv("DLPROJ_DATA_DIR", str(shutil.copytree(reviews_root, tmp_path / "data")))
    settings = (folder / "config.yaml").read_text().replace(str(reviews_root), "/another/machine/data")
    (folder / "config.yaml").write_text(settings)
    assert evaluate(open_run(folder)).equals_training() is True


def test_a_run_in_16_mixed_is_evaluated_in_32_bits_where_there_is_no_gpu(digits, tmp_path, caplog):
    if torch.cuda.is_available():
        pytest.skip("is about machines without a GPU")
    folder = shutil.copytree(digits, tmp_path / "run")
    settings = (folder / "config.yaml").read_text()
    settings = settings.replace("precision: 32-true", "precision: 16-mixed").replace(
        "accelerator: cpu", "accelerator: gpu"
    )
    (folder / "config.yaml").write_text(settings)
    assert load(folder / "config.yaml").trainer.precision == "16-mixed"
    assert evaluate(open_run(folder)).metrics == recorded(digits, "test")
    assert "16-mixed, which needs a GPU: evaluated in 32-true" in caplog.text


def test_the_training_samples_are_read_without_dropout_and_in_order(digits):
    trained = open_run(digits)
    outcome = evaluate(trained, "train")
    data = DigitsConfig().build(0)
    data.setup()
    guesses = trained.logits(data.train.inputs).argmax(1)
    assert outcome.metrics["train/accuracy"] == pytest.approx(accuracy_score(data.train.targets, guesses), abs=1e-6)
    assert outcome.metrics["train/macro_f1"] == pytest.approx(f1_score(data.train.targets, guesses, average="macro"))
    assert outcome.confusion_matrix == confusion_matrix(data.train.targets, guesses).tolist()
    assert outcome.recorded == {}


@pytest.fixture
def tree(tmp_path):
    """The digits' test images as files, in a tree whose training images are other ones: black."""
    data = DigitsConfig().build(0)
    data.setup()
    for number, (pixels, target) in enumerate(zip(data.test.inputs[:, 0], data.test.targets, strict=True)):
        for split in ("train", "test"):
            folder = tmp_path / "tree" / split / str(int(target))
            folder.mkdir(parents=True, exist_ok=True)
            grey = np.rint(pixels.numpy() * (255 / 16)).astype(np.uint8) * (split == "test")
            Image.fromarray(grey).save(folder / f"{number}.png")
    return tmp_path / "tree"


def test_other_data_is_scaled_as_the_training_data_was(tree, trained_run):
    """A model of the same images in a tree: the tree with black training images would be scaled otherwise."""
    settings = ["image_folder", f"root={tree}", "channels=1", "image_size=8"]
    copy = shutil.copytree(tree, tree.with_name("training"))
    shutil.rmtree(copy / "train")
    shutil.copytree(copy / "test", copy / "train")
    folder = trained_run(
        *("data=image_folder", f"data.root={copy}", "data.channels=1", "data.image_size=8", "trainer.max_epochs=5"),
        *("model.hidden=[16]", "data.scaling=standardize", "data.batch_size=16"),
    )
    shutil.rmtree(copy)
    for choice in (settings, settings[1:2], [f"data.root={tree}"]):
        outcome = evaluate(open_run(folder), settings=choice)
        wanted = recorded(folder, "test")
        assert outcome.metrics["test/accuracy"] == wanted["test/accuracy"]
        assert outcome.metrics["test/loss"] == pytest.approx(wanted["test/loss"], rel=1e-6)
        assert outcome.equals_training() is None  # the data is other data


def test_other_reviews_are_read_with_the_words_of_training(reviews, reviews_root, tiny_reviews, tmp_path):
    root = shutil.copytree(reviews_root, tmp_path / "other")
    for folder in ("neg", "pos"):
        for path in (root / "aclImdb" / "train" / folder).iterdir():
            path.write_text("zebra zebra film2 quagga")
    trained = open_run(reviews)
    data = evaluation.data_of(trained, [f"root={root}"])
    places = {word: place for place, word in enumerate(trained.data.words, FIRST_WORD)}
    known = places.get("film2", UNKNOWN)
    assert data.train.inputs[0].tolist() == [1, UNKNOWN, UNKNOWN, known, UNKNOWN, 0, 0, 0]
    outcome = evaluate(trained, settings=[f"root={root}"])
    assert outcome.metrics == recorded(reviews, "test")  # the test reviews are the same
    assert outcome.recorded == {}


def test_settings_of_the_data_are_checked_like_those_of_training():
    config = DigitsConfig(batch_size=7)
    assert other_data(config, ["eval_batch_size=3"]) == DigitsConfig(batch_size=7, eval_batch_size=3)
    other = other_data(config, ["imdb", "padding=post"])
    assert (other.padding, other.batch_size) == (Side.post, 7)
    for settings, message in (
        (["scalling=none"], r"unknown setting data.scalling: did you mean data.scaling\?"),
        (["root=x"], r"data.root has no effect: leave it out, as this data needs no files"),
        (["eval_batch_size=0"], r"data.eval_batch_size=0 must be in"),
        (["svhn"], r"--data=svhn must be one of fmnist, "),
        (["imdb", "digits"], r"--data names imdb and digits: name one data set"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            other_data(config, settings)


def test_data_that_the_model_cannot_classify(digits, tree, reviews, reviews_root, tiny_reviews):
    trained = open_run(digits)
    folder = ["image_folder", f"root={tree}", "channels=1", "image_size=8"]
    for settings, message in (
        (["cifar10"], r"the model has 10 classes, this data has 10, and only one of them has 0, 1, 2, 3, 4, …: "),
        (folder[:2], r"of shape 1 × 8 × 8, this has 3 × 32 × 32: set --data channels=1 --data image_size=8"),
        (["feature_sum"], r"10 classes, this data has 2"),
        (folder, r"trained with largest_pixel=16, this data has 255: choose data with the same"),
        (["scaling=none"], r"trained with scaling=standardize, this data has none"),
    ):
        with pytest.raises(DataError, match=message):
            evaluate(trained, settings=settings)
    with pytest.raises(DataError, match=r"of vocabulary_size 14, this has 50: choose data like it"):
        evaluate(open_run(reviews), settings=["vocabulary_size=50"])
    with pytest.raises(UserError, match=r"--split=tset must be one of train, val, test"):
        evaluate(trained, "tset")
