"""A run trained on: with more epochs, another schedule or early stopping anew."""

import json
import math
import re
import shlex

import pytest
import torch
from folders import write_run
from test_resuming import DIGITS, assert_same, killed_after
from typer.testing import CliRunner

import dlproj
from dlproj.cli.app import app
from dlproj.config.checks import ConfigurationError, UserError
from dlproj.config.places import train_command
from dlproj.runs.manifest import shown_path
from dlproj.runs.record import read_epochs, read_result
from dlproj.training import run as run_module
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.continued_run import continued_config
from dlproj.training.run import resume_run, run

QUIET = [*DIGITS, "figures=none", "logger=none", "trainer.max_epochs=2", "data.eval_batch_size=500"]


def rates(folder):
    """The learning rate at the start of each epoch."""
    return [row["learning_rate"] for _, row in sorted(read_epochs(folder).items())]


SLOW = ("constant", "plateau")


def cosine(share):
    """Of the initial rate, after a share of the schedule (Loshchilov & Hutter 2017)."""
    return (1 + math.cos(math.pi * share)) / 2


@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_a_cosine_that_had_ended_starts_anew_over_the_added_epochs(steps, composed, tmp_path, caplog):
    run(composed(*QUIET, f"trainer.steps_per_execution={steps}"), tmp_path)
    result = resume_run(tmp_path, ["trainer.max_epochs=5"])
    assert (result.status, result.last_epoch, result.stop_reason) == ("completed", 5, "reached max_epochs=5")
    expected = [1, cosine(1 / 2), 1, cosine(1 / 3), cosine(2 / 3)]
    assert rates(tmp_path) == pytest.approx([0.001 * share for share in expected], rel=1e-5)
    assert "continues to epoch 5 instead of 2; its learning-rate schedule starts anew, at 0.001" in caplog.text


