"""The drawing process: what it writes, what it says of a figure that fails, and how it ends."""

import logging
import subprocess
import sys

import pytest

from dlproj.config.figures import FiguresConfig
from dlproj.reports.pictures import Pictures
from dlproj.runs.inspection import Inspection

EPOCHS = {1: {"train/loss": 0.9, "val/loss": 0.8, "train/accuracy": 0.5, "val/accuracy": 0.6}}


def names(paths):
    return [path.stem for path in paths]


def test_figures_are_written_in_the_order_asked_for(tmp_path):
    with Pictures(FiguresConfig(), tmp_path, wanted=True) as pictures:
        pictures.of_training(EPOCHS, 1, Inspection(dead_units={"hidden.0": {1: 0.5}}))
        pictures.of_test([[3, 1], [0, 2]], ["cat", "dog"], Inspection())
        written = pictures.finish()
    assert names(written) == ["learning_curves", "dead_units", "confusion_matrix", "per_class"]
    for path in written:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_a_figure_that_fails_is_said_and_harms_no_other(tmp_path, caplog):
    with Pictures(FiguresConfig(), tmp_path, wanted=True) as pictures, caplog.at_level(logging.WARNING):
        pictures.of_test([[3, 1], [0, 2]], ["one class too few"], Inspection())
        pictures.of_training(EPOCHS, 1, Inspection())
        assert names(pictures.finish()) == ["learning_curves"]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"{tmp_path}/figures/{name}.png was not written" for name in ("confusion_matrix", "per_class")
    ]


def test_a_drawing_process_that_dies_costs_the_figures_and_nothing_else(tmp_path, caplog):
    with Pictures(FiguresConfig(), tmp_path, wanted=True) as pictures, caplog.at_level(logging.WARNING):
        pictures._process.kill()
        pictures._process.wait()
        pictures.of_training(EPOCHS, 1, Inspection())
        pictures.of_test([[3, 1], [0, 2]], ["cat", "dog"], Inspection())
        assert pictures.finish() == []
    assert all("the drawing process has ended" in record.getMessage() for record in caplog.records)
    assert len(caplog.records) == 3


@pytest.mark.parametrize(("end", "code"), [("os.kill(os.getpid(), signal.SIGKILL)", -9), ("sys.exit(3)", 3)])
def test_however_a_run_ends_its_drawing_processes_end_too(end, code, tmp_path):
    script = f"""
import os, signal, sys
from pathlib import Path
from dlproj.config.figures import FiguresConfig
from dlproj.runs.inspection import Inspection
from dlproj.reports.pictures import Pictures
with Pictures(FiguresConfig(), Path({str(tmp_path)!r}), wanted=True) as pictures:
    pictures.of_training({EPOCHS}, 1, Inspection())
    {end}
"""
    # They inherit standard error, whose end is that of them all.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (code, "")


def test_the_report_is_written_from_the_folder(tmp_path, caplog):
    with Pictures(FiguresConfig(), tmp_path, wanted=True) as pictures, caplog.at_level(logging.WARNING):
        pictures.of_folder()
        assert pictures.finish() == []
    (record,) = caplog.records
    assert (
        f"{tmp_path}/report.html was not written: DataError: {tmp_path}/summary.json is missing" in record.getMessage()
    )


@pytest.mark.parametrize(("choice", "wanted"), [("default", False), ("none", True)])
def test_where_nothing_is_wanted_there_is_no_process(choice, wanted, composed, tmp_path):
    with Pictures(composed(f"figures={choice}").figures, tmp_path, wanted) as pictures:
        pictures.of_training(EPOCHS, 1, Inspection())
        assert pictures.finish() == []
        assert pictures._process is None
    assert list(tmp_path.iterdir()) == []
