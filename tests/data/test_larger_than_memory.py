"""Images and tables that take three times the memory that a process may allocate train to the same weights."""

import faulthandler
import os
import re
import resource
from importlib import import_module
from multiprocessing import get_context, set_forkserver_preload

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dlproj.api.composing import composed
from dlproj.data import mapped_files
from dlproj.inference.trained import open_run
from dlproj.training.run import train

ALLOWED = {"image_folder": 200 * 10**6, "table": 100 * 10**6}  # bytes, beside what the program itself takes
IMAGES = 3 * ALLOWED["image_folder"] // (3 * 128 * 128)
NO_MEMORY = "MemoryError|bad_alloc|allocate memory|Resource temporarily unavailable"  # the last: for a thread
LONGEST = 600  # seconds, after which a process that waits for ever prints where, and ends
IMPORTED = [
    *("dlproj.training.run", "torch.utils.tensorboard", "pytorch_lightning.utilities", "sklearn.model_selection"),
    *("dlproj.data.image_folder", "dlproj.data.table", "PIL.Image"),
]
FEW = ["data=digits", "figures=none", "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.threads=1"]


def limit_memory(allowed, folder):
    """Allow these bytes beside what is imported and allocated after a training."""
    for name in IMPORTED:
        import_module(name)
    train(composed(FEW)[0], folder, FEW)
    # The data segment: what is allocated, but not pages of a mapped file, which the kernel can drop at any time.
    with open("/proc/self/status") as status:
        (used,) = [int(line.split()[1]) for line in status if line.startswith("VmData")]
    most = used * 1024 + allowed
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    all_memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    mapped_files._IN_MEMORY = allowed / 20 / all_memory


def train_in_process(folder, allowed, overrides):
    """Train in this process, whose standard error goes to a file beside the folder."""
    os.dup2(os.open(f"{folder}.err", os.O_WRONLY | os.O_CREAT), 2)
    faulthandler.dump_traceback_later(LONGEST, exit=True, file=2)
    if allowed:
        limit_memory(allowed, folder.with_name(f"{folder.name} few"))
    train(composed(overrides)[0], folder, overrides)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """As many links to a hundred images."""
    root = tmp_path_factory.mktemp("images")
    for place in range(IMAGES):
        split, name = "test" if place % 50 == 0 else "train", "dog" if place % 7 < 3 else "cat"
        path, first = root / split / name / f"{place}.bmp", root / f"{place % 100}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not first.exists():
            Image.effect_noise((128, 128), place % 100).convert("RGB").save(first)
        os.link(first, path)
    return root


def trained(data, folder, is_limited, cache):
    """Return the exit status and the standard error of a training."""
    overrides = [
        *(*data, f"data.cache={cache}", "figures=none", "data.val_fraction=0.02"),
        *("data.batch_size=32", "data.eval_batch_size=32", "model.hidden=[4]", "trainer.accelerator=cpu"),
        *("trainer.threads=1", "trainer.max_epochs=2", "trainer.limit_train_batches=60"),
    ]
    allowed = ALLOWED[data[0].removeprefix("data=")] if is_limited else None
    process = get_context("forkserver").Process(target=train_in_process, args=(folder, allowed, overrides))
    process.start()
    process.join()
    return process.exitcode, folder.with_name(f"{folder.name}.err").read_text()


def check(data, is_made_limited, folder):
    """is_made_limited: also when the file is made, whose content more is done with than to open it."""
    set_forkserver_preload(IMPORTED)
    status, errors = trained(data, folder / "in memory", True, "never")
    assert status != 0
    assert "Timeout" not in errors
    assert re.search(NO_MEMORY, errors)
    for name, is_limited in (("made", is_made_limited), ("mapped", True)):  # the second opens what the first has made
        status, errors = trained(data, folder / name, is_limited, "always")
        assert status == 0, errors
    status, errors = trained(data, folder / "usual", False, "never")
    assert status == 0, errors
    one, other = (open_run(folder / name).model.state_dict() for name in ("mapped", "usual"))
    assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.slow
def test_three_times_the_allowed_memory_trains_to_the_same_weights(root, tmp_path):
    check(["data=image_folder", f"data.root={root}", "data.image_size=128"], True, tmp_path)


@pytest.mark.slow
def test_a_table_of_three_times_the_allowed_memory_trains_to_the_same_weights(tmp_path):
    rows = 3 * ALLOWED["table"] // (4 * 784)
    values = np.random.default_rng(0).integers(0, 256, (rows, 784), np.uint8)
    frame = pd.DataFrame(values, columns=[f"pixel{i}" for i in range(784)]).assign(label=values[:, 0] > 99)
    frame.to_parquet(tmp_path / "table.parquet")
    check(["data=table", f"data.file={tmp_path / 'table.parquet'}", "data.target=label"], False, tmp_path)
