"""`dlproj report` and `dlproj runs`: what they print, where, and with which exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from folders import write_run

from dlproj.cli.app import main
from dlproj.config.checks import UserError
from dlproj.config.places import train_command
from dlproj.runs.choosing import chosen_run


@pytest.fixture
def dlproj(monkeypatch, capsys, tmp_path):
    """Call with arguments, in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["dlproj", *arguments])
        with pytest.raises(SystemExit) as exit:  # typer's own end of a command that went well, too
            main()
        return exit.value.code, *capsys.readouterr()

    return run


def test_a_report_lies_in_the_folder_that_it_is_about(dlproj, tmp_path):
    write_run(tmp_path / "logs/s/0")
    code, out, err = dlproj("report", "logs/s")
    assert (code, out.split(), err) == (0, ["logs/s/report.html", "logs/s/report.csv", "logs/s/report.md"], "")
    assert (tmp_path / "logs/s/report.html").read_text().startswith("<!doctype html>")


def test_a_report_on_several_folders_lies_here_or_where_it_is_told(dlproj, tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b")
    assert dlproj("report", "a", "b")[1].split()[0] == "report.html"
    assert dlproj("report", "a", "b", "--output", "to/x.html")[1].split()[0] == "to/x.html"
    assert (tmp_path / "to/x.csv").exists()


def test_a_damaged_folder_is_skipped_with_its_name(dlproj, tmp_path):
    write_run(tmp_path / "logs/0")
    (write_run(tmp_path / "logs/1") / "summary.json").write_text("{")
    for command in ("report", "runs"):
        code, _, err = dlproj(command, "logs")
        assert code == 0
        assert err == ("skipped logs/1: logs/1/summary.json is missing or damaged: take it from another copy\n")


@pytest.mark.parametrize("command", ["report", "runs"])
def test_where_nothing_can_be_read_the_exit_code_is_1_and_the_reason_one_line(dlproj, tmp_path, command):
    (write_run(tmp_path / "bad") / "summary.json").write_text("{")
    (tmp_path / "empty").mkdir()
    for path, words in (
        ("nowhere", "nowhere is not a folder"),
        ("empty", "no run in empty"),
        ("bad", "no run is left"),
    ):
        code, out, err = dlproj(command, path)
        assert (code, out) == (1, "")
        assert err.splitlines()[-1].startswith(f"error: {words}")


def test_wrong_usage_has_exit_code_2(dlproj):
    assert dlproj("report")[0] == 2
    assert dlproj("runs", "--limit", "0")[0] == 2


@pytest.mark.parametrize("command", ["report", "runs"])
def test_help_has_an_example(dlproj, command):
    code, out, _ = dlproj(command, "--help")
    assert code == 0
    assert f"Example: dlproj {command} " in out


def test_runs_come_newest_first_as_lines_with_tabs(dlproj, tmp_path):
    write_run(tmp_path / "logs/sweeps/20261121-060000-aaaaaa-s/0")
    write_run(tmp_path / "logs/sweeps/20261121-060000-aaaaaa-s/1", overrides=["seed=1", "data=digits"])
    write_run(tmp_path / "logs/runs/20261122-060000-bbbbbb-r", status="running", **{"test/accuracy": None})
    code, out, err = dlproj("runs")
    head, *lines = (line.split("\t") for line in out.splitlines())
    assert (code, err) == (0, "")
    assert head == ["started", "folder", "status", "test accuracy", "tested epoch", "time", "overrides"]
    assert [line[1] for line in lines] == [
        "logs/runs/20261122-060000-bbbbbb-r",
        "logs/sweeps/20261121-060000-aaaaaa-s/1",
        "logs/sweeps/20261121-060000-aaaaaa-s/0",
    ]
    assert lines[0][2:4] == ["running or killed", "–"]
    assert lines[1] == [
        "2026-11-21 06:00:00",
        "logs/sweeps/20261121-060000-aaaaaa-s/1",
        "completed",
        "83.33%",
        "2",
        "1.5 s",
        "seed=1 data=digits",
    ]


def test_json_has_fractions_and_null(dlproj, tmp_path):
    write_run(tmp_path / "logs/20261121-060000-aaaaaa-a")
    write_run(tmp_path / "logs/20261122-060000-aaaaaa-b", status="failed", **{"test/accuracy": None})
    newest, older = json.loads(dlproj("runs", "--json")[1])
    assert (newest["status"], newest["test/accuracy"], newest["seconds"]) == ("failed", None, None)
    assert older["test/accuracy"] == 0.8333
    assert len(json.loads(dlproj("runs", "--json", "--limit", "1")[1])) == 1


@pytest.mark.parametrize(("width", "there"), [("200", True), ("80", False)])
def test_a_narrow_terminal_has_no_room_for_overrides_but_for_the_whole_folder(
    dlproj, tmp_path, monkeypatch, width, there
):
    write_run(tmp_path / "logs/20261121-060000-aaaaaa-a-rather-long-name-of-a-run", overrides=["data=digits"])
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    out = dlproj("runs")[1]
    assert ("data=digits" in out) == there
    folder = "".join(line.split("│")[2].strip() for line in out.splitlines() if "│" in line)
    assert folder == "logs/20261121-060000-aaaaaa-a-rather-long-name-of-a-run"


def test_neither_command_waits_for_torch(tmp_path):
    write_run(tmp_path / "0")
    code = (
        "import sys; from dlproj.cli.app import app\n"
        "for command in ('runs', 'report'): app([command, sys.argv[1]], standalone_mode=False)\n"
        "heavy = {'torch', 'pytorch_lightning', 'torchmetrics', 'sklearn', 'scipy', 'hydra', 'matplotlib.pyplot'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def three_runs(tmp_path):
    """In logs: the best of the data, the latest one, and a better one of other data."""
    folder = tmp_path / "logs/runs"
    for stamp, data, accuracy in (
        ("20260101-000001-aaaaaa", "digits", 0.9),
        ("20260101-000002-bbbbbb", "digits", 0.8),
        ("20260101-000000-cccccc", "fmnist", 0.99),
    ):
        epochs = [{"epoch": 2, "train/loss": 1.0, "val/loss": 1.0, "val/accuracy": accuracy}]
        write_run(folder / f"{stamp}-x", {"schema.data": data}, epochs)
    return folder


def test_the_latest_run_and_the_best_one_of_its_data_have_names(dlproj, three_runs, tmp_path):
    assert chosen_run(Path("latest")) == Path("logs/runs/20260101-000002-bbbbbb-x")
    assert chosen_run(Path("best")) == Path("logs/runs/20260101-000001-aaaaaa-x")
    (tmp_path / "latest").mkdir()  # a folder of that name comes first
    with pytest.raises(UserError, match=r"^no run at latest, which has no config\.yaml"):
        chosen_run(Path("latest"))


def test_without_runs_there_is_none_to_choose(dlproj):
    code, out, err = dlproj("evaluate", "latest")
    assert (code, out, err) == (1, "", "error: logs holds no run: train one, or name a run's folder\n")


def test_a_complete_run_is_not_gone_on_with(dlproj, three_runs):
    code, out, err = dlproj("resume", "latest")
    assert (code, err) == (0, "")
    assert out.startswith("logs/runs/20260101-000002-bbbbbb-x is complete: there is nothing to go on with\n")


def test_a_folder_without_a_run_beside_runs_is_named(dlproj, tmp_path):
    for name in ("alice", "bob/inner", "arrays", ".hidden/x"):
        write_run(tmp_path / "f" / name)
    (tmp_path / "f/carol").mkdir()
    (tmp_path / "f/frank").mkdir()
    (tmp_path / "f/frank/config.yaml").write_text("defaults: [x]\n")
    code, _, err = dlproj("report", "f")
    assert (code, err) == (0, "no run in f/carol, f/frank\n")
    assert dlproj("report", "f/alice")[2] == ""  # whose subfolders are its own


def test_beside_the_runs_of_where_one_works_nothing_is_named(dlproj, tmp_path):
    write_run(tmp_path / "logs/alice")
    for name in ("arrays", "studies", "surveys", ".mlflow"):
        (tmp_path / "logs" / name).mkdir()
    (tmp_path / "notes").mkdir()
    assert (dlproj("report", "logs")[2], dlproj("report", ".")[2]) == ("", "")
    write_run(tmp_path / "logs/runs/one")
    (tmp_path / "logs/old").mkdir()
    assert dlproj("report", "logs")[2] == ""


def test_the_table_of_one_run_is_not_one_of_runs(dlproj, tmp_path):
    write_run(tmp_path / "f/alice")
    assert dlproj("report", "f")[0] == 0
    assert (tmp_path / "f/report.md").read_text().startswith("# f: 1 run\n")


def test_a_printed_command_is_one_that_works_in_the_current_folder(dlproj, tmp_path):
    assert train_command() == "dlproj train"
    (tmp_path / "train.py").write_text("")
    assert train_command() == "python train.py"
