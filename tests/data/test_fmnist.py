import gzip
import shutil
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision

from dlproj.config.checks import DataError
from dlproj.config.images import FMNIST_CLASSES as CLASSES
from dlproj.config.images import FMNISTConfig

RANDOM = np.random.default_rng(0)
IMAGES = {
    "train": RANDOM.integers(0, 256, (20, 28, 28), np.uint8),
    "t10k": RANDOM.integers(0, 256, (6, 28, 28), np.uint8),
}
LABELS = {"train": np.arange(20, dtype=np.uint8) % 10, "t10k": np.arange(6, dtype=np.uint8)}


def idx(array):
    """The IDX format: 0, 0, type 8 (unsigned byte), dimensions, sizes, values; http://yann.lecun.com/exdb/mnist."""
    return struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def files():
    for split in ("train", "t10k"):
        yield f"{split}-images-idx3-ubyte", idx(IMAGES[split])
        yield f"{split}-labels-idx1-ubyte", idx(LABELS[split])


@pytest.fixture
def root(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in files():
        (raw / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def network(monkeypatch):
    """Call with a function (url, folder, file) that stands for one download, in place of the network."""

    def set_to(fetch):
        def download(url, download_root, filename, md5):
            fetch(url, download_root, filename.removesuffix(".gz"))

        monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", download)

    return set_to


def serve(url, folder, file):
    Path(folder, file).write_bytes(dict(files())[file])


def offline(*_):
    raise URLError("no route to host")


def data(root, **settings):
    module = FMNISTConfig(root=str(root), **settings).build(0)
    module.prepare_data()
    module.setup()
    return module


def test_images_and_labels_are_those_of_the_files(root, network):
    network(offline)
    module = data(root)
    assert np.array_equal(torch.cat([module.train.inputs, module.val.inputs])[:, 0], IMAGES["train"])
    assert np.array_equal(torch.cat([module.train.targets, module.val.targets]), LABELS["train"])
    assert np.array_equal(module.test.inputs[:, 0], IMAGES["t10k"])
    assert module.train.inputs.dtype == torch.uint8
    assert module.train.targets.dtype == torch.int64


@pytest.fixture
def packed(root):
    """The same, as the files are downloaded."""
    for path in (root / "FashionMNIST" / "raw").iterdir():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    return root


def test_files_that_are_still_packed_are_read_and_nothing_is_written(packed, network):
    network(offline)
    before = sorted(packed.rglob("*"))
    module = data(packed)
    assert np.array_equal(torch.cat([module.train.inputs, module.val.inputs])[:, 0], IMAGES["train"])
    assert np.array_equal(module.test.targets, LABELS["t10k"])
    assert sorted(packed.rglob("*")) == before


def test_a_file_that_is_there_both_ways_is_read_unpacked(root, packed, network):
    network(offline)
    raw = root / "FashionMNIST" / "raw"
    for name, content in files():
        (raw / name).write_bytes(content)
        (raw / f"{name}.gz").write_text("never read")
    assert len(data(root).test) == 6


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no gzip", "empty", "short content"])
def test_a_damaged_packed_file_is_named(packed, damage):
    path = packed / "FashionMNIST" / "raw" / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    contents = {
        "truncated": whole[: len(whole) // 2],
        "flipped": whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:],  # of the checksum
        "no gzip": gzip.decompress(whole),
        "empty": b"",
        "short content": gzip.compress(gzip.decompress(whole)[:-1]),
    }
    path.write_bytes(contents[damage])
    with pytest.raises(DataError, match=f"{path} is missing, incomplete or damaged: delete it and run again"):
        data(packed)


def test_spec_needs_no_files():
    spec = FMNISTConfig(root="/nowhere").spec()
    assert spec.shape == (1, 28, 28)
    assert spec.classes == tuple(torchvision.datasets.FashionMNIST.classes) == CLASSES


def test_download_is_moved_into_place(tmp_path, network, left_over):
    network(serve)
    assert len(data(tmp_path / "new" / "folder").test) == 6
    assert left_over(tmp_path / "new" / "folder") == []


def test_no_network(tmp_path, network, left_over):
    network(offline)
    with pytest.raises(DataError) as caught:
        data(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert f"{tmp_path}/FashionMNIST/raw/train-images-idx3-ubyte is missing and could not be downloaded" in message
    for way_out in ("no route to host", "run again", "copy the folder FashionMNIST", "data.root=…", "data=digits"):
        assert way_out in message
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(tmp_path, network):
    def interrupted(url, folder, file):
        serve(url, folder, file)
        if "t10k" in file:
            raise KeyboardInterrupt

    network(interrupted)
    with pytest.raises(KeyboardInterrupt):
        data(tmp_path)
    assert list(tmp_path.iterdir()) == []
    network(serve)
    assert len(data(tmp_path).test) == 6


def test_a_run_that_was_first_is_left_alone(tmp_path, root, network, left_over):
    def slower(url, folder, file):
        serve(url, folder, file)
        if not (tmp_path / "new").joinpath("FashionMNIST").exists():
            shutil.copytree(root / "FashionMNIST", tmp_path / "new" / "FashionMNIST")

    network(slower)
    assert len(data(tmp_path / "new").test) == 6
    assert left_over(tmp_path / "new") == []


def test_a_deleted_file_is_fetched_again(root, network):
    (root / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    network(offline)
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte is missing and could not be downloaded"):
        data(root)
    network(serve)
    assert len(data(root).test) == 6


@pytest.mark.parametrize("name", [name for name, _ in files()])
@pytest.mark.parametrize("size", [0, 3, 13, -1, None])
def test_a_damaged_file_is_named(root, name, size):
    path = root / "FashionMNIST" / "raw" / name
    content = path.read_bytes()
    path.write_bytes(content + b"0" if size is None else content[:size])
    with pytest.raises(DataError, match=f"{path} is missing, incomplete or damaged: delete it and run again") as caught:
        data(root)
    assert "data.root=…" in str(caught.value)
    assert "data=digits" in str(caught.value)


def test_files_of_another_data_set_are_refused(root):
    raw = root / "FashionMNIST" / "raw"
    (raw / "train-labels-idx1-ubyte").write_bytes(idx(LABELS["t10k"]))
    with pytest.raises(DataError, match="train-labels-idx1-ubyte"):
        data(root)
    (raw / "train-labels-idx1-ubyte").write_bytes(idx(LABELS["train"] + 1))
    with pytest.raises(DataError, match="train-labels-idx1-ubyte"):
        data(root)
    (raw / "train-images-idx3-ubyte").write_bytes(idx(IMAGES["train"][:, :14]))
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        data(root)


def test_root_may_not_be_a_file(tmp_path, network):
    network(offline)
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match=f"data.root={root} cannot be used for FashionMNIST .*set data.root to"):
            data(root)


def test_root_may_not_be_writable(tmp_path, network, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    network(serve)
    monkeypatch.setattr("tempfile.mkdtemp", refused)
    with pytest.raises(DataError, match=r"cannot be used for FashionMNIST \(\[Errno 13\] Permission denied\)"):
        data(tmp_path)


def test_home_is_expanded(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root))
    assert len(data("~").test) == 6


def test_the_real_images(real):
    module = data(real("FashionMNIST"))
    pixels = torch.cat([module.train.inputs, module.val.inputs])
    assert pixels.shape == (60_000, 1, 28, 28)
    assert module.test.inputs.shape == (10_000, 1, 28, 28)
    counts = pixels.flatten().bincount(minlength=256).double()
    values = torch.arange(256) / 255
    mean = (counts @ values.double() / counts.sum()).item()
    deviation = (counts @ (values.double() - mean).square() / counts.sum()).sqrt().item()
    assert (round(mean, 4), round(deviation, 4)) == (0.2860, 0.3530)
    assert torch.cat([module.train.targets, module.val.targets]).bincount().tolist() == [6000] * 10
