"""The training set evaluated after each epoch: what a bare torch loop finds, and without a trace in anything else.

That several processes find what one does is tested where they train: test_run.py, test_model_parallel.py.
"""

import csv
import math

import pytest
import pytorch_lightning as pl
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional

from dlproj.models.classifier import Classifier
from dlproj.runs.inspection import read_inspection
from dlproj.runs.record import read_epochs, read_result
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.run import run, train
from dlproj.training.stopwatch import Stopwatch

QUICK = [
    "data=digits",
    "model.hidden=[16]",
    "data.batch_size=32",
    "data.eval_batch_size=100",
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.progress_bar=false",
    "figures=none",
]
ON = "trainer.evaluate_train=true"


def weights(folder):
    return torch.load(checkpoint_path(folder, "last"), weights_only=True)["state_dict"]


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


def evaluated(rows):
    """The columns of each epoch without those of the training set's evaluation."""
    return {epoch: {key: row[key] for key in row if not key.startswith("train_eval/")} for epoch, row in rows.items()}


def by_hand(model, data, count=None):
    """Mean loss and accuracy of the model on the first `count` training samples, in float64."""
    inputs, targets = data.transform(data.train.inputs[:count]), data.train.targets[:count]
    with torch.no_grad():
        logits = model.eval()(inputs).double()
    if logits.shape[1] == 1:
        loss = functional.binary_cross_entropy_with_logits(logits[:, 0], targets.double())
        return float(loss), float(((logits[:, 0] > 0) == targets).double().mean())
    return float(functional.cross_entropy(logits, targets)), float((logits.argmax(1) == targets).double().mean())


def test_each_epochs_row_is_what_a_bare_loop_finds_on_the_whole_training_set_after_it(composed, tmp_path):
    config = composed(*QUICK, ON, "scheduler=constant", "data.drop_last=true", "model.weight_l2=0.01")
    train(config, tmp_path)
    data = config.data.build(config.seed)
    data.setup()
    pl.seed_everything(config.seed, verbose=False)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    optimizer = torch.optim.Adam(model.parameters(), config.optim.learning_rate)
    kernels = [module.weight for module in model.modules() if isinstance(module, torch.nn.Linear)]
    loader, rows = data.train_dataloader(), read_epochs(tmp_path)
    assert len(loader) * 32 < len(data.train)
    for epoch in range(3):
        loader.batch_sampler.sampler.set_epoch(epoch)
        for inputs, targets in loader:
            optimizer.zero_grad()
            penalty = 0.01 * sum(kernel.square().sum() for kernel in kernels)
            (functional.cross_entropy(model(inputs), targets) + penalty).backward()
            optimizer.step()
        loss, accuracy = by_hand(model, data)
        penalty = 0.01 * sum(float(kernel.detach().double().square().sum()) for kernel in kernels)
        row = rows[epoch + 1]
        assert row["train_eval/loss"] == pytest.approx(loss + penalty, rel=1e-5)
        assert row["train_eval/data_loss"] == pytest.approx(loss, rel=1e-5)
        assert row["train_eval/penalty"] == pytest.approx(penalty, rel=1e-5)
        assert row["train_eval/penalty"] == row["val/penalty"] != row["train/penalty"]
        assert row["train_eval/accuracy"] == pytest.approx(accuracy, abs=1e-7)


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.dropout=0.5", "data.random_crop=2", "data.random_flip=true"],  # of which a pass has none
        ["model.batch_norm=true"],
        ["data.val=test"],
        ["trainer.limit_train_batches=2"],
        ["data=feature_sum", "data.train_samples=500", "model.outputs=1", "model.loss=binary_cross_entropy"],
        ["model=gru", "model.hidden=[8]", "model.image_reading=rows"],
        ["optim=sgd", "optim.learning_rate=1e30", "callbacks.terminate_on_nan=false"],
    ],
)
def test_the_last_row_is_that_of_the_weights_that_are_left(overrides, composed, tmp_path):
    config = composed(*QUICK, ON, *overrides)
    result = train(config, tmp_path)
    data = config.data.build(config.seed)
    data.setup()
    model = config.model.build(data.spec, config.optim, config.scheduler)
    model.load_state_dict(weights(tmp_path))
    loss, accuracy = by_hand(model, data)
    assert result.metrics["train_eval/loss"] == pytest.approx(loss, rel=1e-5, nan_ok=True)
    assert result.metrics["train_eval/accuracy"] == pytest.approx(accuracy, abs=1e-7)


