"""`dlproj reproduce` as a user types it: what it runs, what it keeps, and what it says of runs that die."""

import csv
import fcntl
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import ctrl_c
import pytest
from waiting import until

from dlproj.experiments import CONF
from dlproj.runs.record import read_run

BASE = """# @package _global_
# Digits in a second
defaults:
  - /experiment/_shared
  - override /data: digits
  - _self_

model:
  hidden: [8]
trainer:
  accelerator: cpu
  max_epochs: 1
reference:
  document: toy
  place: first
  reported: {test/accuracy: 0.5, test/jaccard: 0.5}
"""
DYING = """# @package _global_
# Data that is not there
defaults:
  - /experiment/toy/one
  - override /data: image_folder
  - _self_

data:
  root: /nowhere
"""
SWEEP = """# @package _global_
# Two activations
defaults:
  - /experiment/toy/one
  - _self_

reference:
  by: model.activation
  reported:
    test/accuracy: {relu: 0.5, tanh: 0.25}
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      model.activation: relu,tanh
"""
START = """
import sys
from pathlib import Path
from dlproj import experiments
experiments.CONF = Path(sys.argv.pop(1))
from dlproj.cli.app import main
sys.argv[0] = "dlproj"
main()
"""


@pytest.fixture
def toys(tmp_path):
    """The project's conf with a suite of its own instead of the documents'."""
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    for suite in (conf / "experiment").iterdir():
        if suite.is_dir():
            shutil.rmtree(suite)
    toy = conf / "experiment" / "toy"
    toy.mkdir()
    for name, text in (("one", BASE), ("dying", DYING), ("sweep", SWEEP)):
        (toy / f"{name}.yaml").write_text(text)
    return conf


@pytest.fixture
def reproduce(toys, tmp_path):
    """Call with arguments: the finished command, run in an empty folder on the toys."""

    def run(*arguments):
        command = [sys.executable, "-W", "error", "-c", START, str(toys), "reproduce", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)

    return run


def summaries(tmp_path):
    return sorted(path.parent for path in (tmp_path / "logs").glob("**/summary.json"))


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_what_has_not_been_run_is_run_once_and_a_run_that_dies_is_a_row(reproduce, tmp_path):
    first = reproduce("--seeds", "2", "--jobs", "2")
    assert first.returncode == 1, first.stderr  # toy/dying
    lines = first.stdout.splitlines()
    assert lines[0] == "6 runs, 6 of them to do, 2 at once"  # toy/one is toy/sweep's first
    assert sum("died: " in line and line.startswith("[") for line in lines) == 2
    rows = {
        (row["experiment"], row["point"], row["quantity"]): row
        for row in table(tmp_path / "logs/reproduce/results.csv")
    }
    assert rows["toy/one", "", "test/accuracy"]["seeds"] == "2"
    assert rows["toy/sweep", "tanh", "test/accuracy"]["reported"] == "0.25"
    assert "a run does not produce test/jaccard" in rows["toy/one", "", "test/jaccard"]["remark"]
    assert rows["toy/dying", "", "test/accuracy"]["remark"].startswith("died: /nowhere/train cannot be read")
    shared = read_run(tmp_path / "logs/reproduce/toy/one/seed-1")
    assert (
        rows["toy/sweep", "relu", "test/accuracy"]["reproduced"] == rows["toy/one", "", "test/accuracy"]["reproduced"]
    )
    assert shared.result.reference == {"test/accuracy": 0.5, "test/jaccard": 0.5}
    again = reproduce("toy/one", "toy/sweep", "--seeds", "2")
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[0].startswith("4 runs, 0 of them to do")
    assert {row["experiment"] for row in table(tmp_path / "logs/reproduce/results.csv")} == {"toy/one", "toy/sweep"}
    assert "toy/sweep" not in reproduce("toy/one").stdout.split("experiment\t")[1]
    kept = {
        (row["experiment"], row["point"], row["quantity"]): row["seeds"]
        for row in table(tmp_path / "logs/reproduce/results.csv")
    }
    assert kept["toy/one", "", "test/accuracy"] == "3"
    assert kept["toy/sweep", "tanh", "test/accuracy"] == "2"  # not asked for, but not lost


