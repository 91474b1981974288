"""What a start imports, and in which state it leaves the process."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What the way to the first training step on reviews does not need, though another run may, or the end of this one.
UNUSED = {"IPython", "PIL", "keras", "matplotlib", "pandas", "pooch", "rich", "scipy", "sklearn", "sympy", "tensorflow",
          "torchvision", "torch._dynamo", "torch._inductor", "torch.distributed.elastic"}  # fmt: skip
# Lightning makes the writer of events when the fit begins.
WRITER = {"tensorboard", "torch.utils.tensorboard"}

TO_THE_FIRST_STEP = """
import gc, json, os, sys
import torch, pytorch_lightning, torchmetrics
before = set(sys.modules)
import train
from hydra import compose, initialize_config_dir
from dlproj.models.classifier import Classifier

class FirstStep(Exception): pass

def training_step(*_):
    started.update(sys.modules)
    raise FirstStep

Classifier.training_step = training_step
root, conf = sys.argv[1:]
imported, started = set(sys.modules), set()
with initialize_config_dir(conf, version_base="1.3"):
    config = train.checked(compose("config", ["name=test", "data=imdb", "model=lstm", f"data.root={root}",
        "trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false"]))
try:
    train.run(config, train.Path(root) / "run")
except FirstStep:
    print(json.dumps({"import": list(imported - before), "start": list(started - before),
                      "collects": gc.isenabled(), "frozen": gc.get_freeze_count()}))
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The finished process, and what it found: modules beyond torch's, Lightning's and torchmetrics'."""
    root = tmp_path_factory.mktemp("data")
    for folder in ("train/neg", "train/pos", "test/neg", "test/pos"):
        path = root / "aclImdb" / folder
        path.mkdir(parents=True)
        for number in range(10):
            (path / f"{number}_5.txt").write_text(f"the film number{number}")
    command = [sys.executable, "-c", TO_THE_FIRST_STEP, str(root), str(ROOT / "conf")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("moment", "unused"), [("import", UNUSED | WRITER), ("start", UNUSED)])
def test_a_start_imports_nothing_heavy_that_it_does_not_use(start, moment, unused):
    _, found = start
    assert "dlproj.data.imdb" in found[moment]
    assert unused & set(found[moment]) == set()


def test_the_garbage_collector_is_off_for_the_imports_only(start):
    done, found = start
    assert found["collects"]
    assert found["frozen"] > 100_000
    assert "leaked" not in done.stderr


def test_the_users_files_beside_train_py_do_not_take_the_place_of_pythons_modules(tmp_path):
    shutil.copy(ROOT / "train.py", tmp_path)
    for name in ("pathlib", "random", "types", "logging", "queue", "numpy", "torch"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('a file of the user')")
    done = subprocess.run([sys.executable, "train.py", "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Hydra")