@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize("network", [["model.dropout=0.3"], ["model=gru", "model.image_reading=rows"]])
def test_the_pass_changes_no_bit_of_anything_else(steps, network, composed, tmp_path):
    settings = [*QUICK, *network, "model.hidden=[16]", "data.random_crop=1", f"trainer.steps_per_execution={steps}"]
    without, with_it = (run(composed(*settings, *more), tmp_path / name) for name, more in (("off", []), ("on", [ON])))
    assert equal(weights(tmp_path / "off"), weights(tmp_path / "on"))
    rows = read_epochs(tmp_path / "on")
    assert all(math.isfinite(row["train_eval/loss"]) for row in rows.values())
    assert evaluated(rows) == read_epochs(tmp_path / "off")
    assert with_it.confusion_matrix == without.confusion_matrix


def test_blocks_and_single_batches_give_the_same_rows(composed, tmp_path):
    for steps in (1, 7):
        run(composed(*QUICK, ON, "model.dropout=0.3", f"trainer.steps_per_execution={steps}"), tmp_path / str(steps))
    assert read_epochs(tmp_path / "1") == read_epochs(tmp_path / "7")


def test_a_limit_of_validation_is_one_of_the_pass_too(composed, tmp_path):
    config = composed(*QUICK, ON, "trainer.limit_val_batches=2")
    result = train(config, tmp_path)
    data = config.data.build(config.seed)
    data.setup()
    model = config.model.build(data.spec, config.optim, config.scheduler)
    model.load_state_dict(weights(tmp_path))
    loss, accuracy = by_hand(model, data, count=200)
    assert result.metrics["train_eval/loss"] == pytest.approx(loss, rel=1e-5)
    assert result.metrics["train_eval/accuracy"] == pytest.approx(accuracy, abs=1e-7)


def test_the_figures_stand_wherever_those_of_validation_do(composed, tmp_path):
    train(composed(*QUICK, ON), tmp_path)
    rows, summary = read_epochs(tmp_path), read_result(tmp_path).metrics
    events = EventAccumulator(str(tmp_path)).Reload()
    for name in ("loss", "accuracy"):
        assert summary[f"train_eval/{name}"] == rows[3][f"train_eval/{name}"]
        points = {event.step: event.value for event in events.Scalars(f"train_eval/{name}")}
        assert points == pytest.approx({epoch: row[f"train_eval/{name}"] for epoch, row in rows.items()})
    with (tmp_path / "metrics.csv").open() as file:
        columns = csv.DictReader(file).fieldnames
    assert {name.split("/")[1] for name in columns if name.startswith("train_eval/")} == {
        name.split("/")[1] for name in columns if name.startswith("val/")
    }


def test_units_are_dead_by_validation_alone(composed, tmp_path):
    few = [*QUICK, "figures.dead_units=true", "data.val_fraction=0.005", "model.hidden=[64]"]
    for name, more in (("off", []), ("on", [ON])):
        train(composed(*few, *more), tmp_path / name)
    off, on = (read_inspection(tmp_path / name).dead_units for name in ("off", "on"))
    assert off == on
    assert on["hidden.0"][1] > 0  # of eight samples; few units say the same to all of training


def test_the_pass_is_timed_as_validation(composed, tmp_path, monkeypatch):
    events = []
    for cls, name in (
        (Stopwatch, "on_validation_start"),
        (Classifier, "validation_step"),
        (Stopwatch, "on_validation_end"),
    ):
        whole = getattr(cls, name)
        monkeypatch.setattr(cls, name, noting(events, name, whole))
    train(composed(*QUICK, ON, "trainer.max_epochs=1"), tmp_path)
    steps = [("validation_step", loader) for loader, batches in ((0, 2), (1, 13)) for _ in range(batches)]
    assert events == [("on_validation_start", 0), *steps, ("on_validation_end", 0)]


def noting(events, name, whole):
    def noted(self, batch, batch_idx, dataloader_idx=0):
        events.append((name, dataloader_idx))
        return whole(self, batch, batch_idx, dataloader_idx) if name == "validation_step" else whole(self)

    return noted
