"""What `dlproj watch` says of a folder of runs: of such that grow, end, vanish, and of what is no run."""

import os
import shutil
from pathlib import Path

import pytest
from folders import EPOCHS, write_run

from dlproj.runs import record
from dlproj.runs.lock import run_lock
from dlproj.watch import board as board_module
from dlproj.watch.board import Board

RUNNING = {"status": "running", "last_epoch": 0, "best_epoch": None, "seconds": 0.0, "confusion_matrix": []}
LOCKS_ARE_SEEN = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="this system does not tell of locks")
LONG_AGO = 1_600_000_000  # seconds since 1970


@pytest.fixture(autouse=True)
def _each_look_is_new(monkeypatch):
    monkeypatch.setattr(board_module, "_SHARED_S", 0.0)


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path / "logs")


def age(folder, seconds=LONG_AGO):
    for path in folder.iterdir():
        os.utime(path, (seconds, seconds))


def listed(board):
    return {run["id"]: run for run in board.overview()["runs"]}


def test_a_folder_that_is_not_there_yet_is_empty(board):
    assert board.overview() == {"folder": str(board.root), "runs": [], "sweeps": []}


def test_a_completed_run_in_words(board):
    write_run(board.root / "runs/20261128-170015-212096-mlp-digits-adam")
    (run,) = board.overview()["runs"]
    assert run["id"] == run["folder"] == "runs/20261128-170015-212096-mlp-digits-adam"
    assert (run["name"], run["status"], run["epoch"], run["planned"]) == ("mlp-digits-adam", "completed", 2, 2)
    assert run["scores"] == {"val/accuracy": "87.50%", "val/loss": "0.7500", "test/accuracy": "83.33%"}
    assert (run["started"], run["seconds"], run["report"]) == ("2026-11-28 17:00:15", "1.5 s", False)
    (board.root / run["folder"] / "report.html").write_text("page")
    assert board.overview()["runs"][0]["report"] is True


@LOCKS_ARE_SEEN
def test_a_run_that_holds_its_lock_is_running_and_else_nobody_knows(board):
    folder = write_run(board.root / "a", {"trainer.max_epochs": 5}, epochs=EPOCHS[:1], **RUNNING)
    with run_lock(folder):
        age(folder)
        run = listed(board)["a"]
        assert (run["status"], run["epoch"], run["planned"]) == ("running", 1, 5)
        assert run["scores"]["val/accuracy"] == "75.00%"
    assert listed(board)["a"]["status"] == "running or killed"


def test_what_was_written_just_now_is_running_where_no_lock_is_seen(board):
    write_run(board.root / "a", **RUNNING)
    assert listed(board)["a"]["status"] == "running"


@LOCKS_ARE_SEEN
def test_the_time_left_is_that_of_the_epochs_seen(board):
    folder = write_run(board.root / "a", {"trainer.max_epochs": 10}, epochs=EPOCHS[:1], **RUNNING)

    def epoch_ended(seconds):
        os.utime(folder / "metrics.csv", (seconds, seconds))
        return listed(board)["a"]["ends"]

    with run_lock(folder):
        age(folder)
        assert epoch_ended(LONG_AGO) is None  # nothing is known of how long an epoch takes
        assert epoch_ended(LONG_AGO + 100) == LONG_AGO + 100 + 9 * 100
        other = write_run(folder.with_name("b"), {"trainer.max_epochs": 10}, epochs=EPOCHS)
        os.replace(other / "metrics.csv", folder / "metrics.csv")
        assert epoch_ended(LONG_AGO + 104) == LONG_AGO + 104 + 8 * 4  # the first one took long to start


def test_running_runs_stand_first_then_the_newest(board):
    for name in ("20261101-000000-a", "20261102-000000-b", "20261103-000000-c"):
        write_run(board.root / name)
    shutil.rmtree(board.root / "20261101-000000-a")
    write_run(board.root / "20261101-000000-a", **RUNNING)
    assert list(listed(board)) == ["20261101-000000-a", "20261103-000000-c", "20261102-000000-b"]


def test_the_history_is_a_list_for_each_metric(board):
    epochs = [*EPOCHS, {"epoch": 3, "train/loss": float("nan")}]
    write_run(board.root / "a", epochs=epochs, last_epoch=3)
    history = board.history("a")
    assert history["epochs"] == [1, 2, 3]
    assert history["metrics"]["train/loss"] == [0.9, 0.5, None]
    assert history["metrics"]["val/accuracy"] == [0.75, 0.875, None]
    assert board.history("b") is board.history("../a") is None


def test_an_epoch_that_has_not_ended_is_left_out(board):
    begun = [*EPOCHS, {"epoch": 3, "val/loss": 0.25, "train/loss": ""}]
    write_run(board.root / "a", epochs=begun, **RUNNING)
    assert board.history("a")["epochs"] == [1, 2]
    assert listed(board)["a"]["epoch"] == 2


