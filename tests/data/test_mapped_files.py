"""Decoded images in memory-mapped files: equal to those in memory, made once, and made anew if they are damaged."""

import gc
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from dlproj.cli.app import app
from dlproj.config.checks import DataError
from dlproj.config.data import ValidationSplit
from dlproj.config.images import Caching, ImageFolderConfig, Scaling
from dlproj.data import decoded_images, image_folder, mapped_files
from dlproj.data.image import channel_statistics, pixel_counts

RANDOM = np.random.default_rng(0)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DLPROJ_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    for split, count in (("train", 10), ("test", 3)):
        for name in ("dog", "cat"):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(RANDOM.integers(0, 256, (9, 7, 3), np.uint8))
                image.save(tmp_path / "images" / split / name / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def decoded(monkeypatch):
    """Paths of the images that are decoded."""
    paths = []
    decode = decoded_images.decode_into
    monkeypatch.setattr(decoded_images, "decode_into", lambda *args: paths.extend(args[1]) or decode(*args))
    return paths


def data(root, cache=Caching.always, image_size=8, **settings):
    module = ImageFolderConfig(root=str(root), image_size=image_size, cache=cache, batch_size=4, **settings).build(0)
    module.prepare_data()
    module.setup()
    return module


def full(*args):
    raise OSError(28, "No space left on device")


def files(cache, pattern="*"):
    return sorted(cache.glob(pattern))


@pytest.mark.parametrize("scaling", Scaling)
@pytest.mark.parametrize("val", [ValidationSplit.last, ValidationSplit.random])
def test_mapped_images_are_those_in_memory(root, cache, scaling, val):
    choices = (Caching.always, Caching.always, Caching.never)
    mapped, again, usual = (data(root, choice, scaling=scaling, val=val) for choice in choices)
    for module in (mapped, again):
        for split in ("train", "val", "test"):
            ours, theirs = getattr(module, split), getattr(usual, split)
            assert torch.equal(ours.inputs, theirs.inputs)
            assert torch.equal(ours.targets, theirs.targets)
        assert module.fingerprint() == module.fingerprint() == usual.fingerprint()
        for (ours, _), (theirs, _) in zip(module.train_dataloader(), usual.train_dataloader(), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("room", [True, False])
@pytest.mark.parametrize("settings", [{"val": ValidationSplit.random}, {"val": ValidationSplit.stratified, "folds": 3}])
def test_a_part_that_would_fill_the_memory_is_copied_to_a_file(root, cache, settings, room, monkeypatch, caplog):
    usual = data(root, Caching.never, **settings)
    data(root)
    monkeypatch.setattr(mapped_files, "_IN_MEMORY", 0)
    if not room:
        monkeypatch.setattr(os, "posix_fallocate", full)
    module = data(root, **settings)
    for split in ("train", "val", "test"):
        assert torch.equal(getattr(module, split).inputs, getattr(usual, split).inputs)
    assert module.train.inputs.untyped_storage().resizable() == (not room)  # that of a mapping is not torch's own
    assert len(files(cache)) == 4
    assert ("has no room for a part of the data" in caplog.text) == (not room)


def test_images_are_decoded_once(root, cache, decoded):
    data(root)
    assert len(decoded) == 26
    data(root)
    assert len(decoded) == 26
    assert len(files(cache)) == 4
    data(root, channels=1)
    assert len(decoded) == 52


def test_few_images_are_not_kept_of_themselves(root, cache, monkeypatch):
    data(root, Caching.auto)
    assert not cache.exists()
    monkeypatch.setattr(image_folder, "_MANY", 26)
    data(root, Caching.auto)
    assert len(files(cache, "*.npy")) == 2


@pytest.mark.parametrize("change", ["content", "name", "time"])
def test_a_changed_image_is_decoded(root, cache, decoded, change):
    data(root)
    path = root / "train" / "dog" / "3.png"
    if change == "content":
        Image.fromarray(np.zeros((30, 30), np.uint8)).save(path)
    elif change == "name":
        path.rename(path.with_name("30.png"))
    else:
        os.utime(path, ns=(0, 0))
    module = data(root)
    assert len(decoded) == 46  # the training images again
    black = (module.train.inputs.sum((1, 2, 3)) == 0).sum() + (module.val.inputs.sum((1, 2, 3)) == 0).sum()
    assert int(black) == (change == "content")


def test_a_folder_that_was_moved_is_known(root, cache, decoded, tmp_path):
    data(root)
    shutil.move(root, tmp_path / "elsewhere")
    data(tmp_path / "elsewhere")
    assert len(decoded) == 26


@pytest.mark.parametrize("harm", ["truncated", "zeroed", "header", "longer", "note", "lost note", "other shape"])
def test_a_damaged_file_is_said_and_made_anew(root, cache, decoded, caplog, harm):
    usual = data(root, Caching.never)
    data(root)
    decoded.clear()
    path = max(cache.glob("*.npy"), key=lambda path: path.stat().st_size)
    content = path.read_bytes()
    harmed = {
        "truncated": content[:-1],
        "zeroed": content[:200] + bytes(len(content) - 200),
        "header": b"\0" + content[1:],
        "longer": content + b"\0",
        "other shape": content.replace(b"(20, 3, 8, 8)", b"(20, 8, 3, 8)"),
    }
    if harm in harmed:
        path.write_bytes(harmed[harm])
    elif harm == "note":
        path.with_suffix(".json").write_text('{"checksum": "x", "several": []}')
    else:
        path.with_suffix(".json").unlink()
    module = data(root)
    assert torch.equal(module.train.inputs, usual.train.inputs)
    assert len(decoded) == 20
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{path} is damaged (")
    assert line.endswith(": it is made anew")
    data(root)
    assert len(decoded) == 20


def test_an_image_that_cannot_be_read_leaves_nothing(root, cache):
    (root / "train" / "dog" / "3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"3\.png is damaged or not an image"):
        data(root)
    assert len(files(cache, "*.npy")) == 1  # of the test images
    assert not files(cache, ".*")


def test_without_room_images_are_decoded_into_memory(root, cache, caplog, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", full)
    module = data(root)
    assert len(module.train) == 18
    assert "the decoded images are not kept for later" in caplog.text
    assert "set DLPROJ_CACHE_DIR to a folder with room, or data.cache=never" in caplog.text
    assert not files(cache)


def test_the_room_is_looked_for_where_it_cannot_be_reserved(root, cache, caplog, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    data(root)
    assert len(files(cache, "*.npy")) == 2
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, 0))
    data(root, channels=1)
    assert len(files(cache, "*.npy")) == 2
    assert "are not kept for later" in caplog.text


def test_the_cache_is_listed_and_cleared(root, cache):
    run = CliRunner()
    assert run.invoke(app, ["data", "cache"]).output == f"0 files, 0.0 MB in {cache}\n"
    data(root)
    (cache / ".making-left").mkdir()
    (cache / "mine.txt").touch()
    lines = run.invoke(app, ["data", "cache"]).output.splitlines()
    assert lines[0].split("\t") == ["file", "size", "last used", "made of"]
    assert {line.split("\t")[3] for line in lines[1:3]} == {str(root)}
    assert run.invoke(app, ["data", "cache", "--clear"]).output.startswith("removed 2 files, 0.0 MB")
    assert files(cache) == [cache / "mine.txt"]


def test_the_checksum_sees_a_changed_byte_of_any_block_it_reads(tmp_path):
    path = tmp_path / "file"
    content = bytearray(RANDOM.bytes(mapped_files._BLOCK * 3))  # all of it is read
    path.write_bytes(content)
    before = mapped_files._checksum(path)
    for place in RANDOM.integers(0, len(content), 20).tolist():
        content[place] ^= 1
        path.write_bytes(content)
        assert mapped_files._checksum(path) != before
        content[place] ^= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_counted_in_parts(channels):
    pixels = torch.randint(256, (5000, channels, 3, 2), dtype=torch.uint8)
    wanted = [np.bincount(pixels[:, channel].flatten().numpy(), minlength=256) for channel in range(channels)]
    assert pixel_counts(pixels).tolist() == np.array(wanted).tolist()
    mean, deviation = channel_statistics(pixels)
    assert torch.allclose(mean.flatten(), pixels.double().mean((0, 2, 3)).float())
    assert torch.allclose(deviation.flatten(), pixels.double().std((0, 2, 3), correction=0).float())


def test_images_in_memory_are_not_kept_beside_their_random_parts(root, cache):
    module = data(root, Caching.never, image_size=11, val=ValidationSplit.random)
    gc.collect()
    sizes = [one.nbytes for one in gc.get_objects() if type(one) is torch.Tensor and one.shape[1:] == (3, 11, 11)]
    assert sorted(sizes) == sorted(part.inputs.nbytes for part in (module.train, module.val, module.test))