@pytest.mark.parametrize("scheduler", ["exponential", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_schedule_without_an_end_goes_on_to_the_bit(scheduler, composed, tmp_path, caplog):
    settings = [*QUIET, f"scheduler={scheduler}", "optim=momentum"]
    run(composed(*settings), tmp_path / "run", ["trainer.max_epochs=2"])
    resume_run(tmp_path / "run", ["trainer.max_epochs=4"])
    assert "starts anew" not in caplog.text
    run(composed(*settings, "trainer.max_epochs=4"), tmp_path / "whole", ["trainer.max_epochs=4"])
    assert_same(tmp_path / "run", tmp_path / "whole")


def test_another_schedule_and_rate_hold_for_what_is_left(composed, tmp_path):
    run(composed(*QUIET), tmp_path, ["data=digits", "trainer.max_epochs=2"])
    changed = ["scheduler.gamma=0.5", "scheduler=exponential", "optim.learning_rate=0.01", "trainer.max_epochs=4"]
    result = resume_run(tmp_path, changed)
    assert rates(tmp_path)[2:] == pytest.approx([0.01, 0.005])
    assert result.overrides == ["data=digits", *changed]
    assert read_result(tmp_path).overrides == result.overrides


@pytest.mark.parametrize("calls", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_a_continued_run_that_is_killed_ends_as_one_that_never_was(calls, composed, tmp_path, monkeypatch):
    """Before the first checkpoint of what was added, and after that of an epoch."""
    settings = [*QUIET, "trainer.steps_per_execution=1", "callbacks.every_n_train_steps=10"]
    for name in ("killed", "whole"):
        run(composed(*settings), tmp_path / name)
    resume_run(tmp_path / "whole", ["trainer.max_epochs=4"])
    monkeypatch.setattr("test_resuming.run", lambda config, path: resume_run(path, ["trainer.max_epochs=4"]))
    killed_after(calls, monkeypatch, None, tmp_path / "killed")
    resume_run(tmp_path / "killed")
    assert_same(tmp_path / "killed", tmp_path / "whole")


def test_a_run_that_its_steps_ended_goes_on_to_more_of_them(composed, tmp_path):
    run(composed(*QUIET, "scheduler=constant", "trainer.max_steps=50", "trainer.max_epochs=9"), tmp_path)
    with pytest.raises(ConfigurationError, match=r"has trained 50 steps: set trainer.max_steps above that, not 50"):
        resume_run(tmp_path, ["trainer.max_steps=50"])
    result = resume_run(tmp_path, ["trainer.max_steps=60"])
    assert (result.steps, result.stop_reason) == (60, "reached max_steps=60")


def test_one_cycle_starts_anew_too(composed, tmp_path):
    run(composed(*QUIET, "scheduler=one_cycle", "optim.ema_decay=0.9"), tmp_path)
    resume_run(tmp_path, ["trainer.max_epochs=4"])
    assert rates(tmp_path)[2:] == pytest.approx(rates(tmp_path)[:2], rel=1e-4)


def test_momentum_that_one_cycle_has_changed_is_that_of_the_settings_again(composed, tmp_path):
    run(composed(*QUIET, "scheduler=one_cycle", "optim=momentum", "optim.momentum=0.5"), tmp_path)
    resume_run(tmp_path, ["scheduler=constant", "trainer.max_epochs=3"])
    checkpoint = torch.load(checkpoint_path(tmp_path, "last"), weights_only=True)
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["momentum"] == 0.5


STOPPING = ["callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=100", "trainer.max_epochs=9"]


@pytest.mark.parametrize("scheduler", [pytest.param("constant", marks=pytest.mark.slow), "cosine"])
def test_a_run_that_stopped_early_gets_its_patience_anew(scheduler, composed, tmp_path):
    stopped = run(composed(*QUIET, *STOPPING, f"scheduler={scheduler}"), tmp_path)
    assert stopped.last_epoch == 2  # the first epoch is the best, as no other is better by 100
    result = resume_run(tmp_path, ["callbacks.early_stopping.patience=3"])
    assert result.last_epoch == 5
    assert "early stopping" in result.stop_reason
    assert resume_run(tmp_path, ["trainer.max_epochs=20"]).last_epoch == 8
    assert (
        resume_run(
            tmp_path,
            ["callbacks.early_stopping.patience=null", "callbacks.early_stopping.min_delta=0", "trainer.max_epochs=10"],
        ).last_epoch
        == 10
    )
    if scheduler == "cosine":  # with the same number of epochs its schedule has gone on
        assert rates(tmp_path)[:5] == pytest.approx([0.001 * cosine(i / 9) for i in range(5)], rel=1e-5)


def test_an_interrupted_run_gets_a_schedule_over_the_steps_that_are_left(composed, tmp_path, monkeypatch):
    config = composed(*QUIET, "trainer.steps_per_execution=1", "trainer.max_epochs=4")
    killed_after(41 + 5, monkeypatch, config, tmp_path)
    resume_run(tmp_path, ["trainer.max_epochs=3"])
    assert rates(tmp_path) == pytest.approx([0.001, 0.001, 0.001 * cosine(1 / 2)], rel=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("trainer.max_epochs=2", "has trained 2 epochs: set trainer.max_epochs above that, not 2"),
        ("optim.learning_rate=0.1", "has trained 2 epochs: set trainer.max_epochs above that, not 2"),
        ("model.dropout=0.5", "model.dropout cannot change while a run goes on: trainer.max_epochs, "),
        ("model.dropout=0.5", " model.dropout=0.5 starts a new run from its weights"),
        (
            "trainer.max_epoch=3",
            "trainer.max_epoch cannot change while a run goes on: did you mean trainer.max_epochs?",
        ),
        ("trainer.max_epochs=x", "trainer.max_epochs: Value 'x' of type 'str' could not be converted to Integer"),
        ("trainer.max_epochs=3,4", "trainer.max_epochs=3,4 sets no single value: write SETTING=VALUE, such as"),
        ("scheduler=cosin", "did you mean cosine?"),
        ("nothing", "nothing cannot be read: write SETTING=VALUE, such as trainer.max_epochs=20"),
        ("scheduler.gama=1", "unknown setting scheduler.gama"),
        ("scheduler.gama.gama=1", "unknown setting scheduler.gama.gama: gama is no group of settings"),
        ("scheduler.min_learning_rate.a=1", "unknown setting scheduler.min_learning_rate.a: min_learning_rate is no"),
    ],
)
def test_what_cannot_change_or_leaves_nothing_to_train_is_one_line(changed, message, ended):
    before = read_result(ended)
    with pytest.raises(UserError, match=re.escape(message)):
        dlproj.resume(ended, changed)
    assert read_result(ended) == before


def test_the_command_offered_for_another_setting_has_those_of_the_run(composed, tmp_path):
    typed = ["data=digits", "model.hidden=[16]", "model.dropout=0.3", "init_from=elsewhere"]
    run(composed(*QUIET), tmp_path, typed)
    kept = ["data=digits", "model.hidden=[16]", f"init_from={shown_path(tmp_path)}", "model.dropout=0.5"]
    offered = shlex.join([*train_command().split(), *kept])
    with pytest.raises(UserError, match=re.escape(f"; {offered} starts a new run from its weights")):
        continued_config(tmp_path, ["model.dropout=0.5"])


@pytest.fixture(scope="module")
def ended(composed, tmp_path_factory):
    """The folder of a run that has ended."""
    folder = tmp_path_factory.mktemp("ended") / "run"
    run(composed(*QUIET), folder)
    return folder


def test_a_run_whose_weights_are_not_finite_does_not_go_on(composed, tmp_path):
    run(composed(*QUIET, "optim=sgd", "optim.learning_rate=1e30"), tmp_path)
    with pytest.raises(ConfigurationError, match="has weights that are not finite: start anew with a lower optim"):
        resume_run(tmp_path, ["trainer.max_epochs=5"])
    summary = tmp_path / "summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"best_epoch": 1}))
    with pytest.raises(ConfigurationError, match="has weights that are not finite: start anew with init_from="):
        resume_run(tmp_path, ["trainer.max_epochs=5"])


def test_a_diverged_run_is_not_advised_to_train_on(tmp_path):
    write_run(tmp_path / "run", status="diverged")
    told = CliRunner().invoke(app, ["resume", str(tmp_path / "run")])
    assert told.exit_code == 0
    assert told.output.startswith(f"{tmp_path}/run is complete: there is nothing to go on with\n")
    assert "to train it on" not in told.output


def test_a_checkpoint_of_an_older_version_knows_no_plan(composed, tmp_path):
    run(composed(*QUIET), tmp_path)
    path = checkpoint_path(tmp_path, "last")
    content = torch.load(path, weights_only=True)
    del content["plan"]
    torch.save(content, path)
    resume_run(tmp_path, ["trainer.max_epochs=3"])
    assert rates(tmp_path)[2] == pytest.approx(0.001)


def test_the_command_and_python_train_a_run_on(composed, tmp_path):
    run(composed(*QUIET), tmp_path / "run")
    done = CliRunner().invoke(app, ["resume", str(tmp_path / "run"), "trainer.max_epochs=3"])
    assert done.exit_code == 0, done.output
    assert read_result(tmp_path / "run").last_epoch == 3
    assert dlproj.load_run(tmp_path / "run").resume(max_epochs=4).history.index[-1] == 4  # as dlproj.resume() does
    done = CliRunner().invoke(app, ["resume", str(tmp_path / "run")])
    assert f"to train it on: dlproj resume {tmp_path / 'run'} trainer.max_epochs=8" in done.output


def test_settings_of_a_sweep_do_not_change(tmp_path):
    done = CliRunner().invoke(app, ["resume", str(tmp_path), "trainer.max_epochs=3"])
    assert "is no single run, whose settings could change: leave out trainer.max_epochs=3" in str(done.exception)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["ddp", "fsdp"])
@pytest.mark.usefixtures("forked_processes")
def test_a_cosine_starts_anew_in_several_processes(trainer, composed, tmp_path):
    run(composed(*QUIET, f"trainer={trainer}", "trainer.devices=2", "model.dropout=0"), tmp_path)
    resume_run(tmp_path, ["trainer.max_epochs=4"])
    assert rates(tmp_path) == pytest.approx([0.001 * cosine(i / 2) for i in (0, 1, 0, 1)], rel=1e-5)
    assert run_module  # the settings of the run name its processes
