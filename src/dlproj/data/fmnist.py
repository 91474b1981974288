"""Fashion-MNIST: 60,000 + 10,000 grey images of clothes, 28×28, in ten classes (Xiao, Rasul, Vollgraf 2017)."""

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

from dlproj.data.base import DataSpec
from dlproj.data.batches import Samples
from dlproj.data.files import damaged, data_root, ensure
from dlproj.data.image import ImageDataModule, StoredImageConfig, image_spec
from dlproj.data.shared import shared

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
NAME = "FashionMNIST"
OTHERWISE = ", or data=digits, which needs no files"


@dataclass(slots=True)
class FMNISTConfig(StoredImageConfig):
    """Settings of Fashion-MNIST, read from `<root>/FashionMNIST/raw`."""

    def spec(self) -> DataSpec:
        """Grey images (1, 28, 28) in ten classes."""
        return image_spec((1, 28, 28), CLASSES)

    def build(self, seed: int) -> "FMNISTDataModule":
        """The data module."""
        return FMNISTDataModule(self, seed)


class FMNISTDataModule(ImageDataModule):
    """Fashion-MNIST through torchvision."""

    config: FMNISTConfig
    official_sizes = (60_000, 10_000)
    background = 0

    def prepare_data(self) -> None:
        """Download what is missing of the four files."""
        parts = [f"raw/{file}" for train in (True, False) for file in _file_names(train)]
        ensure(data_root(self.config.root), NAME, parts, _download, OTHERWISE)

    def load(self) -> tuple[Samples, Samples]:
        """60,000 training and 10,000 test images. Raises DataError, naming the file."""
        return read(data_root(self.config.root), train=True), read(data_root(self.config.root), train=False)


def _file_names(train: bool) -> tuple[str, str]:
    split = "train" if train else "t10k"
    return f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"


def _download(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    FashionMNIST(folder, download=True)


@shared
def read(root: Path, train: bool) -> Samples:
    """uint8 images (N, 1, 28, 28) and their classes (N,), from whole files. Raises DataError, naming the file."""
    from torchvision.datasets import FashionMNIST

    images, labels = (root / NAME / "raw" / file for file in _file_names(train))
    if _count(images, (28, 28)) != _count(labels, ()):
        raise damaged(labels, NAME, OTHERWISE)
    dataset = FashionMNIST(root, train=train)
    if dataset.targets.max() >= len(CLASSES):
        raise damaged(labels, NAME, OTHERWISE)
    return Samples(dataset.data[:, None], dataset.targets)


def _count(path: Path, shape: tuple[int, ...]) -> int:
    """The number of items of this shape in an IDX file: magic number, count, shape, then one byte a value.

    torchvision would fail on a damaged file without its name.
    """
    header = struct.Struct(f">{2 + len(shape)}i")
    try:
        with path.open("rb") as file:
            magic, count, *found = header.unpack(file.read(header.size))
        whole = path.stat().st_size == header.size + count * prod(shape)
    except (OSError, struct.error) as error:
        raise damaged(path, NAME, OTHERWISE) from error
    if not whole or count < 1 or magic != 0x801 + len(shape) or tuple(found) != shape:
        raise damaged(path, NAME, OTHERWISE)
    return int(count)
