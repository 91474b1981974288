"""What data sets that come as files share: a download that is complete or leaves nothing, and one fixed order."""

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
_log = logging.getLogger(__name__)
_NAMED = 3  # of the files left out
_PROBLEMS = 5  # in a message

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
    import numpy as np  # which a command that reads no data does not wait for

    return [items[place] for place in np.random.RandomState(113).permutation(len(items))]


class Listing(NamedTuple):
    """The files of a folder and all folders below it, without hidden ones, sorted."""

    found: list[Path]
    left_out: list[Path]  # those with other extensions

    def refuse_empty(self, folder: Path, extensions: Sequence[str], advice: str) -> None:
        """Raise DataError where nothing was found, saying what there is instead."""
        if not self.found:
            others = f", but {_by_extension(self.left_out)}" if self.left_out else ""
            raise DataError(f"{folder} holds no files with the extensions {' '.join(extensions)}{others}: {advice}")


def files_below(folder: Path, extensions: tuple[str, ...]) -> Listing:
    """The files with these extensions, as torchvision's ImageFolder finds them: through links, too.

    Raises DataError, naming the folder that cannot be read.
    """
    listing = Listing([], [])
    try:
        for path in sorted(_walk(folder, [_identity(parent) for parent in folder.resolve().parents])):
            listing[0 if path.name.lower().endswith(extensions) else 1].append(path)
    except OSError as error:
        raise DataError(
            f"{error.filename or folder} cannot be read ({brief(error)}): make it readable or remove it"
        ) from error
    return listing


def _walk(folder: Path, above: list[tuple[int, int]]) -> Iterator[Path]:
    """Every file, without following a link to a folder above it for ever."""
    here = _identity(folder)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, [*above, here])
            elif entry.is_file() or not os.path.exists(entry.path):  # no pipe, which could be waited for without end
                yield folder / entry.name


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def warn_left_out(left_out: Sequence[Path], count: int) -> None:
    """Say how many of `count` files are not read, and which."""
    if left_out:
        were = "was" if len(left_out) == 1 else "were"
        _log.warning("%d of %d files %s left out: %s", len(left_out), count, were, one_line(_by_extension(left_out)))


def _by_extension(paths: Sequence[Path]) -> str:
    """`20 .avif, 4 .txt: a.avif, b.txt, …`."""
    counts = Counter(path.suffix.lower() or "without extension" for path in paths).most_common(_NAMED + 1)
    kinds = [f"{count} {kind}" for kind, count in counts[:_NAMED]] + ["…"] * (len(counts) > _NAMED)
    names = [*map(str, paths[:_NAMED]), *["…"] * (len(paths) > _NAMED)]
    return f"{', '.join(kinds)}: {', '.join(names)}"


def refuse_problems(problems: Iterable[str], what: str, advice: str = "") -> None:
    """Raise DataError, naming the files that cannot be read, if there are any: a problem each, "" for none.

    Many are named in the log, a line each.
    """
    found = [problem for problem in problems if problem]
    if len(found) > _PROBLEMS:
        for problem in found:
            _log.warning("%s", one_line(problem))
        raise DataError(f"{len(found)} {what} cannot be used, as named above{advice}")
    if found:
        count = f"{len(found)} {what} cannot be used: " if len(found) > 1 else ""
        raise DataError(count + "; ".join(found) + advice)


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
    """The end of a message: what to do where name cannot be downloaded."""
    return f"copy the folder {name} into data.root, or set data.root=… to a folder that holds it{otherwise}"


def damaged(path: Path, name: str, otherwise: str = "") -> DataError:
    """The error for a file of the data set name that is not what it should be."""
    return DataError(
        f"{path} is missing, incomplete or damaged: delete it and run again to download it, {ways_out(name, otherwise)}"
    )


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


def unpack_beside(folder: Path, archive: str, md5: str, name: str, wanted: str) -> bool:
    """Unpack an archive that lies beside the folder, as a browser downloaded it, into the folder, if there is one.

    wanted and errors are those of extract(). Raises DataError where it is not whole.
    """
    path = folder.parent / archive
    if not path.is_file():
        return False
    with path.open("rb") as file:
        whole = hashlib.file_digest(file, "md5").hexdigest() == md5
    if not whole:
        raise damaged(path, name)
    extract(path, folder, wanted)
    return True


def extract(archive: Path, folder: Path, wanted: str) -> None:
    """Unpack into folder the files of a tar archive whose whole name matches the regular expression wanted.

    Refuses an archive with links, devices or members outside the folder: Python 3.11.2 has no tarfile.data_filter.
    Raises DataError, and tarfile's and the decompressor's errors where the archive is damaged.
    """
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
                raise DataError(
                    f"{archive.name} was refused: its member {member.name} lies outside its folder "
                    "or is a link or device; get the archive anew from its source"
                )
            if member.isfile() and re.fullmatch(wanted, member.name):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(tar.extractfile(member).read())  # type: ignore[union-attr]
