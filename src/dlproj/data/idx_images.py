"""Grey images, 28×28, in IDX files as torchvision downloads them: Fashion-MNIST, MNIST and those made after it."""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dlproj.config.images import IDXConfig
from dlproj.data.batches import Samples
from dlproj.data.data_files import damaged, data_root, ensure
from dlproj.data.image import ImageDataModule
from dlproj.data.shared import shared

_PIECE = 2**20  # bytes read at a time
OTHERWISE = ", or data=digits, which needs no files"


_MOST = 1_000_000  # items per file: a compressed file could claim to hold more than fits in memory


class IDXDataModule(ImageDataModule):
    """Images as torchvision downloads them; files that are still gzipped are read directly."""

    config: IDXConfig
    background = 0

    def __init__(self, config: IDXConfig, seed: int) -> None:
        super().__init__(config, seed)
        self.official_sizes = config.official_sizes

    def prepare_data(self) -> None:
        """Download those of the four files that are missing."""
        root, name = data_root(self.config.root), self.config.source
        files = [file for train in (True, False) for file in self.config.file_names(train)]
        ensure(root, name, [_stored(root / name, f"raw/{file}") for file in files], self._download, OTHERWISE)

    def load(self) -> tuple[Samples, Samples]:
        """Return the training and the test images. Raises DataError, naming the damaged file."""
        root = data_root(self.config.root)
        return read(root, True, self.config), read(root, False, self.config)

    def _download(self, folder: Path) -> None:
        from torchvision import datasets

        cls, split = getattr(datasets, self.config.source), getattr(self.config, "split", None)
        for train in (True, False):  # of QMNIST, each downloads its own files
            cls(folder, train=train, download=True, **({"split": split.value} if split else {}))


def _stored(folder: Path, part: str) -> str:
    """Return `part`, or the name of its gzipped form if only that exists."""
    packed = f"{part}.gz"
    return packed if (folder / packed).exists() and not (folder / part).exists() else part


def read(root: Path, train: bool, config: IDXConfig) -> Samples:
    """Return uint8 images (N, 1, 28, 28) and their classes (N,). Raises DataError, naming the damaged file."""
    names, classes = config.file_names(train), len(config.class_names())
    return _read(root, config.source, names, classes, config.first_label, config.is_transposed)


@shared
def _read(root: Path, source: str, names: tuple[str, str], classes: int, first: int, transposed: bool) -> Samples:
    images, labels = (root / source / _stored(root / source, f"raw/{name}") for name in names)
    has_details = "idx2-int" in names[1]  # of QMNIST: 8 numbers for each image, the class first
    pixels, targets = _values(images, (28, 28), source), _values(labels, (8,) if has_details else (), source)
    targets = (targets[:, 0] if has_details else targets).long() - first
    if len(pixels) != len(targets) or targets.min() < 0 or targets.max() >= classes:
        raise damaged(labels, source, OTHERWISE)
    pixels = pixels.transpose(1, 2).contiguous() if transposed else pixels
    return Samples(pixels[:, None], targets)


def _values(path: Path, shape: tuple[int, ...], source: str) -> Tensor:
    """Read items (N, *shape) from an IDX file: magic number, count, shape, then one byte, or four, per value."""
    header = struct.Struct(f">{2 + len(shape)}i")
    kind, dtype = (0xC, np.dtype(">i4")) if "-int" in path.name else (0x8, np.dtype(np.uint8))
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic, count, *dims = header.unpack(file.read(header.size))
            valid = magic == 0x100 * kind + 1 + len(shape) and tuple(dims) == shape and 0 < count <= _MOST
            content = _read_exactly(file, count * prod(shape) * dtype.itemsize) if valid else None
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise damaged(path, source, OTHERWISE) from error
    if content is None:
        raise damaged(path, source, OTHERWISE)
    values = np.frombuffer(content, dtype).reshape(count, *shape)
    return torch.from_numpy(values.astype(dtype.newbyteorder("="), copy=False))


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes."""


def _read_exactly(file: _Readable, size: int) -> bytearray | None:
    """Read `size` bytes; None if the file has fewer or more. Allocates no more than it reads."""
    content = bytearray()
    while len(content) <= size and (piece := file.read(_PIECE)):
        content += piece
    return content if len(content) == size else None
