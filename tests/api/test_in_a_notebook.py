"""What a cell of a notebook shows while dlproj trains; tests/test_notebooks.py has real kernels."""

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dlproj
from dlproj.api import labs, sweep
from dlproj.reports import terminal
from dlproj.training import progress_bar
from dlproj.training.run import train

DIGITS = ["data=digits", "model.hidden=[16]", "trainer.accelerator=cpu", "trainer.threads=1", "trainer.max_epochs=2"]
REDRAWN = re.compile(r".*\r(?=[^\n])")  # as Jupyter and nbconvert read carriage returns


class Cell(io.StringIO):
    """Standard output as a kernel has it, by the name of its module."""

    __module__ = "ipykernel.iostream"


@pytest.fixture
def shown(composed, tmp_path, monkeypatch):
    """Call with a delay in seconds: what a run of two epochs writes into its cell."""

    def call(delay):
        stream = Cell()
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setattr(progress_bar, "print_table", lambda *table: None)
        monkeypatch.setitem(progress_bar._IN_NOTEBOOK, "delay", delay)
        train(composed(*DIGITS, "figures=none"), tmp_path)
        return stream.getvalue()

    return call


def test_a_short_epoch_leaves_its_line_and_no_trace_of_a_bar(shown):
    text = shown(delay=1000)
    assert [line.split(":")[0] for line in text.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert "\r" not in text


def test_a_long_epoch_has_a_bar_in_one_line_that_its_line_replaces(shown):
    text = shown(delay=0)
    assert "epoch 1/2, validation 100%|" in text
    assert "\x1b" not in text
    left = [REDRAWN.sub("", line).strip() for line in text.split("\n")]
    assert [line.split(":")[0] for line in left if line] == ["epoch 1/2", "epoch 2/2"]


@pytest.mark.parametrize(("here", "tables"), [(True, [(["run", "seed"], [["0", "1"], ["1", "2"]])]), (False, [])])
def test_a_sweeps_table_is_ruled_in_a_notebook_alone(here, tables, monkeypatch, capsys):
    code = r"print('[1/2] 0'); print('run\tseed'); print('0\t1'); print('1\t2'); print('best: 1')"
    monkeypatch.setattr(sweep, "_COMMAND", [sys.executable, "-c", code])
    monkeypatch.setattr(sweep, "is_notebook", lambda: here)
    printed = []
    monkeypatch.setattr(sweep, "print_table", lambda *table: printed.append(table))
    sweep.call([])
    assert printed == tables
    rows = "" if here else "run\tseed\n0\t1\n1\t2\n"
    assert capsys.readouterr().out == f"[1/2] 0\n{rows}best: 1\n"


def test_outside_of_a_kernel_is_no_notebook():
    assert not terminal.is_notebook()


def test_reproduce_returns_the_rows_of_what_was_asked_for(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(labs, "call", called.append)
    monkeypatch.chdir(tmp_path)
    Path("logs/reproduce").mkdir(parents=True)
    shutil.copy(Path(__file__).parents[2] / "results.csv", "logs/reproduce")
    rows = dlproj.reproduce("mlp/activations", seeds=2)
    assert called == [["reproduce", "mlp/activations", "--seeds", "2"]]
    assert list(rows["point"]) == ["relu", "sigmoid", "tanh", "leaky_relu", "elu"]
    assert rows["reported"].iloc[2] == 0.8794
    assert ((rows["reproduced"] - rows["reported"]) - rows["difference"]).abs().max() < 1e-12
    assert set(dlproj.reproduce("lab4", "mlp/depth")["experiment"].str.split("/").str[0]) == {"lab4", "mlp"}
    assert len(dlproj.reproduce()) == len(Path("logs/reproduce/results.csv").read_text().splitlines()) - 1


@pytest.mark.parametrize("used", ["import dlproj.api.process", "from dlproj import Classifier"])
def test_what_is_used_first_loads_torch_with_threads_that_do_not_spin(used):
    code = f"import os; {used}; assert 'GOMP_SPINCOUNT' not in os.environ"
    others = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}  # another test's
    environment = others | {"OMP_DISPLAY_ENV": "VERBOSE"}  # GCC's library prints what it has read
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "GOMP_SPINCOUNT = '1000'" in shown.stderr
