"""Fashion-MNIST: 60,000 + 10,000 grey images of clothes, 28×28, in ten classes (Xiao, Rasul, Vollgraf 2017)."""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from dlproj.config.data import FMNIST_CLASSES, FMNISTConfig
from dlproj.data.batches import Samples
from dlproj.data.data_files import damaged, data_root, ensure
from dlproj.data.image import ImageDataModule
from dlproj.data.shared import shared

NAME = "FashionMNIST"
_PIECE = 2**20  # bytes
OTHERWISE = ", or data=digits, which needs no files"


_MOST = 1_000_000  # items of a file: a packed one could claim to hold far more than there is memory


class FMNISTDataModule(ImageDataModule):
    """Fashion-MNIST as torchvision downloads it; files that are still packed are read as they are."""

    config: FMNISTConfig
    official_sizes = (60_000, 10_000)
    background = 0

    def prepare_data(self) -> None:
        """Download what is missing of the four files."""
        root = data_root(self.config.root)
        parts = [_found(root / NAME, f"raw/{file}") for train in (True, False) for file in _file_names(train)]
        ensure(root, NAME, parts, _download, OTHERWISE)

    def load(self) -> tuple[Samples, Samples]:
        """60,000 training and 10,000 test images. Raises DataError, naming the file."""
        return read(data_root(self.config.root), train=True), read(data_root(self.config.root), train=False)


def _file_names(train: bool) -> tuple[str, str]:
    split = "train" if train else "t10k"
    return f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"


def _found(folder: Path, part: str) -> str:
    """The file, or where it is missing its packed form, if that is there."""
    packed = f"{part}.gz"
    return packed if (folder / packed).exists() and not (folder / part).exists() else part


def _download(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    FashionMNIST(folder, download=True)


@shared
def read(root: Path, train: bool) -> Samples:
    """uint8 images (N, 1, 28, 28) and their classes (N,), from whole files. Raises DataError, naming the file."""
    images, labels = (root / NAME / _found(root / NAME, f"raw/{file}") for file in _file_names(train))
    pixels, targets = _values(images, (28, 28)), _values(labels, ())
    if len(pixels) != len(targets) or targets.max() >= len(FMNIST_CLASSES):
        raise damaged(labels, NAME, OTHERWISE)
    return Samples(pixels[:, None], targets.long())


def _values(path: Path, shape: tuple[int, ...]) -> Tensor:
    """Items of this shape, uint8 (N, *shape), of an IDX file: magic number, count, shape, then one byte a value."""
    header = struct.Struct(f">{2 + len(shape)}i")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic, count, *found = header.unpack(file.read(header.size))
            wanted = magic == 0x801 + len(shape) and tuple(found) == shape and 0 < count <= _MOST
            content = _read_exactly(file, count * prod(shape)) if wanted else None
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise damaged(path, NAME, OTHERWISE) from error
    if content is None:
        raise damaged(path, NAME, OTHERWISE)
    return torch.frombuffer(content, dtype=torch.uint8).view(count, *shape)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes."""


def _read_exactly(file: _Readable, size: int) -> bytearray | None:
    """So many bytes, or None where the file has fewer or more; no memory is taken for what is not there."""
    content = bytearray()
    while len(content) <= size and (piece := file.read(_PIECE)):
        content += piece
    return content if len(content) == size else None
