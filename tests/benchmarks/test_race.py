"""Workers that train in turn, and a whole quick run on the real data. Nothing is said of times."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.cases import CASES, Job, shortened
from benchmarks.figures import Figures
from benchmarks.race import race

CASE = shortened(CASES[0], 2)


def test_a_worker_that_fails_leaves_a_note_and_the_others_go_on(tmp_path):
    variants = ("matmul", "lab")  # the lab loop needs arrays, which are not there
    jobs = [Job(CASE, variant, 1, "cpu", 2, "nowhere", str(tmp_path / variant)) for variant in variants]
    matmul, lab = Figures(race(jobs, 2, lambda text: None)).rows()
    assert list(matmul.seconds) == [1, 2]
    assert matmul.peak_memory_bytes > 0
    assert not lab.seconds
    assert lab.note.startswith("failed with exit code 1: FileNotFoundError: ")


def test_without_keras_its_row_says_so(tmp_path, monkeypatch):
    if find_spec("tensorflow"):
        pytest.skip("TensorFlow is installed")
    monkeypatch.delenv("KERAS_PYTHON", raising=False)
    job = Job(CASE, "keras", 1, "cpu", 2, "nowhere", str(tmp_path / "keras"))
    (row,) = Figures(race([job], 1, str)).rows()
    assert row.note == "not installed: name a Python that has keras and tensorflow in KERAS_PYTHON"


@pytest.mark.slow
def test_a_quick_run_from_end_to_end(tmp_path, capsys):
    root = Path(os.environ.get("DLPROJ_DATA_DIR") or "data")
    if not (root / "FashionMNIST" / "raw").is_dir():
        pytest.skip("needs Fashion-MNIST: set DLPROJ_DATA_DIR")
    output = tmp_path / "results.md"
    options = ["--quick", "--cases", "mlp-256-32", "--variants", "floor,dlproj", "--threads", "1", "--device", "cpu"]
    main([*options, "--output", str(output)])
    report = output.read_text()
    assert capsys.readouterr().out == report + "\n"
    assert "**QUICK" in report
    floor, dlproj = (line.split(" | ") for line in report.splitlines() if line.startswith("| mlp-256-32 | 1 |"))
    assert (floor[2], dlproj[2]) == ("floor", "dlproj")
    assert float(dlproj[4]) > 0
    output.unlink()
    main(["--render", "--output", str(output)])
    assert output.read_text() == report
