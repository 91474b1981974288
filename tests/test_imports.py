"""Which packages a command waits for before it answers."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HEAVY = (
    "IPython",
    "jinja2",
    "matplotlib",
    "numpy",
    "optuna",
    "pandas",
    "PIL",
    "pooch",
    "pytorch_lightning",
    "scipy",
    "sklearn",
    "tensorboard",
    "torch",
    "torchmetrics",
    "torchvision",
)


def modules(package):
    return sorted(f"{package}.{path.stem}" for path in Path(find_spec(package).origin).parent.glob("[!_]*.py"))


def imported_by(code, tmp_path):
    """The heavy packages that a fresh process has imported after the code, however that ended."""
    script = (
        f"import sys, atexit; atexit.register(lambda: print('imported:', *set(sys.modules) & set({HEAVY!r})))\n{code}"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("imported:"))
    return set(line.split()[1:]), done.stderr


LIGHT = [
    *modules("dlproj.config"),
    *modules("dlproj.runs"),
    *modules("dlproj.watch"),
    *modules("dlproj.trackers"),
    "dlproj.experiments",
    "dlproj.late_imports",
    "hydra_plugins.dlproj_launchers",
    "hydra_plugins.dlproj_sweepers",
]


@pytest.mark.parametrize("module", LIGHT)
def test_settings_need_no_heavy_package(module, tmp_path):
    assert imported_by(f"import {module}", tmp_path) == (set(), "")


def test_reports_need_no_torch(tmp_path):
    """All at once: matplotlib takes half a second to import."""
    code = "\n".join(f"import {module}" for module in modules("dlproj.reports"))
    assert imported_by(code, tmp_path)[0] <= {"PIL", "jinja2", "matplotlib", "numpy"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model.dropuot=0.1"], "error: unknown setting model.dropuot: did you mean model.dropout?\n"),
        (["model.dropout=2"], "error: model.dropout=2.0 must be in [0, 1)\n"),
        (["data=digts"], "error: unknown choice data=digts: did you mean data=digits? set one of "),
        (["model=lstm", "data=digits"], "error: an RNN needs to know how to read an image: set "),
        (["-m", "model.dropuot=0.1,0.2"], "error: unknown setting model.dropuot: did you mean model.dropout?\n"),
        (["-m", "seed=1,2", "sweep.jobs=0"], "error: sweep.jobs=0 must be in [1, inf)\n"),
        (["data=digits", "init_from=nowhere"], "error: no run at nowhere, which is not a folder: name a run's folder"),
        (["--help"], ""),
        (["--cfg", "job"], ""),
    ],
)
def test_what_train_py_refuses_or_explains_waits_for_no_heavy_package(arguments, words, tmp_path):
    code = f"import sys; sys.argv = ['train.py', *{arguments!r}]; from dlproj.cli.train import start; start('__main__')"
    found, err = imported_by(code, tmp_path)
    assert found == set()
    assert err.startswith(words)


def test_a_table_is_checked_without_torch(tmp_path):
    (tmp_path / "table.csv").write_text("x,kind\n" + "1.5,a\n2,b\n" * 9)
    settings = ["data=table", "data.file=table.csv", "data.target=kin"]
    code = f"import sys; sys.argv = ['train.py', *{settings!r}]; from dlproj.cli.train import start; start('__main__')"
    found, err = imported_by(code, tmp_path)
    assert found <= {"numpy", "pandas"}
    assert err == "error: table.csv: there is no column kin: did you mean kind? the columns are x, kind\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["runs", "."],
        ["reproduce", "lab9"],
        ["resume", "nowhere"],
        ["resume", "nowhere", "seed=1"],
        ["evaluate", "nowhere"],
        ["find", "learning_rate", "data=digts"],
    ],
)
def test_what_dlproj_refuses_or_lists_waits_for_no_heavy_package(arguments, tmp_path):
    code = f"import sys; sys.argv = ['dlproj', *{arguments!r}]; from dlproj.cli.app import main; main()"
    found, _ = imported_by(code, tmp_path)
    assert found <= {"numpy"}
