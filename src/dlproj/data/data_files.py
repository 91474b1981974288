"""Helpers for data sets that come as files: all-or-nothing downloads, listings and one fixed order."""

import hashlib
import logging
import os
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from textwrap import shorten
from typing import NamedTuple, TypeVar

from dlproj.config.checks import DataError, one_line

T = TypeVar("T")
Stamp = tuple[tuple[str, int, int], ...]
_log = logging.getLogger(__name__)
_NAMED = 3  # left-out files that a warning names
_PROBLEMS = 5  # problems that an error message lists

# Raised by torchvision, pooch, urllib, requests and the archive readers; requests' errors are OSErrors.
_DOWNLOAD_ERRORS = (OSError, RuntimeError, ValueError, EOFError, HTTPException, tarfile.TarError, zlib.error)


def data_root(root: str) -> Path:
    """Return data.root as a path, with ~ expanded: the shell does not expand it after `=`.

    Raises DataError if the user has no home folder, like the random user of a container.
    """
    try:
        return Path(root).expanduser()
    except RuntimeError as error:
        raise DataError(
            f"data.root={root} cannot be found ({brief(error).rstrip('.')}): write the full path"
        ) from error


def fixed_order(items: Sequence[T]) -> list[T]:
    """Return the items in a pseudo-random order that depends on their count alone, not on the run's seed.

    Files come sorted by class, so the last of them would be a validation set of one class. The order is that of
    numpy.random.RandomState(113), whose stream NumPy will not change; 113 is the seed of Keras's imdb.load_data.
    """
    import numpy as np  # imported here: a command that reads no data does not wait for it

    return [items[i] for i in np.random.RandomState(113).permutation(len(items))]


class Listing(NamedTuple):
    """The files of a folder and all its subfolders, sorted, without hidden ones.

    Their paths are texts: to make and keep 60,000 Paths takes half a second, most of it in the garbage collector.
    """

    found: list[str]
    left_out: list[str]  # files with other extensions

    def refuse_empty(self, folder: Path, extensions: Sequence[str], advice: str) -> None:
        """Raise DataError if no file has one of the extensions, naming the files that are there instead."""
        if not self.found:
            others = f", but {_by_extension(self.left_out)}" if self.left_out else ""
            raise DataError(f"{folder} holds no files with the extensions {' '.join(extensions)}{others}: {advice}")


