"""Runs that log to a tracker while they train: each has a process that sends it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pytorch_lightning.callbacks import Callback
from stores import client_of, files, rows, runs_by_name, wandb_history, wandb_records
from waiting import until

from dlproj.config.checks import ConfigurationError
from dlproj.runs.record import read_run
from dlproj.trackers.sending import opened, push
from dlproj.training.monitors.epoch_logger import build_loggers
from dlproj.training.run import run

QUICK = [
    *("data=digits", "data.batch_size=128", "model.hidden=[16]"),
    *("trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false", "figures=none"),
]
SRC = Path(__file__).parents[2] / "src"


def logged(store, *more):
    return [*QUICK, "logger=[tensorboard,mlflow]", f"logger.mlflow.tracking_uri={store}", *more]


def test_a_run_is_in_a_local_store_by_its_end_and_goes_on_there_when_it_is_resumed(composed, tmp_path):
    store, folder = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "run"
    run(composed(*logged(store, "trainer.max_epochs=2", "scheduler=constant")), folder)
    client = client_of(store)
    (first,) = runs_by_name(client).values()
    assert first.info.status == "FINISHED"
    assert "checkpoints/last.ckpt" in files(client, first)
    run(composed(*logged(store, "trainer.max_epochs=3", "scheduler=constant")), folder, resume=True)
    (second,) = runs_by_name(client).values()
    assert second.info.run_id == first.info.run_id
    record = read_run(folder)
    found = rows(client, second)
    assert found.keys() == {1, 2, 3}
    for epoch, row in record.epochs.items():
        assert found[epoch].items() >= row.items()
    assert found[3]["test/accuracy"] == record.result.metrics["test/accuracy"]
    with opened("mlflow", {"tracking_uri": store}, "later") as tracker:
        assert list(push([folder], tracker)) == [(folder, "already there")]


def test_a_server_that_is_away_costs_one_line_and_the_run_goes_on(composed, tmp_path, caplog):
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}"
        result = run(composed(*logged(uri, "trainer.max_epochs=2")), tmp_path / "run")
    assert result.status == "completed"
    (said,) = [text for text in caplog.messages if "logger" in text]
    assert re.fullmatch(
        rf"logger\.mlflow logs nothing from here on: {uri} cannot be used \(Connection refused\): "
        rf"dlproj push \S+/run --to mlflow --tracking-uri {uri} sends it later",
        said,
    )


def test_wandb_offline_has_the_run_once(composed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_PROJECT", "lab")
    run(composed(*QUICK, "logger=wandb", "trainer.max_epochs=2"), tmp_path / "run")
    (file,) = tmp_path.glob("logs/wandb/offline-run-*/*.wandb")
    record, found = read_run(tmp_path / "run"), wandb_history(file)
    for epoch, row in record.epochs.items():
        assert found[epoch].items() >= row.items()
    assert found[2]["test/accuracy"] == record.result.metrics["test/accuracy"]
    (begun,) = [one.run for one in wandb_records(file) if one.WhichOneof("record_type") == "run"]
    assert begun.project == "lab"
    assert {one.key for one in begun.config.update} >= {"model.hidden", "seed"}
    with opened("wandb", {"project": None}, "later") as tracker:
        assert list(push([tmp_path / "run"], tracker)) == [(tmp_path / "run", "already there")]


def test_csv_is_metrics_csv_and_nothing_else(composed, tmp_path):
    run(composed(*QUICK, "logger=csv", "trainer.max_epochs=1"), tmp_path)
    names = {path.name for path in tmp_path.iterdir()} - {".lock", ".dlproj.json", "code.patch"}
    assert names == {"checkpoints", "config.yaml", "inspection.json", "metrics.csv", "packages.txt", "summary.json"}


def test_a_package_that_is_missing_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("dlproj.trackers.sending.find_spec", lambda name: None)
    node = {"_target_": "dlproj.training.monitors.tracker_logger.TrackerLogger", "tracker": "mlflow"}
    with pytest.raises(ConfigurationError, match=r"^logger=mlflow: .* pip install 'dlproj\[mlflow\]'$"):
        build_loggers({"mlflow": node}, tmp_path)


def test_a_password_is_kept_in_no_folder(tmp_path):
    node = {"_target_": "dlproj.training.monitors.tracker_logger.TrackerLogger", "tracker": "mlflow"}
    with pytest.raises(ConfigurationError, match="set the environment variable MLFLOW_TRACKING_URI"):
        build_loggers({"mlflow": node | {"tracking_uri": "https://me:secret@here"}}, tmp_path)


class Server:
    """MLflow's own server, with a database of its own."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.uri = folder, f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        words = ["server", "--backend-store-uri", f"sqlite:///{self.folder}/server.db", "--workers", "1"]
        place = ["--artifacts-destination", str(self.folder / "artifacts"), "--port", str(self.port)]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *words, *place], stdout=log, stderr=log, start_new_session=True
            )
        until(self.answers)

    def answers(self):
        assert self.process.poll() is None, (self.folder / "server.log").read_text()
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(tmp_path):
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    yield server
    if server.process.poll() is None:
        server.kill()


