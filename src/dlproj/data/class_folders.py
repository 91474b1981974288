"""The classes of an image tree: the folders in both train/ and test/."""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from dlproj.config.checks import DataError, one_line
from dlproj.data.data_files import brief, data_root


def class_names(root: str) -> tuple[str, ...]:
    """Return the folder names in root/train, sorted. Raises DataError unless root/test, if there, has the same.

    Also raises it for fewer than two.
    """
    classes = _folders(data_root(root), "train")
    if has_test_folder(root):
        _check_equal(classes, _folders(data_root(root), "test"), root)
    if len(classes) < 2:
        raise DataError(f"data.root={root} holds one class only: add a folder for another to train/ and test/")
    return classes


def has_test_folder(root: str) -> bool:
    """True if the tree has a test set: something of the name root/test."""
    return os.path.lexists(data_root(root) / "test")


def _folders(root: Path, split: str) -> tuple[str, ...]:
    try:
        names = sorted(path.name for path in (root / split).iterdir() if path.is_dir() and path.name[0] != ".")
    except OSError as error:
        raise DataError(
            f"{root / split} cannot be read ({brief(error)}): set data.root to a folder that holds "
            "train/CLASS/ and test/CLASS/ with the images"
        ) from error
    if not names:
        raise DataError(
            f"{root / split} holds no class folders: set data.root to a folder that holds "
            "train/CLASS/ and test/CLASS/ with the images"
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
                "rename one of them, or put their images together"
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