def stamp(path: Path) -> Stamp:
    """Time and size of a file, or of each file directly in a folder; empty if there is none, which reading will say."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return tuple((file.name, (status := file.stat()).st_mtime_ns, status.st_size) for file in files)
    except OSError:
        return ()


def files_below(folder: Path, extensions: tuple[str, ...]) -> Listing:
    """List the files below a folder by extension, following links as torchvision's ImageFolder does.

    Raises DataError, naming the folder that cannot be read.
    """
    listing = Listing([], [])
    try:
        above = [_identity(parent) for parent in folder.resolve().parents]
        for path in _walk(str(folder), above):
            listing[0 if path.lower().endswith(extensions) else 1].append(path)
    except OSError as error:
        raise DataError(
            f"{error.filename or folder} cannot be read ({brief(error)}): make it readable or remove it"
        ) from error
    return listing


def _walk(folder: str, above: list[tuple[int, int]]) -> Iterator[str]:
    """Yield every file, sorted; a link to a folder above it is not followed."""
    here = _identity(folder)
    if here in above:
        return
    with os.scandir(folder) as unsorted:
        entries = sorted(unsorted, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry.path, [*above, here])
        elif entry.is_file() or not os.path.exists(entry.path):  # not a pipe: reading one could block forever
            yield entry.path


def _identity(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def warn_left_out(left_out: Sequence[str], count: int) -> None:
    """Log how many of `count` files are not read, and which."""
    if left_out:
        were = "was" if len(left_out) == 1 else "were"
        _log.warning("%d of %d files %s left out: %s", len(left_out), count, were, one_line(_by_extension(left_out)))


def _by_extension(paths: Sequence[str]) -> str:
    """Summarise paths as `20 .avif, 4 .txt: a.avif, b.txt, …`."""
    counts = Counter(Path(path).suffix.lower() or "without extension" for path in paths).most_common(_NAMED + 1)
    kinds = [f"{count} {kind}" for kind, count in counts[:_NAMED]] + ["…"] * (len(counts) > _NAMED)
    names = [*paths[:_NAMED], *["…"] * (len(paths) > _NAMED)]
    return f"{', '.join(kinds)}: {', '.join(names)}"


def refuse_problems(problems: Iterable[str], what: str, advice: str = "") -> None:
    """Raise DataError, listing the problems, if any file has one: `problems` holds a text per file, "" for none.

    More than five are logged instead, one per line.
    """
    texts = [problem for problem in problems if problem]
    if len(texts) > _PROBLEMS:
        for text in texts:
            _log.warning("%s", one_line(text))
        raise DataError(f"{len(texts)} {what} cannot be used, as listed above{advice}")
    if texts:
        count = f"{len(texts)} {what} cannot be used: " if len(texts) > 1 else ""
        raise DataError(count + "; ".join(texts) + advice)


def ensure(
    root: Path, name: str, parts: Sequence[str], download: Callable[[Path], object], otherwise: str = ""
) -> None:
    """Unless all parts of root/name exist, call download(folder), which makes folder/name, and move that to root/name.

    The folder is a temporary one in root and is always removed: an interrupted download leaves nothing behind, and of
    two runs that start together the later changes nothing. If root/name lacks some files, only those are added. Raises
    DataError, whose message ends with the alternatives to downloading.
    """
    try:
        missing = [root / name / part for part in parts if not (root / name / part).exists()]
        if not missing:
            return
        root.mkdir(parents=True, exist_ok=True)
        temporary = TemporaryDirectory(prefix=f".{name}-", dir=root)
    except OSError as error:
        raise DataError(
            f"data.root={root} cannot be used for {name} ({brief(error)}): "
            "set data.root to a folder that holds the data or can be written to"
        ) from error
    with temporary as folder:
        try:
            download(Path(folder))
            _move_into_place(Path(folder) / name, root / name)
        except _DOWNLOAD_ERRORS as error:
            raise DataError(
                f"{missing[0]} is missing and could not be downloaded ({brief(error)}): connect to the "
                f"network and run again, {ways_out(name, otherwise)}"
            ) from error


def ways_out(name: str, otherwise: str = "") -> str:
    """Return the end of an error message: what to do if `name` cannot be downloaded."""
    return f"copy the folder {name} into data.root, or set data.root=… to a folder that holds it{otherwise}"


def damaged(path: Path, name: str, otherwise: str = "") -> DataError:
    """Return the error for a missing, incomplete or damaged file of the data set `name`."""
    return DataError(
        f"{path} is missing, incomplete or damaged: delete it and run again to download it, {ways_out(name, otherwise)}"
    )


def brief(error: BaseException) -> str:
    """Return an error's text on one line of at most 300 characters."""
    return shorten(str(error) or type(error).__name__, 300)


def _move_into_place(made: Path, target: Path) -> None:
    try:
        made.rename(target)
    except OSError:  # the target exists: another run was first, or parts of it were deleted
        for file in [path for path in made.rglob("*") if path.is_file()]:
            destination = target / file.relative_to(made)
            if not destination.exists():
                destination.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, destination)


def unpack_beside(folder: Path, archive: str, md5: str, name: str, wanted: str) -> bool:
    """Unpack an archive lying beside the folder, as downloaded by a browser, into it; return False if there is none.

    `wanted` and errors are those of extract(). Also raises DataError if the archive's MD5 sum is wrong.
    """
    path = folder.parent / archive
    if not path.is_file():
        return False
    with path.open("rb") as file:
        intact = hashlib.file_digest(file, "md5").hexdigest() == md5
    if not intact:
        raise damaged(path, name)
    extract(path, folder, wanted)
    return True


def extract(archive: Path, folder: Path, wanted: str) -> None:
    """Unpack into `folder` those files of a tar archive whose full name matches the regular expression `wanted`.

    Raises DataError for links, devices and members outside the folder (Python 3.11.2 has no tarfile.data_filter), and
    the errors of tarfile and the decompressor if the archive is damaged.
    """
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
                raise DataError(
                    f"{archive.name} was refused: its member {member.name} lies outside its folder "
                    "or is a link or device; download the archive again from its source"
                )
            if member.isfile() and re.fullmatch(wanted, member.name):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(tar.extractfile(member).read())  # type: ignore[union-attr]
