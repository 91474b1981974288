"""Data sets downloaded and checked ahead of time, for machines without a network."""

from pathlib import Path

from dlproj.config.checks import DataError, one_of
from dlproj.config.schemas import settings_class
from dlproj.data import cifar10, imdb
from dlproj.data.base import DataModule

FOLDERS = {
    "fmnist": "FashionMNIST",
    "cifar10": cifar10.NAME,
    "imdb": imdb.NAME,
    "mnist": "MNIST",
    "kmnist": "KMNIST",
    "emnist": "EMNIST",
    "qmnist": "QMNIST",
}


def fetch(name: str, to: Path) -> str:
    """Put a data set of FOLDERS into its folder in `to`, read it once, and return a line that says what was done.

    Raises ConfigurationError for another name, and DataError for data that is damaged or cannot be downloaded.
    """
    one_of("data set", name, tuple(FOLDERS))
    folder = to / FOLDERS[name]
    before = _files(folder)
    module: DataModule = settings_class("data", name)(root=str(to)).build(0)
    module.prepare_data()
    train, test = (len(samples or ()) for samples in module.load())
    if module.official_sizes and (train, test) != module.official_sizes:
        raise DataError(f"{folder} is incomplete: {train:,} + {test:,} samples; delete it and run again")
    added = len(_files(folder) - before)
    done = "there already" if not added else f"{added:,} missing files added" if before else "downloaded"
    return f"{name}: {done}, {train:,} + {test:,} samples in {folder}"


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}
