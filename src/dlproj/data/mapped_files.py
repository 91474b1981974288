"""Arrays kept in memory-mapped files: made once, then opened by any run and process without being read."""

import errno
import logging
import math
import os
import shutil
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dlproj.config.checks import DataError
from dlproj.config.data import default_root
from dlproj.config.whole_files import read_json, write_whole
from dlproj.data.data_files import brief

_log = logging.getLogger(__name__)
_BLOCK, _BLOCKS = 2**16, 64  # bytes and number of the parts of a file that its checksum reads: 4 MB, in milliseconds
_TEMPORARY = ".making-"
_IN_MEMORY = 0.1  # of all memory that the copy of a part may take
_ROWS = 1024  # copied at a time


def cache_folder() -> Path:
    """The folder of the files: $DLPROJ_CACHE_DIR, or cache in the folder of the data sets."""
    return Path(os.environ.get("DLPROJ_CACHE_DIR") or Path(default_root(), "cache")).expanduser()


class Kept(NamedTuple):
    """An array in a file."""

    key: str
    array: Tensor  # mapped: reading it reads the file, and writing to it ends the process
    about: dict[str, Any]  # what the maker noted


def kept(key: str, shape: tuple[int, ...] | None = None) -> Kept | None:
    """Open the uint8 array of this key and, if given, shape; None if there is none. A damaged one is said."""
    path = _array(key)
    if not path.exists():
        return None
    try:
        about = read_json(_about(key))
        if about.get("checksum") != _checksum(path):  # first: NumPy's reader raises almost any exception
            raise ValueError("its content is not what was written")
        array = np.lib.format.open_memmap(path, "r")
        if array.dtype != np.uint8 or array.shape != (shape or array.shape):
            raise ValueError(f"it holds {array.dtype} {array.shape}")
    except (OSError, ValueError, DataError) as error:
        _log.warning("%s is damaged (%s): it is made anew", path, brief(error))
        return None
    with suppress(OSError):  # somebody else's
        os.utime(path)  # when it was last used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the tensor cannot be written to
        return Kept(key, torch.from_numpy(array), about)


@contextmanager
def keeping(key: str, shape: tuple[int, ...], about: dict[str, Any]) -> Iterator[np.ndarray]:
    """Make a uint8 array in a file, which appears under its key when it is whole. Raises OSError without room."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=_TEMPORARY, dir=cache_folder()) as beside:
        path = Path(beside, "array.npy")
        array = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        with path.open("r+b") as file:
            _reserve(file.fileno(), path.stat().st_size)
        yield array
        array.flush()  # to the disk
        note(key, about | {"checksum": _checksum(path)})  # first, since a reader looks for the array
        os.replace(path, _array(key))


def take(array: Tensor, index: Tensor) -> Tensor:
    """Copy rows of an array, into empty()."""
    copy = empty((len(index), *array.shape[1:]), array.dtype)
    for start in range(0, len(index), _ROWS):
        copy[start : start + _ROWS] = array[index[start : start + _ROWS]]
    return copy


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Make an array: in memory or, if it would fill much of it, in a file without a name."""
    kind = torch.empty(0, dtype=dtype).numpy().dtype
    size = math.prod(shape) * kind.itemsize
    if size <= _IN_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
        return torch.empty(shape, dtype=dtype)
    try:
        with TemporaryFile(dir=cache_folder()) as file:
            file.truncate(size)
            _reserve(file.fileno(), size)
            return torch.from_numpy(np.memmap(file, kind, "r+", shape=shape))
    except OSError as error:
        _log.warning("%s has no room for a part of the data (%s): it is kept in memory", cache_folder(), brief(error))
        return torch.empty(shape, dtype=dtype)


def note(key: str, about: dict[str, Any]) -> None:
    """Write what is to be known of an array."""
    import json

    write_whole(_about(key), json.dumps(about, indent=1) + "\n")


class Listed(NamedTuple):
    """A file of the cache."""

    path: Path
    size: int  # bytes
    used: datetime  # last
    source: str


def listed() -> list[Listed]:
    """The arrays that are kept, the one used last first."""
    found = []
    for path in cache_folder().glob("*.npy"):
        try:
            source = str(read_json(path.with_suffix(".json")).get("source"))
        except DataError:
            source = "?"
        status = path.stat()
        found.append(Listed(path, status.st_size, datetime.fromtimestamp(status.st_mtime), source))
    return sorted(found, key=lambda one: one.used, reverse=True)


def clear() -> None:
    """Remove all arrays, also those that a killed process has not finished. Runs that read one are not disturbed."""
    for one in listed():
        one.path.unlink(missing_ok=True)
        one.path.with_suffix(".json").unlink(missing_ok=True)
    for folder in cache_folder().glob(f"{_TEMPORARY}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _array(key: str) -> Path:
    return cache_folder() / f"{key}.npy"


def _about(key: str) -> Path:
    return cache_folder() / f"{key}.json"


def _reserve(file: int, size: int) -> None:
    """Have room for a file on the disk: where that is full later, writing to a mapping ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    elif shutil.disk_usage(cache_folder()).free < size:  # macOS
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _checksum(path: Path) -> int:
    """CRC-32 of parts spread over the whole file, and of its size."""
    size = path.stat().st_size
    checksum = zlib.crc32(str(size).encode())
    with path.open("rb") as file:
        for start in np.linspace(0, max(size - _BLOCK, 0), _BLOCKS, dtype=np.int64).tolist():
            file.seek(start)
            checksum = zlib.crc32(file.read(_BLOCK), checksum)
    return checksum