class KillServer(Callback):
    """Kills the server once it has the first epoch; the last epoch waits until that was noticed."""

    def __init__(self, server, sender_ended):
        self.server, self.sender_ended = server, sender_ended

    def on_train_epoch_start(self, trainer, model):
        if trainer.current_epoch == 1:
            client = client_of(self.server.uri)
            until(lambda: any(one.data.metrics for one in runs_by_name(client).values()))
            self.server.kill()
        if trainer.current_epoch == 3:
            until(self.sender_ended)


@pytest.mark.slow
def test_a_server_that_dies_takes_no_run_with_it_and_push_sends_the_rest(
    composed, server, tmp_path, monkeypatch, caplog
):
    from dlproj.trackers.live import Sender
    from dlproj.training import observers

    begun = []
    monkeypatch.setattr(Sender, "changed", noting(begun, Sender.changed))
    build = observers.build_callbacks
    killer = KillServer(server, lambda: begun[0]._process.poll() is not None)
    monkeypatch.setattr(observers, "build_callbacks", lambda *arguments: [*build(*arguments), killer])
    folder = tmp_path / "run"
    result = run(composed(*logged(server.uri, "trainer.max_epochs=5")), folder)
    assert result.status == "completed"
    assert sum("logs nothing from here on" in text for text in caplog.messages) == 1
    server.start()
    client = client_of(server.uri)
    (cut,) = runs_by_name(client).values()
    assert cut.info.status == "RUNNING"
    with opened("mlflow", {"tracking_uri": server.uri}, "later") as tracker:
        assert list(push([folder], tracker)) == [(folder, "sent")]
    (whole,) = runs_by_name(client).values()
    assert whole.info.status == "FINISHED"
    assert rows(client, whole).keys() == {1, 2, 3, 4, 5}
    assert "checkpoints/last.ckpt" in files(client, whole)


def noting(begun, method):
    def changed(self):
        begun.append(self)
        method(self)

    return changed


@pytest.mark.slow
@pytest.mark.parametrize("store", ["server", "local"])
def test_the_runs_of_a_sweep_share_one_parent_though_they_run_at_once(store, commands, request, tmp_path):
    uri = request.getfixturevalue("server").uri if store == "server" else f"sqlite:///{tmp_path}/logs/mlflow.db"
    environment = os.environ | {"PYTHONPATH": str(SRC), "MLFLOW_TRACKING_URI": uri}
    sweep = ["-m", *QUICK, "logger=mlflow", "trainer.max_epochs=2", "seed=0,1,2,3", "sweep.jobs=4"]
    command = commands.start([*sweep, f"hydra.sweep.dir={tmp_path}/sweep"], tmp_path, environment)
    out, err = command.communicate()
    assert (command.returncode, err) == (0, ""), out + err
    runs = runs_by_name(client_of(uri))
    assert runs.keys() == {"sweep", *(f"{seed} seed={seed}" for seed in range(4))}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parents = [run.data.tags.get("mlflow.parentRunId") for run in runs.values() if run.info.run_name != "sweep"]
    assert parents == [runs["sweep"].info.run_id] * 4
    assert "report.html" in files(client_of(uri), runs["sweep"])


@pytest.mark.slow
def test_a_run_that_is_killed_is_killed_in_mlflow_too(commands, tmp_path):
    store = f"sqlite:///{tmp_path}/mlflow.db"
    words = [*logged(store, "trainer.max_epochs=100000"), f"hydra.run.dir={tmp_path}/run"]
    command = commands.start(words, tmp_path, os.environ | {"PYTHONPATH": str(SRC)})
    until((tmp_path / "run/.tracker.json").exists)
    client = client_of(store)
    until(lambda: any("train/loss" in one.data.metrics for one in runs_by_name(client).values()))
    command.kill()
    command.wait()
    until(lambda: [one.info.status for one in runs_by_name(client).values()] == ["KILLED"])
    (killed,) = runs_by_name(client).values()
    assert "config.yaml" in files(client, killed)
    shutil.rmtree(tmp_path / "run")
