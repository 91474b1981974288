"""data=mnist, kmnist, emnist and qmnist: small files in their formats, compared with what torchvision reads of them."""

import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from test_fmnist import idx

from dlproj.config.checks import DataError
from dlproj.config.images import FMNISTConfig
from dlproj.config.mnist import EMNISTConfig, EMNISTSplit, KMNISTConfig, MNISTConfig, QMNISTConfig

RANDOM = np.random.default_rng(0)
CONFIGS = {"mnist": MNISTConfig, "kmnist": KMNISTConfig, "qmnist": QMNISTConfig}
ALL = [(name, {}) for name in CONFIGS] + [("emnist", {"split": split}) for split in EMNISTSplit]
IDS = [*CONFIGS, *(f"emnist-{split.value}" for split in EMNISTSplit)]
COUNTS = {True: 70, False: 6}


def config_of(name, root="/nowhere", **settings):
    return (EMNISTConfig if name == "emnist" else CONFIGS[name])(root=str(root), **settings)


def of_labels(config, labels):
    """The file of labels; QMNIST has eight numbers for each image, of 4 bytes."""
    if "idx2-int" not in config.file_names(True)[1]:
        return idx(labels)
    rows = np.zeros((len(labels), 8), ">i4")
    rows[:, 0], rows[:, 1:] = labels, 1_000_000
    return struct.pack(">BBBB2i", 0, 0, 12, 2, *rows.shape) + rows.tobytes()


def write(config):
    """Write the four files."""
    raw = Path(config.root) / config.source / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for train, count in COUNTS.items():
        images, labels = config.file_names(train)
        (raw / images).write_bytes(idx(RANDOM.integers(0, 256, (count, 28, 28), np.uint8)))
        values = np.arange(count) % len(config.class_names()) + config.first_label
        (raw / labels).write_bytes(of_labels(config, values.astype(np.uint8)))
    return config


def loaded(config):
    module = config.build(0)
    module.prepare_data()
    return module.load()


@pytest.mark.parametrize(("name", "settings"), ALL, ids=IDS)
def test_samples_are_those_that_torchvision_reads(tmp_path, name, settings):
    config = write(config_of(name, tmp_path, **settings))
    more = {key: value.value for key, value in settings.items()}
    for train, samples in zip((True, False), loaded(config), strict=True):
        theirs = getattr(torchvision.datasets, config.source)(tmp_path, train=train, **more)
        upright = theirs.data.transpose(1, 2) if name == "emnist" else theirs.data
        assert torch.equal(samples.inputs[:, 0], upright)
        labels = theirs.targets[:, 0] if name == "qmnist" else theirs.targets
        assert torch.equal(samples.targets, labels.long() - config.first_label)
        assert samples.inputs.is_contiguous()
        names = [theirs.classes[label].split(" - ")[0] for label in range(config.first_label, len(theirs.classes))]
        assert list(config.spec().classes) == names


def test_a_letter_of_emnist_is_upright(tmp_path):
    """Its files hold columns of pixels: a stroke along the first row of the file is one along the first column."""
    config = write(config_of("emnist", tmp_path))
    images = np.zeros((COUNTS[True], 28, 28), np.uint8)
    images[:, 0] = 255
    (tmp_path / "EMNIST/raw" / config.file_names(True)[0]).write_bytes(idx(images))
    (train, _) = loaded(config)
    assert train.inputs[0, 0, :, 0].unique().tolist() == [255]
    assert train.inputs[0, 0, :, 1:].unique().tolist() == [0]


@pytest.mark.parametrize("name", [*CONFIGS, "emnist"])
def test_missing_files_are_downloaded_by_torchvision(tmp_path, monkeypatch, name):
    source, asked = config_of(name).source, []

    def download(folder, train, download, **settings):
        asked.append((train, settings))
        write(config_of(name, folder))

    monkeypatch.setattr(torchvision.datasets, source, download)
    loaded(config_of(name, tmp_path))
    more = {"split": "balanced"} if name == "emnist" else {}
    assert asked == [(True, more), (False, more)]
    assert [path.name for path in tmp_path.iterdir()] == [source]


@pytest.mark.parametrize("name", [*CONFIGS, "emnist"])
def test_no_network(tmp_path, monkeypatch, name):
    def offline(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", offline)
    with pytest.raises(DataError, match="is missing and could not be downloaded") as caught:
        loaded(config_of(name, tmp_path))
    assert f"copy the folder {config_of(name).source} into data.root" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "settings"), ALL, ids=IDS)
@pytest.mark.parametrize("damage", ["cut", "longer", "another label", "other magic"])
def test_a_damaged_file_of_labels_is_named(tmp_path, name, settings, damage):
    config = write(config_of(name, tmp_path, **settings))
    path = tmp_path / config.source / "raw" / config.file_names(True)[1]
    whole = path.read_bytes()
    beyond = np.full(COUNTS[True], len(config.class_names()) + config.first_label, np.uint8)
    contents = {"cut": whole[:-1], "longer": whole + b"0", "another label": of_labels(config, beyond)}
    path.write_bytes(contents.get(damage, b"\0\0\x0b" + whole[3:]))
    with pytest.raises(DataError, match=f"{path} is missing, incomplete or damaged: delete it and run again"):
        loaded(config)


def test_the_full_sets_have_the_sizes_that_are_published():
    assert FMNISTConfig.official_sizes == MNISTConfig.official_sizes == KMNISTConfig.official_sizes == (60_000, 10_000)
    assert QMNISTConfig.official_sizes == (60_000, 60_000)
    sizes = {split: config_of("emnist", split=split).build(0).official_sizes for split in EMNISTSplit}
    assert sum(sizes[EMNISTSplit.byclass]) == sum(sizes[EMNISTSplit.bymerge]) == 814_255
    assert sum(sizes[EMNISTSplit.balanced]) == 131_600 == 47 * 2_800
    assert sum(sizes[EMNISTSplit.letters]) == 145_600
    assert sum(sizes[EMNISTSplit.digits]) == 280_000
    assert sum(sizes[EMNISTSplit.mnist]) == 70_000
