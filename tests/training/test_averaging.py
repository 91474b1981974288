"""Averages of the weights are those worked out by hand from the weights of each step, wherever they are used."""

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import Callback

from dlproj.config.checks import ConfigurationError
from dlproj.inference.trained import open_run
from dlproj.reports.run_page import run_page
from dlproj.reports.terminal import rows
from dlproj.runs.record import read_epochs, read_result, read_run
from dlproj.training import run as run_module
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.recording import RecordEarlyEnd
from dlproj.training.run import run

# 45 batches an epoch, of 29 samples but for the last one's 17: blocks of 7, of which an epoch's last holds 3.
QUICK = [
    *("data=digits", "data.batch_size=29", "model.hidden=[16]", "trainer.max_epochs=4"),
    *("trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false", "figures=none"),
]


def checkpoint(folder, which="last"):
    return torch.load(checkpoint_path(folder, which), weights_only=True)


def equal(first, second):
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


class Note(Callback):
    """Notes the weights after each optimizer step, in float64, and at the start of validations and of the test."""

    def __init__(self):
        self.steps, self.epochs, self.validated = [], [], []

    def on_train_start(self, trainer, model):
        trainer.optimizers[0].register_step_post_hook(lambda *_: self.steps.append(self.weights(model)))

    @staticmethod
    def weights(model):
        return {name: value.detach().double().numpy().copy() for name, value in model.named_parameters()}

    def on_train_epoch_end(self, trainer, model):
        self.epochs.append(self.weights(model))

    def on_validation_epoch_start(self, trainer, model):
        self.validated.append(self.weights(model))

    def on_test_start(self, trainer, model):
        self.tested = self.weights(model)


def add_callback(patch, callback):
    build = run_module.build_trainer
    patch.setattr(run_module, "build_trainer", lambda config, own, folder: build(config, [*own, callback], folder))


@pytest.fixture
def noted(composed, tmp_path, monkeypatch):
    def trained(*overrides):
        note = Note()
        add_callback(monkeypatch, note)
        run(composed(*QUICK, *overrides), tmp_path / "run")
        return note, checkpoint(tmp_path / "run")

    return trained


