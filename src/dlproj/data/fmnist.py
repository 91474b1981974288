"""Fashion-MNIST: 60,000 + 10,000 grey 28×28 images of clothes in ten classes (Xiao, Rasul, Vollgraf 2017)."""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from dlproj.config.images import FMNIST_CLASSES, FMNISTConfig
from dlproj.data.batches import Samples
from dlproj.data.data_files import damaged, data_root, ensure
from dlproj.data.image import ImageDataModule
from dlproj.data.shared import shared

NAME = "FashionMNIST"
_PIECE = 2**20  # bytes read at a time
OTHERWISE = ", or data=digits, which needs no files"


_MOST = 1_000_000  # items per file: a compressed file could claim to hold more than fits in memory


class FMNISTDataModule(ImageDataModule):
    """Fashion-MNIST as torchvision downloads it; files that are still gzipped are read directly."""

    config: FMNISTConfig
    official_sizes = (60_000, 10_000)
    background = 0

    def prepare_data(self) -> None:
        """Download those of the four files that are missing."""
        root = data_root(self.config.root)
        parts = [_stored(root / NAME, f"raw/{file}") for train in (True, False) for file in _file_names(train)]
        ensure(root, NAME, parts, _download, OTHERWISE)

    def load(self) -> tuple[Samples, Samples]:
        """Return 60,000 training and 10,000 test images. Raises DataError, naming the damaged file."""
        return read(data_root(self.config.root), train=True), read(data_root(self.config.root), train=False)


def _file_names(train: bool) -> tuple[str, str]:
    split = "train" if train else "t10k"
    return f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"


def _stored(folder: Path, part: str) -> str:
    """Return `part`, or the name of its gzipped form if only that exists."""
    packed = f"{part}.gz"
    return packed if (folder / packed).exists() and not (folder / part).exists() else part


def _download(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    FashionMNIST(folder, download=True)


@shared
def read(root: Path, train: bool) -> Samples:
    """Return uint8 images (N, 1, 28, 28) and their classes (N,). Raises DataError, naming the damaged file."""
    images, labels = (root / NAME / _stored(root / NAME, f"raw/{file}") for file in _file_names(train))
    pixels, targets = _values(images, (28, 28)), _values(labels, ())
    if len(pixels) != len(targets) or targets.max() >= len(FMNIST_CLASSES):
        raise damaged(labels, NAME, OTHERWISE)
    return Samples(pixels[:, None], targets.long())


def _values(path: Path, shape: tuple[int, ...]) -> Tensor:
    """Read uint8 items (N, *shape) from an IDX file: magic number, count, shape, then one byte per value."""
    header = struct.Struct(f">{2 + len(shape)}i")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic, count, *dims = header.unpack(file.read(header.size))
            valid = magic == 0x801 + len(shape) and tuple(dims) == shape and 0 < count <= _MOST
            content = _read_exactly(file, count * prod(shape)) if valid else None
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise damaged(path, NAME, OTHERWISE) from error
    if content is None:
        raise damaged(path, NAME, OTHERWISE)
    return torch.frombuffer(content, dtype=torch.uint8).view(count, *shape)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes."""


def _read_exactly(file: _Readable, size: int) -> bytearray | None:
    """Read `size` bytes; None if the file has fewer or more. Allocates no more than it reads."""
    content = bytearray()
    while len(content) <= size and (piece := file.read(_PIECE)):
        content += piece
    return content if len(content) == size else None
