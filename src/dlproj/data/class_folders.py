"""A tree of files by class, train/CLASS/* and test/CLASS/*: the classes, and the files of each."""

import logging
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dlproj.config.checks import DataError, one_line
from dlproj.data.data_files import brief, data_root, files_below, warn_left_out

_log = logging.getLogger(__name__)
_VALIDATION = ("val", "valid", "validation", "dev")  # common names of a third folder beside train/ and test/


class Split(NamedTuple):
    """The contents of train/ or test/."""

    files: list[tuple[str, int]]  # path and class index
    left_out: list[str]


def class_names(root: str, what: str = "images") -> tuple[str, ...]:
    """Return the folder names in root/train, sorted. Raises DataError unless root/test, if there, has the same.

    Also raises it for fewer than two. what: what the folders hold, for messages.
    """
    classes = _folders(data_root(root), "train", what)
    if has_test_folder(root):
        _check_equal(classes, _folders(data_root(root), "test", what), root)
    if len(classes) < 2:
        raise DataError(f"data.root={root} holds one class only: add a folder for another to train/ and test/")
    return classes


def has_test_folder(root: str) -> bool:
    """True if the tree has a test set: something of the name root/test."""
    return os.path.lexists(data_root(root) / "test")


def _folders(root: Path, split: str, what: str) -> tuple[str, ...]:
    try:
        names = sorted(path.name for path in (root / split).iterdir() if path.is_dir() and path.name[0] != ".")
    except OSError as error:
        raise DataError(
            f"{root / split} cannot be read ({brief(error)}): set data.root to a folder that holds "
            f"train/CLASS/ and test/CLASS/ with the {what}"
        ) from error
    if not names:
        raise DataError(
            f"{root / split} holds no class folders: set data.root to a folder that holds "
            f"train/CLASS/ and test/CLASS/ with the {what}"
        )
    _check_names(root / split, names)
    return tuple(names)


def _check_names(folder: Path, names: Sequence[str]) -> None:
    """Raise DataError for names that cannot be written to a file or page, or that look the same."""
    odd = [name for name in names if one_line(name) != name]
    if odd:
        raise DataError(
            f"the class folder {folder}/{odd[0]} has characters in its name that cannot be written "
            "(no UTF-8, or control characters): rename it in train/ and test/"
        )
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(_as_seen(name), name)
        if other is not name:
            raise DataError(
                f"{folder} has class folders whose names look the same, {other!a} and {name!a}: "
                "rename one of them, or put their files together"
            )


def _as_seen(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def _check_equal(train: Sequence[str], test: Sequence[str], root: str) -> None:
    """Raise DataError, naming the differences, unless train/ and test/ have the same folders."""
    odd = sorted(set(train) ^ set(test))
    if not odd:
        return
    alike = len({_as_seen(name) for name in odd}) < len(odd)
    named = ", ".join((ascii if alike else str)(name) for name in odd[:5])
    advice = "the names look alike: make them the same" if alike else "add or remove it"
    raise DataError(
        f"data.root={root}: train/ and test/ must have the same class folders, but {named} is in one only: {advice}"
    )


def splits_of(root: str) -> list[Path]:
    """The folder train and, if there is one, test."""
    return [data_root(root) / name for name in ("train", "test")[: 1 + has_test_folder(root)]]


def list_split(folder: Path, classes: Sequence[str], extensions: tuple[str, ...]) -> Split:
    """List the files below train/ or test/ by class. Raises DataError for a class without any."""
    split = Split([], sorted(str(path) for path in folder.iterdir() if path.is_file() and path.name[0] != "."))
    for target, name in enumerate(classes):
        listing = files_below(folder / name, extensions)
        listing.refuse_empty(folder / name, extensions, "add some, or remove it from train/ and test/")
        split.files.extend((path, target) for path in listing.found)
        split.left_out.extend(listing.left_out)
    return split


def warn_unread(root: Path, splits: Sequence[Split]) -> None:
    """Log which files and folders are not read."""
    left_out = [path for split in splits for path in split.left_out]
    warn_left_out(left_out, sum(len(split.files) for split in splits) + len(left_out))
    folders = (path.name for path in root.iterdir() if path.is_dir())
    if unread := sorted(name for name in folders if name.lower() in _VALIDATION):
        _log.warning("%s/ is not read: validation samples are taken from train/", unread[0])
