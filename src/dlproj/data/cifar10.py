"""CIFAR-10 in its pickled format: 50,000 + 10,000 colour images, 32×32, in ten classes (Krizhevsky 2009)."""

import warnings
from pathlib import Path

import numpy as np
import torch

from dlproj.config.images import CIFAR10Config
from dlproj.data.batches import Samples
from dlproj.data.data_files import damaged, data_root, ensure, unpack_beside
from dlproj.data.image import ImageDataModule
from dlproj.data.shared import shared

NAME = "cifar-10-batches-py"
OTHERWISE = ", or data=digits, which needs no files"


class CIFAR10DataModule(ImageDataModule):
    """CIFAR-10 through torchvision, which checks each file's MD5 sum."""

    config: CIFAR10Config

    def prepare_data(self) -> None:
        """Download those of the seven files that are missing."""
        ensure(data_root(self.config.root), NAME, list(_checksums()), _download, OTHERWISE)

    def load(self) -> tuple[Samples, Samples]:
        """Return 50,000 training and 10,000 test images. Raises DataError, naming the damaged file."""
        return read(data_root(self.config.root), train=True), read(data_root(self.config.root), train=False)


def _checksums() -> dict[str, str]:
    """MD5 sums of the archive's files, by file name."""
    from torchvision.datasets import CIFAR10

    return dict([*CIFAR10.train_list, *CIFAR10.test_list, [CIFAR10.meta["filename"], CIFAR10.meta["md5"]]])


def _download(folder: Path) -> None:
    from torchvision.datasets import CIFAR10

    if not unpack_beside(folder, CIFAR10.filename, CIFAR10.tgz_md5, NAME, rf"{NAME}/[^/\\]+"):
        CIFAR10(folder, download=True)


@shared
def read(root: Path, train: bool) -> Samples:
    """Return uint8 images (N, 3, 32, 32) and their classes (N,). Raises DataError, naming the damaged file."""
    from torchvision.datasets import CIFAR10

    try:
        with warnings.catch_warnings():
            # The files were pickled by an old NumPy, with a dtype format that NumPy 2.4 deprecates.
            warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
            dataset = CIFAR10(root, train=train)
    except (RuntimeError, OSError) as error:
        raise damaged(_first_damaged(root / NAME), NAME, OTHERWISE) from error
    images = np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2))
    return Samples(torch.from_numpy(images), torch.tensor(dataset.targets))


def _first_damaged(folder: Path) -> Path:
    from torchvision.datasets.utils import check_integrity

    paths = (folder / file for file, md5 in _checksums().items() if not check_integrity(folder / file, md5))
    return next(paths, folder)
