"""Finished runs in MLflow, held to their folders by MLflow's client."""

import math
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from folders import EPOCHS, write_run
from stores import client_of, files, rows, runs_by_name
from typer.testing import CliRunner

from dlproj.cli.app import app
from dlproj.config.checks import UserError
from dlproj.runs.manifest import add
from dlproj.runs.record import find_runs
from dlproj.trackers.sending import opened, push


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A run by itself, and a sweep of two, of which the second was killed."""
    logs = tmp_path_factory.mktemp("place") / "logs"
    alone = write_run(logs / "runs/20261128-100000-aaaaaa-mlp", tested_weights="best")
    for name in ("figures/curves.png", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "report.html", "mine.txt"):
        (alone / name).parent.mkdir(exist_ok=True)
        (alone / name).write_text(name)
    add(alone, dict.fromkeys(["summary.json", "config.yaml", "metrics.csv", "report.html", "figures/curves.png"], ""))
    sweep = logs / "sweeps/20261128-110000-bbbbbb-mlp"
    write_run(sweep / "0", {"seed": 0}, overrides=["data=digits", "seed=0"])
    killed = [EPOCHS[0] | {"val/loss": math.nan}]
    write_run(sweep / "1", {"seed": 1}, killed, status="running", overrides=["data=digits", "seed=1"])
    (sweep / "multirun.yaml").write_text(
        "hydra:\n  sweeper: {_target_: hydra_plugins.dlproj_sweepers.GridSweeper}\n"
        "  overrides: {task: [data=digits, 'seed=0,1']}\n"
    )
    (sweep / "report.html").write_text("<p>the sweep</p>")
    return logs


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture(scope="module")
def pushed(logs, uri):
    """What was said of each folder, and the client of the store."""
    said = push_to(uri, logs)
    return said, client_of(uri)


def push_to(uri, folder):
    with opened("mlflow", {"tracking_uri": uri}, "later") as tracker:
        return {path.name: words for path, words in push([folder], tracker)}


ALONE, SWEEP = "20261128-100000-aaaaaa-mlp", "20261128-110000-bbbbbb-mlp"


def test_every_run_and_the_sweep_are_sent(pushed):
    said, client = pushed
    assert said == dict.fromkeys([ALONE, "0", "1", SWEEP], "sent")
    assert runs_by_name(client).keys() == {ALONE, SWEEP, "0 seed=0", "1 seed=1"}


def test_metrics_are_those_of_the_folder_by_epoch(pushed):
    _, client = pushed
    run = runs_by_name(client)[ALONE]
    found = rows(client, run)
    assert {step: found[step] for step in (1,)} == {1: {key: value for key, value in EPOCHS[0].items() if "/" in key}}
    assert found[2].items() >= {"val/loss": 0.75, "test/accuracy": 0.8333, "seconds": 1.5, "parameters": 75010}.items()
    killed = rows(client, runs_by_name(client)["1 seed=1"])
    assert math.isnan(killed[1]["val/loss"])
    assert killed.keys() == {1}


def test_settings_are_parameters_and_the_state_is_mlflows(pushed):
    _, client = pushed
    runs = runs_by_name(client)
    wanted = {"model": "mlp", "model.hidden": "[64]", "optim.learning_rate": "0.001", "seed": "0"}
    assert runs[ALONE].data.params.items() >= wanted.items()
    states = {name: run.info.status for name, run in runs.items()}
    assert states == {ALONE: "FINISHED", SWEEP: "FINISHED", "0 seed=0": "FINISHED", "1 seed=1": "KILLED"}


def test_a_sweep_is_the_parent_of_its_runs(pushed):
    _, client = pushed
    runs = runs_by_name(client)
    parents = {name: run.data.tags.get("mlflow.parentRunId") for name, run in runs.items()}
    sweep = runs[SWEEP].info.run_id
    assert parents == {ALONE: None, SWEEP: None, "0 seed=0": sweep, "1 seed=1": sweep}
    assert list(files(client, runs[SWEEP])) == ["report.html"]


def test_files_are_those_of_dlproj_and_of_the_tested_weights_alone(pushed, logs, tmp_path):
    _, client = pushed
    run = runs_by_name(client)[ALONE]
    names = ["checkpoints/best.ckpt", "config.yaml", "figures/curves.png", "metrics.csv", "report.html", "summary.json"]
    assert sorted(files(client, run)) == names
    client.download_artifacts(run.info.run_id, "", str(tmp_path))
    for name in names:
        assert (tmp_path / name).read_bytes() == (logs / "runs" / ALONE / name).read_bytes()


def test_what_a_local_store_keeps_is_not_found_as_runs(pushed, uri, logs):
    store = Path(uri.removeprefix("sqlite:///")).parent
    assert list(store.rglob("summary.json"))
    with pytest.raises(UserError, match="no run in"):
        find_runs([store])


def test_a_second_time_nothing_is_sent_and_what_is_new_is_sent_once(pushed, uri, logs, tmp_path):
    client = pushed[1]
    assert set(push_to(uri, logs).values()) == {"already there"}
    moved = shutil.copytree(logs / "runs" / ALONE, tmp_path / ALONE)
    with (moved / "metrics.csv").open("a") as file:
        file.write("3,0.25,0.9,0.5,0.9\n")
    assert push_to(uri, moved) == {ALONE: "sent"}
    assert len(runs_by_name(client)) == 4
    assert rows(client, runs_by_name(client)[ALONE])[3]["train/loss"] == 0.25


def test_a_run_that_is_damaged_is_named_and_the_others_are_sent(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "good")
    write_run(tmp_path / "bad")
    (tmp_path / "bad/summary.json").write_text("{")
    done = CliRunner().invoke(app, ["push", ".", "--to", "mlflow", "--tracking-uri", uri, "--experiment", "damaged"])
    assert done.exit_code == 1
    assert "bad: skipped: bad/summary.json is missing or damaged" in done.output
    assert "good: sent" in done.output
    assert str(done.exception) == "1 of 2 runs were skipped"


def test_a_server_that_is_away_is_one_line_without_its_password(tmp_path, monkeypatch):
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@{address}")
        monkeypatch.chdir(tmp_path)
        write_run(tmp_path / "run")
        before = dict(os.environ)
        done = CliRunner().invoke(app, ["push", "run", "--to", "mlflow"])
        assert isinstance(done.exception, UserError)
        words = f"http://{address} cannot be used (Connection refused): push again later"
        assert str(done.exception) == words
        assert dict(os.environ) == before


def test_a_package_that_is_missing_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("dlproj.trackers.sending.find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["push", str(tmp_path), "--to", "wandb"])
    assert str(done.exception) == "wandb is not installed: pip install 'dlproj[wandb]'"


def said(*arguments):
    done = CliRunner().invoke(app, ["push", *map(str, arguments)])
    assert isinstance(done.exception, UserError)
    return str(done.exception)


def test_without_a_run_no_store_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "e").mkdir()
    assert said("e", "--to", "mlflow").startswith("no run in e")
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_an_address_that_mlflow_does_not_know_is_said_to_be_wrong(tmp_path):
    folder = write_run(tmp_path / "run")
    words = "MLflow has no address that begins with nonsense:, but with http://, https:// or sqlite:///"
    assert said(folder, "--to", "mlflow", "--tracking-uri", "nonsense://me:secret@x") == words


def test_an_option_of_the_other_tracker_is_refused(tmp_path):
    words = "--project has no effect with --to mlflow: set --tracking-uri or --experiment"
    assert said(tmp_path, "--to", "mlflow", "--project", "foo") == words
    words = "--tracking-uri has no effect with --to wandb: set --project"
    assert said(tmp_path, "--to", "wandb", "--tracking-uri", "foo") == words


def test_without_a_login_wandb_says_how_to_log_in(tmp_path):
    """In a process of its own: wandb keeps the mode that it was first set up with."""
    pytest.importorskip("wandb")
    write_run(tmp_path / "run")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    done = subprocess.run(
        [sys.executable, "-c", "from dlproj.cli.app import main; main()", "push", "run", "--to", "wandb"],
        cwd=tmp_path,
        env=kept | {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    reason = "not logged in: run wandb login, or set WANDB_API_KEY"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: wandb cannot be used ({reason}): push again later\n"
