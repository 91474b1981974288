"""A run that was stopped anywhere and goes on ends with the bits of one that never was."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ctrl_c
import pytest
import torch
from PIL import Image
from pytorch_lightning.callbacks import Callback

from dlproj.config.checks import ConfigurationError, DataError
from dlproj.models.classifier import Classifier
from dlproj.runs.record import read_epochs, read_result
from dlproj.training import run as run_module
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.monitors.loggers import EpochTable
from dlproj.training.recording import RecordEarlyEnd
from dlproj.training.run import resume_run, run

DIGITS = [
    "data=digits",
    "model.hidden=[16]",
    "model.dropout=0.3",
    "trainer.max_epochs=4",
    "trainer.progress_bar=false",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "data.batch_size=32",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Call with settings: the folder of a run of them that was never stopped, trained once for all who ask."""
    folders = {}

    def trained(config, overrides=()):
        key = str(config)
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("whole")
            run(config, folders[key], overrides)
        return folders[key]

    return trained


class Killed(BaseException):
    """As SIGKILL: nobody records it."""


class KillAfter(Callback):
    """Ends the process's work in the moment after a batch, like a kill: what was written before is what there is."""

    def __init__(self, calls):
        self.calls = calls

    def on_train_batch_end(self, *args):
        self.calls -= 1
        if self.calls == 0:
            raise Killed

    on_train_batch_end.__module__ = "dlproj.training.test"  # content with blocks


def add_callback(patch, callback):
    """Have the trainer of the next run call it, too."""
    build = run_module.build_trainer
    adding = lambda config, callbacks, folder: build(config, [*callbacks, callback], folder)
    patch.setattr(run_module, "build_trainer", adding)


def killed_after(calls, monkeypatch, config, folder):
    """Train until so many calls of training_step are done; nothing of what Python would tidy up happens."""
    with monkeypatch.context() as patch:
        add_callback(patch, KillAfter(calls))
        patch.setattr(RecordEarlyEnd, "on_exception", lambda *_: None)
        with pytest.raises(Killed):
            run(config, folder)


def outcome(folder):
    """What must be the same: weights, metrics by epoch, and the summary but for time, memory and the folder."""
    checkpoint = torch.load(checkpoint_path(folder, "last"), weights_only=True)
    result = replace(read_result(folder), folder="", seconds=0, samples_per_second=0, peak_memory_bytes=0)
    inspection = (folder / "inspection.json").read_text() if (folder / "inspection.json").exists() else ""
    return checkpoint["state_dict"], read_epochs(folder), result, inspection


def assert_same(folder, other):
    mine, theirs = outcome(folder), outcome(other)
    assert str(mine[1:]) == str(theirs[1:])  # NaN is the same as NaN here
    assert all(value.numpy().tobytes() == theirs[0][name].numpy().tobytes() for name, value in mine[0].items())