def test_runs_of_a_sweep_are_told_by_it_and_ranked(board):
    sweep = board.root / "sweeps/20261101-000000-rates"
    for place, loss in enumerate((0.5, 0.25, 0.75)):
        epochs = [row | {"val/loss": loss} for row in EPOCHS]
        write_run(sweep / f"{place}", {"optim.learning_rate": 10.0**-place}, epochs=epochs)
    shutil.rmtree(sweep / "2")
    write_run(sweep / "2", {"optim.learning_rate": 0.01}, **RUNNING)
    (sweep / "multirun.yaml").write_text("hydra:\n  sweeper:\n    _target_: hydra_plugins.dlproj_sweepers.Grid\n")
    (overview,) = board.overview()["sweeps"]
    assert (overview["name"], overview["counts"]) == ("20261101-000000-rates", {"running": 1, "completed": 2})
    table = board.sweep_table(overview["id"])
    headings = ["run", "optim.learning_rate", "status", "test/accuracy", "val/loss best", "last epoch", "time"]
    assert table["columns"] == headings
    assert [row["cells"][:3] for row in table["rows"]] == [
        ["1", "0.1", "completed"],
        ["0", "1", "completed"],
        ["2", "0.01", "running"],
    ]
    assert [row["id"].rpartition("/")[2] for row in table["rows"]] == ["1", "0", "2"]
    assert {run["sweep"] for run in listed(board).values()} == {overview["id"]}
    assert board.sweep_table("sweeps") is None


def test_only_files_that_have_changed_are_read_again(board, monkeypatch):
    reads = []
    real = record.read_json
    monkeypatch.setattr(record, "read_json", lambda path: reads.append(path.parent.name) or real(path))
    for name in "ab":
        write_run(board.root / name)
    listed(board)
    assert sorted(reads) == ["a", "b"]
    shutil.rmtree(board.root / "b")
    write_run(board.root / "b", **{"test/accuracy": 0.5})
    assert listed(board)["b"]["scores"]["test/accuracy"] == "50.00%"
    assert sorted(reads) == ["a", "b", "b"]


def test_the_folder_may_be_that_of_one_run(board):
    write_run(board.root)
    assert list(listed(board)) == [""]
    assert board.history("")["run"]["name"] == "mlp-digits-adam"


def test_a_deleted_run_is_gone(board):
    write_run(board.root / "a")
    assert list(listed(board)) == ["a"]
    shutil.rmtree(board.root / "a")
    assert listed(board) == {}
    assert board.history("a") is None


def _half(path):
    path.write_bytes(path.read_bytes()[:40])


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


def _folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = [
    _half,
    _pipe,
    _folder,
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"\xff\x00[1, 2"),
    lambda path: path.write_text('{"name": "of another program", "status": 3}'),
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["summary.json", "metrics.csv", "config.yaml", "multirun.yaml"])
def test_a_damaged_file_is_no_trouble_to_the_others(board, name, damage):
    sweep = board.root / "sweep"
    for run in ("whole", "damaged"):
        write_run(sweep / run, {"optim.learning_rate": len(run) / 10}, **RUNNING)
    (sweep / "multirun.yaml").write_text("dlproj_sweepers")
    damage(sweep / name if name == "multirun.yaml" else sweep / "damaged" / name)
    runs = listed(board)
    assert runs["sweep/whole"]["status"] == "running"
    assert board.history("sweep/whole")["metrics"]["train/loss"] == [0.9, 0.5]
    assert board.history("sweep/damaged")["run"]["id"] == "sweep/damaged"
    if name == "summary.json":
        assert runs["sweep/damaged"]["status"] == "damaged"
        assert runs["sweep/damaged"]["trouble"].startswith("sweep/damaged/summary.json is ")
    if name != "multirun.yaml":
        assert "whole" in [row["cells"][0] for row in board.sweep_table("sweep")["rows"]]


def test_it_is_read_again_once_it_is_whole(board):
    folder = write_run(board.root / "a")
    whole = (folder / "summary.json").read_bytes()
    (folder / "summary.json").write_bytes(whole[:50])
    assert listed(board)["a"]["status"] == "damaged"
    (folder / "summary.json").write_bytes(whole)
    assert listed(board)["a"]["status"] == "completed"


def test_odd_names_are_told_as_they_stand_in_a_url(board):
    name = os.fsdecode(b"a b,#%\xff")
    write_run(board.root / name)
    (run,) = board.overview()["runs"]
    assert run["id"] == "a%20b%2C%23%25%FF"
    assert board.history(run["id"])["run"]["folder"] == name
