"""What data sets that come as files share: a download that is complete or leaves nothing, and one fixed order."""

import os
import re
import tarfile
import zlib
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from textwrap import shorten
from typing import TypeVar

import numpy as np

from dlproj.settings import DataError

T = TypeVar("T")

# What torchvision, pooch, urllib, requests and the archive readers raise; requests' errors are OSErrors.
_DOWNLOAD_ERRORS = (OSError, RuntimeError, ValueError, EOFError, HTTPException, tarfile.TarError, zlib.error)


def data_root(root: str) -> Path:
    """The folder that data.root means; ~ is the home folder, which the shell does not expand after `=`.

    Raises DataError where there is none, as for the random user of a container.
    """
    try:
        return Path(root).expanduser()
    except RuntimeError as error:
        raise DataError(
            f"data.root={root} cannot be found ({brief(error).rstrip('.')}): write the whole path"
        ) from error


def fixed_order(items: Sequence[T]) -> list[T]:
    """The items in one pseudo-random order that depends on their number alone, whatever the run's seed.

    Files come sorted by class, so the last of them would be a validation set of one class. The order is that of
    numpy.random.RandomState(113), whose stream NumPy keeps for ever; 113 is the seed of Keras's imdb.load_data.
    """
    return [items[place] for place in np.random.RandomState(113).permutation(len(items))]


def ensure(
    root: Path, name: str, parts: Sequence[str], download: Callable[[Path], object], otherwise: str = ""
) -> None:
    """Have download(folder) make folder/name unless all parts of root/name are there, and move it into place.

    The folder is a temporary one in root, removed whatever happens: an interrupted download leaves nothing behind, and
    of two runs that start together one is first and the other changes nothing. A folder that lacks some parts is
    filled up. Raises DataError, which ends with the other ways out.
    """
    try:
        missing = [root / name / part for part in parts if not (root / name / part).exists()]
        if not missing:
            return
        root.mkdir(parents=True, exist_ok=True)
        temporary = TemporaryDirectory(prefix=f".{name}-", dir=root)
    except OSError as error:
        raise DataError(f"data.root={root} cannot be used for {name} ({brief(error)}): "
                        "set data.root to a folder that holds the data or can be written to") from error  # fmt: skip
    with temporary as folder:
        try:
            download(Path(folder))
            _move_into_place(Path(folder) / name, root / name)
        except _DOWNLOAD_ERRORS as error:
            raise DataError(f"{missing[0]} is missing and could not be downloaded ({brief(error)}): connect to the "
                            f"network and run again, {ways_out(name, otherwise)}") from error  # fmt: skip


def ways_out(name: str, otherwise: str = "") -> str:
    """The end of a message: what to do where name cannot be downloaded."""
    return f"copy the folder {name} into data.root, or set data.root=… to a folder that holds it{otherwise}"


def damaged(path: Path, name: str, otherwise: str = "") -> DataError:
    """The error for a file of the data set name that is not what it should be."""
    return DataError(f"{path} is missing, incomplete or damaged: delete it and run again to download it, "
                     f"{ways_out(name, otherwise)}")  # fmt: skip


def brief(error: BaseException) -> str:
    """An error's text on one line."""
    return shorten(str(error) or type(error).__name__, 300)


def _move_into_place(made: Path, target: Path) -> None:
    try:
        made.rename(target)
    except OSError:  # the target is there: another run was first, or somebody deleted a part of it
        for file in [path for path in made.rglob("*") if path.is_file()]:
            place = target / file.relative_to(made)
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, place)


def extract(archive: Path, folder: Path, wanted: str) -> None:
    """Unpack into folder the files of a tar archive whose whole name matches the regular expression wanted.

    Refuses an archive with links, devices or members outside the folder: Python 3.11.2 has no tarfile.data_filter.
    Raises DataError, and tarfile's and the decompressor's errors where the archive is damaged.
    """
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
                raise DataError(f"{archive.name} was refused: its member {member.name} lies outside its folder "
                                "or is a link or device; get the archive anew from its source")  # fmt: skip
            if member.isfile() and re.fullmatch(wanted, member.name):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(tar.extractfile(member).read())  # type: ignore[union-attr]