# 41 batches an epoch: a call each, or six of seven batches at most
@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize("scheduler", ["cosine", "plateau"])
@pytest.mark.parametrize("share", [0.2, 0.45, 0.6, 0.99])
def test_a_killed_run_ends_as_one_that_never_was(steps, scheduler, share, whole, composed, tmp_path, monkeypatch):
    more = [
        f"trainer.steps_per_execution={steps}",
        f"scheduler={scheduler}",
        "optim=momentum",
        "figures=none",
        "callbacks.every_n_train_steps=14",
        "callbacks.early_stopping.patience=3",
        "trainer.evaluate_train=true",
    ]
    config = composed(*DIGITS, *more)
    killed_after(int(share * 4 * -(-41 // steps)), monkeypatch, config, tmp_path / "killed")
    before = torch.load(checkpoint_path(tmp_path / "killed", "last"), weights_only=True)
    assert run(config, tmp_path / "killed", resume=True).status == "completed"
    assert before["global_step"] > 0
    assert_same(tmp_path / "killed", whole(config))


@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_mixed_and_drawn_samples_and_frozen_layers_go_on_as_if_never_stopped(
    steps, whole, composed, tmp_path, monkeypatch
):
    more = [
        *("data.mixup=0.3", "data.sampling=balanced", "model.hidden=[16,8]", "model.batch_norm=true"),
        *("model.freeze=[hidden.0]", "model.label_smoothing=0.1", "model.class_weights=[1,2,1,1,1,1,1,1,1,1]"),
        *(f"trainer.steps_per_execution={steps}", "callbacks.every_n_train_steps=14", "figures=none"),
    ]
    config = composed(*DIGITS, *more)
    killed_after(int(0.45 * 4 * -(-41 // steps)), monkeypatch, config, tmp_path / "killed")
    assert run(config, tmp_path / "killed", resume=True).status == "completed"
    assert_same(tmp_path / "killed", whole(config))


@pytest.mark.parametrize("steps", [1, 50])
@pytest.mark.parametrize("share", [0.3, 0.5])
def test_a_killed_run_of_limited_steps_leaves_no_epoch_out(steps, share, whole, composed, tmp_path, monkeypatch):
    """Of four epochs it is killed in the second, or in the third before that has a checkpoint of its own."""
    config = composed(*DIGITS, f"trainer.steps_per_execution={steps}", "trainer.max_steps=150", "figures=none")
    calls = -(-41 // steps)
    killed_after(int(share * 4 * calls) + 1, monkeypatch, config, tmp_path / "killed")
    assert run(config, tmp_path / "killed", resume=True).stop_reason == "reached max_steps=150"
    assert_same(tmp_path / "killed", whole(config))


@pytest.mark.parametrize("epoch", [2, 4])
def test_a_kill_between_an_epochs_checkpoint_and_its_record_loses_neither(
    epoch, whole, composed, tmp_path, monkeypatch
):
    config = composed(*DIGITS, "figures=none", "trainer.evaluate_train=true")
    log = EpochTable.log_metrics

    def die(self, metrics, step=None):
        if "train/loss" in metrics and metrics["epoch"] + 1 == epoch:
            raise Killed
        log(self, metrics, step)

    with monkeypatch.context() as patch:
        patch.setattr(EpochTable, "log_metrics", die)
        patch.setattr(RecordEarlyEnd, "on_exception", lambda *_: None)
        with pytest.raises(Killed):
            run(config, tmp_path / "killed")
    assert "train/loss" not in read_epochs(tmp_path / "killed")[epoch]
    run(config, tmp_path / "killed", resume=True)
    assert_same(tmp_path / "killed", whole(config))


class SignalAfter(Callback):
    """Sends this process a signal while it is in the batch after so many."""

    def __init__(self, calls, sent):
        self.calls = calls
        self.sent = sent

    def on_train_batch_start(self, *args):
        if self.calls == 0:
            os.kill(os.getpid(), self.sent)
        self.calls -= 1


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_training_after_its_batch_and_nothing_is_trained_again(
    sent, code, whole, composed, tmp_path, monkeypatch, capsys
):
    config = composed(
        *DIGITS,
        "figures=all",
        "figures.gradients=true",
        "callbacks.early_stopping.restore_best=true",
        "trainer.evaluate_train=true",
    )
    with monkeypatch.context() as patch, ctrl_c.heeded():
        add_callback(patch, SignalAfter(60, sent))
        with pytest.raises(SystemExit) as ended:
            run(config, tmp_path / "stopped")
    assert ended.value.code == code
    assert f"interrupted: dlproj resume {os.path.relpath(tmp_path / 'stopped')} goes on" in capsys.readouterr().err
    result = read_result(tmp_path / "stopped")
    assert (result.status, result.stop_reason) == ("interrupted", sent.name)
    assert torch.load(checkpoint_path(tmp_path / "stopped", "last"), weights_only=True)["global_step"] == 61
    run(config, tmp_path / "stopped", resume=True)
    assert_same(tmp_path / "stopped", whole(config))


def stopped_by_signal(calls, monkeypatch, config, folder):
    with monkeypatch.context() as patch, ctrl_c.heeded():
        add_callback(patch, SignalAfter(calls, signal.SIGINT))
        with pytest.raises(SystemExit):
            run(config, folder)


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.accumulate_grad_batches=4"],  # a signal within a step waits for its end
        ["trainer.val_check_interval=12", "scheduler=plateau"],  # whose metric was logged before
        ["trainer.val_check_interval=12", "trainer.evaluate_train=true"],
    ],
)
def test_steps_of_several_batches_and_metrics_logged_before_are_kept(overrides, composed, tmp_path, monkeypatch):
    config = composed(*DIGITS, "figures=none", *overrides)
    run(config, tmp_path / "whole")
    stopped_by_signal(17, monkeypatch, config, tmp_path / "stopped")
    assert checkpoint_path(tmp_path / "stopped", "last").exists()
    run(config, tmp_path / "stopped", resume=True)
    assert_same(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize(
    "overrides",
    [
        ["callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=100"],
        ["optim=sgd", "optim.learning_rate=1e30"],
    ],
)
def test_a_run_that_had_stopped_and_was_killed_in_its_test_stops_again(overrides, composed, tmp_path, monkeypatch):
    config = composed(*DIGITS, "figures=none", *overrides)
    whole = run(config, tmp_path / "whole")
    assert whole.last_epoch < 4
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "test_step", lambda *_: (_ for _ in ()).throw(Killed))
        patch.setattr(RecordEarlyEnd, "on_exception", lambda *_: None)
        with pytest.raises(Killed):
            run(config, tmp_path / "killed")
    result = run(config, tmp_path / "killed", resume=True)
    assert (result.status, result.stop_reason) == (whole.status, whole.stop_reason)
    assert_same(tmp_path / "killed", tmp_path / "whole")


def test_a_moved_run_remembers_which_weights_were_best(composed, tmp_path, monkeypatch):
    config = composed(
        *DIGITS,
        "figures=none",
        "callbacks.early_stopping.restore_best=true",
        "optim.learning_rate=1",
        "trainer.max_epochs=6",
    )
    whole = run(config, tmp_path / "whole")
    assert whole.best_epoch < 5
    killed_after(
        5 * 41 + 3,
        monkeypatch,
        composed(
            *DIGITS,
            "trainer.steps_per_execution=1",
            "figures=none",
            "callbacks.early_stopping.restore_best=true",
            "optim.learning_rate=1",
            "trainer.max_epochs=6",
        ),
        tmp_path / "killed",
    )
    (tmp_path / "killed").rename(tmp_path / "moved")
    config.trainer.steps_per_execution = 1
    result = run(config, tmp_path / "moved", resume=True)
    assert result.metrics["test/loss"] == whole.metrics["test/loss"]


def test_what_another_run_left_is_not_gone_on_from(composed, tmp_path, monkeypatch):
    run(composed(*DIGITS, "figures=none", "trainer.max_epochs=1"), tmp_path)
    config = composed(*DIGITS, "figures=none", "seed=1", "trainer.steps_per_execution=1", "overwrite=true")
    killed_after(3, monkeypatch, config, tmp_path)
    assert not checkpoint_path(tmp_path, "last").exists()


def test_a_run_that_has_ended_is_left_as_it_is(composed, tmp_path):
    config = composed(*DIGITS, "trainer.max_epochs=1", "figures=none", "callbacks.resume=auto")
    first = run(config, tmp_path)  # in an empty folder it begins
    written = (tmp_path / "summary.json").stat().st_mtime_ns
    assert run(config, tmp_path).metrics["test/loss"] == first.metrics["test/loss"]
    assert (tmp_path / "summary.json").stat().st_mtime_ns == written


def test_what_a_kill_left_of_a_checkpoint_is_removed(composed, tmp_path):
    config = composed(*DIGITS, "trainer.max_epochs=1", "figures=none")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/.best.ckpt.tmp").write_bytes(b"half")
    run(config, tmp_path, resume=True)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_a_damaged_checkpoint_is_named_with_what_to_do(composed, tmp_path, monkeypatch):
    config = composed(*DIGITS, "figures=none", "trainer.steps_per_execution=1")
    killed_after(3, monkeypatch, config, tmp_path)
    last = checkpoint_path(tmp_path, "last")
    last.parent.mkdir(exist_ok=True)
    last.write_bytes(b"half")
    with pytest.raises(DataError, match=r"last\.ckpt is damaged or not a checkpoint .*: delete it to start over"):
        run(config, tmp_path, resume=True)


@pytest.mark.parametrize("scheduler", ["constant", "step", "exponential", "plateau"])
def test_a_run_that_is_made_longer_ends_as_one_that_was_meant_to_be(scheduler, composed, tmp_path, caplog):
    short = [*DIGITS, "figures=none", f"scheduler={scheduler}", "optim=momentum", "callbacks.resume=auto"]
    longer = composed(*short, "trainer.max_epochs=4")
    run(composed(*short, "trainer.max_epochs=2"), tmp_path / "run")
    result = run(longer, tmp_path / "run")
    assert "continues to epoch 4 instead of 2" in caplog.text
    assert (result.status, result.last_epoch, result.stop_reason) == ("completed", 4, "reached max_epochs=4")
    run(longer, tmp_path / "whole")
    assert_same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize(
    ("begun", "asked", "message"),
    [
        ([], ["trainer.max_epochs=4"], "made longer, as its learning-rate schedule ends at trainer.max_epochs=2"),
        (["scheduler=constant"], ["trainer.max_epochs=1"], "holds a run with trainer.max_epochs=2 (now 1): use its"),
        ([], ["metrics=cohen_kappa"], "holds a run with metrics"),
        (
            ["scheduler=constant"],
            ["trainer.max_epochs=4", "optim=sgd", "seed=7"],
            "holds a run with optim=adam (now sgd), ",
        ),
    ],
)
def test_what_a_run_cannot_go_on_with_is_named(begun, asked, message, composed, tmp_path):
    first = [*DIGITS, "figures=none", "callbacks.resume=auto", "trainer.max_epochs=2", *begun]
    run(composed(*first), tmp_path)
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        run(composed(*first, *asked), tmp_path)
    assert read_result(tmp_path).last_epoch == 2


def test_a_run_that_stopped_early_is_not_made_longer(composed, tmp_path):
    stopping = ["callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=100", "scheduler=constant"]
    first = [*DIGITS, "figures=none", "callbacks.resume=auto", *stopping]
    assert run(composed(*first), tmp_path).last_epoch == 2
    with pytest.raises(ConfigurationError, match=r"ended before trainer.max_epochs=4 \(early stopping"):
        run(composed(*first, "trainer.max_epochs=9"), tmp_path)


@pytest.fixture
def images(tmp_path):
    """A tree of images of two classes, and a run on it that was killed."""
    root = tmp_path / "images"
    for number, (split, name) in enumerate((s, c) for s in ("train", "test") for c in ("a", "b")):
        (root / split / name).mkdir(parents=True)
        for image in range(8):
            Image.new("L", (8, 8), 20 * number + 10 * image).save(root / split / name / f"{image}.png")
    return root


@pytest.fixture
def interrupted_on_images(images, composed, tmp_path, monkeypatch):
    """The folder of a run on the tree, killed in its first epoch."""
    config = composed(
        "data=image_folder",
        f"data.root={images}",
        "data.image_size=8",
        "data.val_fraction=0.25",
        "model.hidden=[8]",
        "trainer.accelerator=cpu",
        "trainer.progress_bar=false",
        "figures=none",
        "data.batch_size=2",
        "trainer.steps_per_execution=1",
        "trainer.max_epochs=2",
        "callbacks.every_n_train_steps=1",
    )
    killed_after(3, monkeypatch, config, tmp_path / "run")
    assert checkpoint_path(tmp_path / "run", "last").exists()
    return tmp_path / "run"


def rename_a_class(images):
    for split in ("train", "test"):
        (images / split / "a").rename(images / split / "z")


def add_a_class(images):
    for split in ("train", "test"):
        shutil.copytree(images / split / "a", images / split / "c")


def remove_a_class(images):
    add_a_class(images)
    for split in ("train", "test"):
        shutil.rmtree(images / split / "a")
        shutil.rmtree(images / split / "b")
        shutil.copytree(images / split / "c", images / split / "d")


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (rename_a_class, "missing classes: a; new classes: z"),
        (add_a_class, "(new classes: c)"),
        (remove_a_class, "missing classes: a, b; new classes: c, d"),
        (lambda images: (images / "train/a/0.png").unlink(), "12 train samples (now 11)"),
        (lambda images: shutil.copy(images / "test/a/0.png", images / "test/a/9.png"), "16 test samples (now 17)"),
        (lambda images: shutil.copy(images / "test/a/0.png", images / "test/a/1.png"), "but not the same ones"),
    ],
)
def test_a_run_goes_on_with_the_data_that_it_was_begun_on_alone(change, difference, images, interrupted_on_images):
    before = read_result(interrupted_on_images)
    change(images)
    with pytest.raises(DataError, match="was started on other data .*" + re.escape(difference)):
        resume_run(interrupted_on_images)
    assert read_result(interrupted_on_images) == before


def test_a_run_on_unchanged_images_goes_on(interrupted_on_images):
    assert resume_run(interrupted_on_images).status == "completed"


def test_other_versions_than_a_run_was_begun_with_are_named(interrupted_on_images, caplog):
    path = interrupted_on_images / "summary.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"versions": content["versions"] | {"torch": "1.0"}}))
    assert resume_run(interrupted_on_images).status == "completed"
    assert f"was started with torch 1.0 (now {torch.__version__.split('+')[0]}" in caplog.text


COMMAND = Path(sys.executable).with_name("dlproj")


# Python imports it first: at the fifth writing of metrics.csv, that of the second epoch, a run kills itself, with all
# its processes, or tells itself to end. Nothing has to be waited for by the clock.
KILL = """
import os, signal, sys
left, sent = 5, int(os.environ["SIGNAL"])
def hook(name, values):
    global left
    if name == "os.rename" and str(values[1]).endswith("metrics.csv"):
        left -= 1
        if left == 0:
            os.killpg(os.getpgrp(), sent) if sent == signal.SIGKILL else os.kill(os.getpgrp(), sent)
sys.addaudithook(hook)
"""
TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.threads=1"]


@pytest.mark.parametrize("processes", [[], pytest.param(TWO, marks=pytest.mark.slow)])
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.usefixtures("forked_processes")
def test_dlproj_resume_goes_on_after_a_kill(processes, sent, whole, composed, tmp_path):
    overrides = [
        *DIGITS,
        *processes,
        "figures=none",
        "trainer.max_epochs=10",
        "callbacks.every_n_train_steps=10",
        "trainer.steps_per_execution=5",
        "name=test",
    ]
    killed = tmp_path / "killed"
    (tmp_path / "sitecustomize.py").write_text(KILL)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parents[2] / "train.py"), *overrides, f"hydra.run.dir={killed}"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}", "SIGNAL": str(int(sent))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert done.returncode == (-sent if sent == signal.SIGKILL else 128 + sent)
    assert 2 <= len(read_epochs(killed)) < 10
    assert read_result(killed).status == ("running" if sent == signal.SIGKILL else "interrupted")
    subprocess.run([COMMAND, "resume", str(killed)], check=True, capture_output=True)
    assert_same(killed, whole(composed(*overrides), overrides))
