import hashlib
import pickle
import tarfile
from io import BytesIO
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from torchvision.datasets import CIFAR10

from dlproj.config.checks import DataError
from dlproj.config.images import CIFAR10_CLASSES as CLASSES
from dlproj.config.images import CIFAR10Config

RANDOM = np.random.default_rng(0)
TRAIN = [RANDOM.integers(0, 256, (4, 3072), np.uint8) for _ in range(5)]
TEST = RANDOM.integers(0, 256, (3, 3072), np.uint8)


class OldPickler(pickle.Pickler):
    """Writes a dtype as the NumPy of 2009 did, align and copy as 0 and 1: NumPy 2.4 warns when it reads that."""

    def reducer_override(self, value):
        if isinstance(value, np.dtype):
            return np.dtype, (value.str.lstrip("|"), 0, 1), value.__reduce__()[2]
        return NotImplemented


def pickled(content):
    buffer = BytesIO()
    OldPickler(buffer, protocol=2).dump(content)
    return buffer.getvalue()


def batch(images, first):
    return pickled({"data": images, "labels": [(first + i) % 10 for i in range(len(images))], "batch_label": "batch"})


def files():
    batches = {f"data_batch_{i + 1}": batch(images, 4 * i) for i, images in enumerate(TRAIN)}
    return batches | {"test_batch": batch(TEST, 0), "batches.meta": pickled({"label_names": list(CLASSES)})}


@pytest.fixture
def tiny(monkeypatch):
    """torchvision's list of checksums, for the tiny files."""
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files().items()}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name, _ in CIFAR10.train_list])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums["batches.meta"]})


@pytest.fixture
def network(monkeypatch):
    """Call with a function (url, root) that stands for the download of the archive."""
    return lambda fetch: monkeypatch.setattr(
        torchvision.datasets.cifar, "download_and_extract_archive", lambda url, root, **_: fetch(url, root)
    )


def serve(url, root):
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for name, content in files().items():
        (folder / name).write_bytes(content)


def offline(*_):
    raise URLError("no route to host")


def data(root):
    module = CIFAR10Config(root=str(root), val_fraction=0.2).build(0)
    module.prepare_data()
    module.setup()
    return module


def test_images_and_labels_are_those_of_the_pickles(tmp_path, tiny, network):
    serve("", tmp_path)
    network(offline)
    module = data(tmp_path)
    images = torch.cat([module.train.inputs, module.val.inputs])
    assert images.dtype == torch.uint8
    assert images.is_contiguous()
    # A row holds 1024 red, then 1024 green, then 1024 blue values, each plane row by row (cs.toronto.edu/~kriz).
    assert np.array_equal(images, np.concatenate(TRAIN).reshape(20, 3, 32, 32))
    assert np.array_equal(module.test.inputs, TEST.reshape(3, 3, 32, 32))
    assert torch.cat([module.train.targets, module.val.targets]).tolist() == [i % 10 for i in range(20)]


def test_download_is_moved_into_place(tmp_path, tiny, network, left_over):
    network(serve)
    assert len(data(tmp_path).test) == 3
    assert left_over(tmp_path) == []


def test_spec_needs_no_files():
    assert CIFAR10Config(root="/nowhere").spec().shape == (3, 32, 32)
    assert len(CIFAR10Config().spec().classes) == 10


def test_no_network(tmp_path, network):
    network(offline)
    with pytest.raises(
        DataError, match=r"data_batch_1 is missing and could not be downloaded .*no route to host"
    ) as caught:
        data(tmp_path)
    assert "copy the folder cifar-10-batches-py into data.root" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_download_with_a_wrong_checksum_leaves_nothing(tmp_path, network):
    def truncated(*_):
        raise RuntimeError("File not found or corrupted.")

    network(truncated)
    with pytest.raises(DataError, match="could not be downloaded"):
        data(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", list(files()))
def test_a_damaged_file_is_named(tmp_path, tiny, name):
    serve("", tmp_path)
    path = tmp_path / "cifar-10-batches-py" / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{path} is missing, incomplete or damaged: delete it and run again"):
        data(tmp_path)


def test_a_deleted_file_is_fetched_again(tmp_path, tiny, network):
    network(serve)
    serve("", tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    assert len(data(tmp_path).test) == 3


def test_the_real_images(real):
    module = data(real("cifar-10-batches-py"))
    assert len(module.train) + len(module.val) == 50_000
    assert module.test.targets.bincount().tolist() == [1000] * 10


@pytest.fixture
def archive(tmp_path, tiny, network, monkeypatch):
    """A root in which the archive lies as a browser downloaded it."""
    network(offline)
    path = tmp_path / CIFAR10.filename
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files().items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(path.read_bytes()).hexdigest())
    return path


def test_an_archive_beside_is_unpacked_and_kept(archive, left_over):
    module = data(archive.parent)
    assert len(module.test) == len(TEST)
    assert archive.is_file()
    assert left_over(archive.parent) == []


def test_a_damaged_archive_is_named(archive, left_over):
    archive.write_bytes(archive.read_bytes()[:-9])
    with pytest.raises(DataError, match=f"{archive} is missing, incomplete or damaged: delete it and run again"):
        data(archive.parent)
    assert left_over(archive.parent) == []
