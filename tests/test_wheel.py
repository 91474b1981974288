"""The wheel outside of a checkout: it brings conf/, and all commands work from any folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUICK = ["data=digits", "trainer.accelerator=cpu", "trainer.threads=1", "trainer.max_epochs=1", "model.hidden=[8]"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder into which the wheel is installed, beside the libraries of this environment."""
    folder, quiet = tmp_path_factory.mktemp("wheel"), ["--quiet", "--no-deps"]
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", *quiet, "--no-build-isolation", "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", *quiet, "--target", folder / "site", wheel], check=True)
    return folder / "site"


@pytest.fixture
def dlproj(installed, tmp_path):
    """Call with arguments of `dlproj` in an empty folder: what it printed."""

    def call(*arguments):
        environment = os.environ | {"PYTHONPATH": str(installed)}
        code = "import dlproj, sys; print(dlproj.__file__); from dlproj.cli.app import main; main()"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *arguments],
            cwd=tmp_path,
            env=environment,
            text=True,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        place, _, out = done.stdout.partition("\n")
        assert Path(place).is_relative_to(installed)
        return out

    return call


def test_it_trains_evaluates_and_goes_on(dlproj, tmp_path):
    out = dlproj("train", *QUICK, "hydra.run.dir=run")
    assert "test accuracy" in out
    assert (tmp_path / "run/report.html").is_file()
    assert "test accuracy" in dlproj("evaluate", "run").replace("/", " ")
    assert "run" in dlproj("resume", "run")


def test_it_sweeps(dlproj, tmp_path):
    dlproj("train", "-m", *QUICK, "figures=none", "seed=1,2", "hydra.sweep.dir=sweep")
    assert len(list(tmp_path.glob("sweep/*/summary.json"))) == 2
    assert dlproj("runs", "sweep").count("completed") == 2


def test_it_lists_choices_and_experiments(dlproj):
    assert "model: cnn, custom, gru, lstm, mlp, simple_rnn" in dlproj("train", "--help")
    assert "10000" in dlproj("train", "+experiment=lab4/lstm", "--cfg", "job", "--package", "data.vocabulary_size")


def test_it_reproduces_an_experiment(dlproj, tmp_path):
    """Of made data, which needs no files: one of its batch sizes a run."""
    out = dlproj("reproduce", "mlp/batch_size", "--quick", "--jobs", "2")
    assert "mlp/batch_size 1024" in out
    assert (tmp_path / "logs/reproduce-quick/RESULTS.md").is_file()


@pytest.mark.parametrize("file", ["watch/watch.html", "py.typed"])
def test_it_brings_what_is_not_code(installed, file):
    assert (installed / "dlproj" / file).read_bytes() == (ROOT / "src/dlproj" / file).read_bytes()