def test_a_run_of_other_settings_is_set_aside(reproduce, toys, tmp_path):
    assert reproduce("toy/one", "--seeds", "1").returncode == 0
    before = read_run(tmp_path / "logs/reproduce/toy/one/seed-0")
    (toys / "experiment/toy/one.yaml").write_text(BASE.replace("hidden: [8]", "hidden: [4]"))
    assert "1 runs, 1 of them to do" in reproduce("toy/one", "--seeds", "1").stdout
    after, aside = map(read_run, summaries(tmp_path))
    assert (after.folder.name, after.settings["model"]["hidden"]) == ("seed-0", [4])
    assert aside.folder.name.startswith("seed-0-replaced-")
    assert aside.result.metrics == before.result.metrics
    assert after.result.overrides[0] == "+experiment=toy/one"


LONG = BASE.replace("max_epochs: 1", "max_epochs: 100000")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_what_ends_the_command_ends_its_runs(sent, code, toys, tmp_path):
    (toys / "experiment/toy/one.yaml").write_text(LONG)
    command = [sys.executable, "-c", START, str(toys), "reproduce", "toy/one", "--seeds", "2", "--jobs", "2"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=ctrl_c.heed
    )
    tables = [tmp_path / f"logs/reproduce/toy/one/seed-{seed}/metrics.csv" for seed in (0, 1)]
    until(lambda: all(table.exists() for table in tables))
    children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert len(children) >= 2
    process.send_signal(sent)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code
    until(lambda: not any(alive(child) for child in children))
    if sent != signal.SIGKILL:
        assert "interrupted: 0 of 2 runs have ended; the same command goes on" in out
        assert "Traceback" not in err
        assert {read_run(folder).result.status for folder in summaries(tmp_path)} == {"interrupted"}
    (toys / "experiment/toy/one.yaml").write_text(BASE)


def alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_run_that_did_not_end_is_run_again_and_the_figures_are_the_same(reproduce, tmp_path):
    assert reproduce("toy/one", "--quick", "--output", "out").returncode == 0
    before = table(tmp_path / "out/results.csv")
    assert "A quick run" in (tmp_path / "out/RESULTS.md").read_text()
    folder = tmp_path / "logs/reproduce-quick/toy/one/seed-0"
    summary = folder / "summary.json"
    summary.write_text(summary.read_text().replace('"status": "completed"', '"status": "running"'))
    assert "1 runs, 1 of them to do" in reproduce("toy/one", "--quick", "--output", "out").stdout
    after = table(tmp_path / "out/results.csv")
    assert [row | {"seconds": ""} for row in after] == [row | {"seconds": ""} for row in before]


def test_a_second_command_at_the_same_time_is_refused(reproduce, tmp_path):
    (tmp_path / "logs/reproduce").mkdir(parents=True)
    with (tmp_path / "logs/reproduce/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = reproduce("toy/one")
    message = "error: another process is at work in logs/reproduce: wait for it\n"
    assert (done.returncode, done.stderr) == (1, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toy/onee"], "error: toy/onee is not an experiment: did you mean toy/one or toy/sweep or toy/dying?\n"),
        (
            ["--cifar10-images", "/nowhere"],
            "error: --cifar10-images /nowhere holds no train/ and test/: name a folder that does\n",
        ),
        (
            ["--output", "/dev/null/x"],
            "error: --output /dev/null/x cannot be used (/dev/null is not a folder): name another folder\n",
        ),
        (["lab4"], "error: lab4 is not an experiment: set one of toy/dying, toy/one, toy/sweep, toy\n"),
    ],
)
def test_what_cannot_be_is_one_line(reproduce, arguments, message, tmp_path):
    done = reproduce(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)


@pytest.mark.slow
def test_every_experiment_trains_on_the_real_data(tmp_path, real):
    for name in ("FashionMNIST", "aclImdb", "cifar10_jpeg"):
        root = real(name)
    command = [
        sys.executable,
        "-c",
        START,
        str(CONF),
        "reproduce",
        "--quick",
        "--cifar10-images",
        f"{root}/cifar10_jpeg",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [row for row in table(tmp_path / "logs/reproduce-quick/results.csv") if row["reproduced"] == ""]