def assert_close(found, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(np.asarray(found[name]), value, rtol=0, atol=2e-6)


def ema(weights, decay):
    average = dict(weights[0])
    for later in weights[1:]:
        average = {name: decay * average[name] + (1 - decay) * later[name] for name in average}
    return average


@pytest.mark.parametrize("steps", [1, 7])
def test_ema_is_the_recursion_over_the_weights_of_each_step(steps, noted):
    note, last = noted("optim.ema_decay=0.95", f"trainer.steps_per_execution={steps}")
    assert len(note.steps) == 4 * 45
    for epoch, validated in enumerate(note.validated, start=1):
        assert_close(validated, ema(note.steps[: 45 * epoch], 0.95))
    assert_close(last["state_dict"], ema(note.steps, 0.95))
    assert_close(note.tested, ema(note.steps, 0.95))
    assert_close(last["averaging"]["state_dict"], note.steps[-1])
    assert_close(note.epochs[-1], note.steps[-1])  # training goes on with its own weights


@pytest.mark.parametrize(("start", "first"), [(0.0, 1), (0.5, 3), (0.75, 4)])
def test_swa_is_the_mean_of_the_weights_at_the_end_of_the_epochs_beyond_the_start(start, first, noted):
    note, last = noted(f"optim.swa_start={start}")
    ends = note.steps[44::45]
    for epoch in range(1, 5):
        expected = ends[epoch - 1 : epoch] if epoch < first else ends[first - 1 : epoch]
        assert_close(note.validated[epoch - 1], {name: np.mean([end[name] for end in expected], 0) for name in ends[0]})
    assert_close(note.tested, {name: np.mean([end[name] for end in ends[first - 1 :]], 0) for name in ends[0]})
    assert equal({**last["state_dict"]}, {name: torch.tensor(value).float() for name, value in note.tested.items()})


def test_ema_averages_the_statistics_of_batch_norm(composed, tmp_path, monkeypatch):
    statistics = []

    class Look(Callback):
        def on_train_start(self, trainer, model):
            look = lambda *_: statistics.append(
                {"mean": model.hidden[0].batch_norm.running_mean.double().numpy().copy()}
            )
            trainer.optimizers[0].register_step_post_hook(look)

    add_callback(monkeypatch, Look())
    run(composed(*QUICK, "model.batch_norm=true", "optim.ema_decay=0.95"), tmp_path)
    found = checkpoint(tmp_path)["state_dict"]["hidden.0.batch_norm.running_mean"]
    np.testing.assert_allclose(found, ema(statistics, 0.95)["mean"], rtol=1e-5)


def test_swa_computes_the_statistics_of_batch_norm_anew(composed, tmp_path):
    overrides = ["model.batch_norm=true", "optim.swa_start=0.5", "data.batch_size=1347", "trainer.max_epochs=10"]
    config = composed(*QUICK, *overrides)
    run(config, tmp_path)
    data = config.data.build(0)
    data.setup()
    loaded = open_run(tmp_path).model  # the training samples, 1617 or so, in one batch and a smaller one
    loader = data.train_dataloader()
    outputs = [loaded.hidden[0].linear(inputs.flatten(1)).double() for inputs, _ in loader]
    expected = torch.stack([values.mean(0) for values in outputs]).mean(0)
    torch.testing.assert_close(loaded.hidden[0].batch_norm.running_mean.double(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("averaging", ["optim.ema_decay=0.9", "optim.swa_start=0.3"])
@pytest.mark.parametrize("more", [["model.batch_norm=true", "model.dropout=0.2"]], ids=str)
def test_blocks_of_steps_end_with_the_averages_of_single_steps(averaging, more, composed, tmp_path):
    for steps in (1, 50):
        run(composed(*QUICK, averaging, *more, f"trainer.steps_per_execution={steps}"), tmp_path / str(steps))
    for part in ("state_dict", "averaging"):
        assert equal(checkpoint(tmp_path / "1")[part], checkpoint(tmp_path / "50")[part])
    assert read_epochs(tmp_path / "1") == read_epochs(tmp_path / "50")


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("averaging", "calls"),  # of seven calls an epoch
    [
        ("optim.ema_decay=0.9", 10),
        ("optim.swa_start=0.3", 17),
        *(pytest.param("optim.ema_decay=0.9", calls, marks=pytest.mark.slow) for calls in (4, 17, 28)),
        *(pytest.param("optim.swa_start=0.3", calls, marks=pytest.mark.slow) for calls in (4, 10, 28)),
        *(
            pytest.param(f"optim.ema_decay=0.9 {more}", 10, marks=pytest.mark.slow)
            for more in (
                "trainer.max_steps=150",
                "scheduler=one_cycle",
                "scheduler=step scheduler.step_size=1 scheduler.warmup_epochs=1.2",
                "scheduler=plateau scheduler.patience=1 scheduler.warmup_epochs=1 optim.learning_rate=0.05",
            )
        ),
    ],
)
def test_a_run_killed_within_an_epoch_ends_as_one_that_never_was(averaging, calls, composed, tmp_path, monkeypatch):
    class KillAfter(Callback):
        left = calls

        def on_train_batch_end(self, *args):
            self.left -= 1
            if self.left == 0:
                raise Killed

        on_train_batch_end.__module__ = "dlproj.training.test"  # content with blocks

    more = ["trainer.steps_per_execution=7", "callbacks.every_n_train_steps=14", "model.dropout=0.2"]
    config = composed(*QUICK, *averaging.split(), *more, "model.batch_norm=true")
    run(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        add_callback(patch, KillAfter())
        patch.setattr(RecordEarlyEnd, "on_exception", lambda *_: None)
        with pytest.raises(Killed):
            run(config, tmp_path / "killed")
    assert run(config, tmp_path / "killed", resume=True).status == "completed"
    for part in ("state_dict", "averaging", "optimizer_states", "lr_schedulers", "global_step"):
        assert equal(str(checkpoint(tmp_path / "whole")[part]), str(checkpoint(tmp_path / "killed")[part]))
    assert read_epochs(tmp_path / "whole") == read_epochs(tmp_path / "killed")
    assert read_result(tmp_path / "whole").metrics == read_result(tmp_path / "killed").metrics


def test_the_best_checkpoint_and_predictions_are_of_the_averages(noted, tmp_path):
    note, _ = noted("optim.ema_decay=0.95", "callbacks.early_stopping.restore_best=true")
    best = read_result(tmp_path / "run").best_epoch
    assert_close(checkpoint(tmp_path / "run", "best")["state_dict"], note.validated[best - 1])
    assert_close(open_run(tmp_path / "run").model.state_dict(), note.tested)


@pytest.mark.usefixtures("forked_processes")
@pytest.mark.slow
@pytest.mark.parametrize("averaging", ["optim.ema_decay=0.9", "optim.swa_start=0.3"])
def test_processes_that_share_batches_have_the_averages_of_one(averaging, composed, tmp_path):
    more = ["optim=sgd", "optim.learning_rate=0.1", "data.drop_last=true", averaging]
    run(composed(*QUICK, *more, "data.batch_size=32"), tmp_path / "one")
    run(composed(*QUICK, *more, "trainer=ddp", "trainer.threads=1", "data.batch_size=16"), tmp_path / "two")
    one, two = (checkpoint(tmp_path / name)["state_dict"] for name in ("one", "two"))
    assert_close(two, {name: value.double().numpy() for name, value in one.items()})


@pytest.mark.parametrize(("averaged", "words"), [(False, "last weights"), (True, "averaged weights of the last epoch")])
def test_it_is_said_whether_an_average_was_tested(averaged, words, composed, tmp_path):
    run(composed(*QUICK, "trainer.max_epochs=1", *(["optim.ema_decay=0.9"] if averaged else [])), tmp_path)
    done = read_run(tmp_path)
    assert done.result.averaged is averaged
    assert run_page(done)["score_label"] == f"test accuracy of the {words} (epoch 1)"
    assert dict(rows(done.result))["test accuracy"].endswith(f"({words})")


def test_training_that_ends_before_the_start_has_its_own_weights(composed, tmp_path, caplog):
    config = composed(*QUICK, "optim.swa_start=0.9", "callbacks.early_stopping.patience=1", "optim.learning_rate=1.0")
    run(config, tmp_path)
    assert "averaging" not in checkpoint(tmp_path)
    assert "no weights were averaged" in caplog.text


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optim.ema_decay=0.9", "optim.swa_start=0.5"], "both average the weights: set one of them"),
        (["optim.ema_decay=1.0"], r"optim\.ema_decay=1\.0 must be in \(0, 1\)"),
        (["optim.swa_start=1.0"], r"optim\.swa_start=1\.0 must be in \[0, 1\)"),
        (["optim.ema_decay=0.9", "trainer=fsdp"], "ema_decay needs each process to have all weights"),
        (["optim.swa_start=0.9", "trainer=pipeline"], "swa_start needs each process to have all weights"),
        (["optim.layer_decay=0.9", "trainer=tensor_parallel"], "layer_decay needs each process to have all weights"),
        (["optim.ema_decay=0.9", "trainer.precision=bf16-true"], "too coarse to average weights in: set bf16-mixed"),
    ],
)
def test_what_cannot_be_averaged_is_refused(overrides, message, composed):
    with pytest.raises(ConfigurationError, match=message):
        composed("data=digits", *overrides)
