"""Images and tables that take three times the memory that a process may allocate train to the same weights."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dlproj.inference.trained import open_run

ALLOWED = 200  # MB, beside what the program itself takes
IMAGES = 3 * ALLOWED * 10**6 // (3 * 128 * 128)
TRAIN = """
import os, resource, sys
import torch
from dlproj.api.composing import composed
from dlproj.runs.new_run import checked
from dlproj.training.run import train
from pathlib import Path
import dlproj.data.image_folder, dlproj.data.table, dlproj.data.mapped_files, dlproj.training.run
import torch.utils.tensorboard, pytorch_lightning.utilities, PIL.Image, sklearn.model_selection

def all_memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

folder, limited, *overrides = sys.argv[1:]
if limited == "limited":
    few = ["data=digits", "figures=none", "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.threads=1"]
    train(composed(few)[0], Path(folder + " of few"), few)  # imports and allocates what the program itself takes
    # The data segment: what is allocated, but not pages of a mapped file, which the kernel can drop at any time.
    (used,) = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")]
    most = used * 1024 + ALLOWED * 10**6
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    dlproj.data.mapped_files._IN_MEMORY = ALLOWED * 10**6 / 20 / all_memory()
config, _ = composed(overrides)
train(config, Path(folder), overrides)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """As many links to a hundred images."""
    root = tmp_path_factory.mktemp("images")
    for place in range(IMAGES):
        split, name = "test" if place % 50 == 0 else "train", "dog" if place % 7 < 3 else "cat"
        path, first = root / split / name / f"{place}.png", root / f"{place % 100}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not first.exists():
            Image.effect_noise((128, 128), place % 100).convert("RGB").save(first, compress_level=1)
        os.link(first, path)
    return root


def trained(data, folder, limit, cache):
    overrides = [
        *(*data, f"data.cache={cache}", "figures=none", "data.val_fraction=0.02"),
        *("data.batch_size=32", "data.eval_batch_size=32", "model.hidden=[4]", "trainer.accelerator=cpu"),
        *("trainer.threads=1", "trainer.max_epochs=2", "trainer.limit_train_batches=60"),
    ]
    script = TRAIN.replace("ALLOWED", str(ALLOWED))
    return subprocess.run(
        [sys.executable, "-c", script, folder, limit, *overrides], capture_output=True, text=True, check=False
    )


def check(data, made, folder):
    """made: the limit under which the file is made, whose content more is done with than to open it."""
    in_memory = trained(data, folder / "in memory", "limited", "never")
    assert in_memory.returncode != 0
    assert "emory" in in_memory.stderr  # MemoryError, or torch's or pyarrow's: the limit is one
    for name, limit in (("made", made), ("mapped", "limited")):  # the second opens what the first has made
        mapped = trained(data, folder / name, limit, "always")
        assert mapped.returncode == 0, mapped.stderr
    usual = trained(data, folder / "usual", "not limited", "never")
    assert usual.returncode == 0, usual.stderr
    one, other = (open_run(folder / name).model.state_dict() for name in ("mapped", "usual"))
    assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.slow
def test_three_times_the_allowed_memory_trains_to_the_same_weights(root, tmp_path):
    check(["data=image_folder", f"data.root={root}", "data.image_size=128"], "limited", tmp_path)


@pytest.mark.slow
def test_a_table_of_three_times_the_allowed_memory_trains_to_the_same_weights(tmp_path):
    rows = 3 * ALLOWED * 10**6 // (4 * 784)
    values = np.random.default_rng(0).integers(0, 256, (rows, 784), np.uint8)
    frame = pd.DataFrame(values, columns=[f"pixel{i}" for i in range(784)]).assign(label=values[:, 0] > 99)
    frame.to_parquet(tmp_path / "table.parquet")
    check(["data=table", f"data.file={tmp_path / 'table.parquet'}", "data.target=label"], "not limited", tmp_path)
