"""A tree of image files of one's own: train/CLASS/* and test/CLASS/*."""

import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from dlproj.data.base import DataSpec
from dlproj.data.batches import Samples
from dlproj.data.decoding import EXTENSIONS, FIRST_FRAME, MODES, Decoded
from dlproj.data.files import brief, data_root, files_below, fixed_order, refuse_problems, warn_left_out
from dlproj.data.image import ImageDataModule, StoredImageConfig, image_spec
from dlproj.settings import DataError, one_line, require, within

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ImageFolderConfig(StoredImageConfig):
    """Settings of a tree of images; `root` is the folder that holds train/ and test/."""

    channels: int = 3  # 1 for grey, 3 for colour; images of the other sort are converted
    image_size: int = 32  # height and width in pixels, 1 or more; images of another size are resized

    def __post_init__(self) -> None:
        StoredImageConfig.__post_init__(self)  # slots=True makes a new class, which super() would not find
        require(self.channels in MODES, f"data.channels={self.channels} is impossible: set 1 (grey) or 3 (colour)")
        within("data.image_size", self.image_size, "[1, inf)")

    def spec(self) -> DataSpec:
        """Images (channels, image_size, image_size) in one class for each folder in train/, sorted by name.

        Raises DataError where the tree is not as it should be.
        """
        classes, test = _folders(data_root(self.root), "train"), _folders(data_root(self.root), "test")
        _check_equal(classes, test, self.root)
        if len(classes) < 2:
            raise DataError(f"data.root={self.root} holds one class only: add a folder for another to train/ and test/")
        return image_spec((self.channels, self.image_size, self.image_size), classes)

    def build(self, seed: int) -> "ImageFolderDataModule":
        """The data module."""
        return ImageFolderDataModule(self, seed)


_VALIDATION = ("val", "valid", "validation", "dev")  # what others call a folder beside train/ and test/


class ImageFolderDataModule(ImageDataModule):
    """The images of a tree, decoded once into memory."""

    config: ImageFolderConfig
    _listed: "list[_Split] | None" = None

    def prepare_data(self) -> None:
        """List the files, and say what is left out, on one process of a machine."""
        if hasattr(self, "train"):  # the trainer's test() asks again
            return
        self._listed = self._list()  # spares this process a second listing, no more
        left_out = [path for split in self._listed for path in split.left_out]
        warn_left_out(left_out, sum(len(split.images) for split in self._listed) + len(left_out))
        folders = (path.name for path in data_root(self.config.root).iterdir() if path.is_dir())
        if unread := sorted(name for name in folders if name.lower() in _VALIDATION):
            _log.warning("%s/ is not read: validation samples are taken from train/", unread[0])

    def load(self) -> tuple[Samples, Samples]:
        """Training images in one fixed order (files.fixed_order), as they come sorted by class, and test images.

        Raises DataError, naming the files that cannot be read.
        """
        first = self._listed is not None  # of several processes, the one that says what there is to say
        splits, self._listed = self._listed or self._list(), None
        train, test = fixed_order(splits[0].images), splits[1].images
        decoded = [self.decode([path for path, _ in images]) for images in (train, test)]
        refuse_problems((problem for one in decoded for problem in one.problems), "images")
        several = sum(FIRST_FRAME in conversion for one in decoded for conversion in one.conversions)
        if first and several:
            have = "image has" if several == 1 else "images have"
            _log.warning("%d %s several frames or pages: the first of each is read", several, have)
        return _samples(decoded[0], train), _samples(decoded[1], test)

    def _list(self) -> "list[_Split]":
        root = data_root(self.config.root)
        return [_split(root / name, self.spec.classes) for name in ("train", "test")]


class _Split(NamedTuple):
    """What train/ or test/ holds."""

    images: list[tuple[Path, int]]  # with the number of their class
    left_out: list[Path]


def _split(folder: Path, classes: Sequence[str]) -> _Split:
    """Raises DataError for a class without images."""
    split = _Split([], sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != "."))
    for target, name in enumerate(classes):
        listing = files_below(folder / name, EXTENSIONS)
        listing.refuse_empty(folder / name, EXTENSIONS, "add some, or remove it from train/ and test/")
        split.images.extend((path, target) for path in listing.found)
        split.left_out.extend(listing.left_out)
    return split


def _samples(decoded: Decoded, images: Sequence[tuple[Path, int]]) -> Samples:
    return Samples(decoded.pixels, torch.tensor([target for _, target in images]))


def _folders(root: Path, split: str) -> tuple[str, ...]:
    try:
        names = sorted(place.name for place in (root / split).iterdir() if place.is_dir() and place.name[0] != ".")
    except OSError as error:
        raise DataError(f"{root / split} cannot be read ({brief(error)}): set data.root to a folder that holds "
                        "train/CLASS/ and test/CLASS/ with the images") from error  # fmt: skip
    if not names:
        raise DataError(f"{root / split} holds no class folders: set data.root to a folder that holds "
                        "train/CLASS/ and test/CLASS/ with the images")  # fmt: skip
    _check_names(root / split, names)
    return tuple(names)


def _check_names(folder: Path, names: Sequence[str]) -> None:
    """Raise DataError for names that no file or page can show, or that nobody could tell apart."""
    odd = [name for name in names if one_line(name) != name]
    if odd:
        raise DataError(f"the class folder {folder}/{odd[0]} has characters in its name that cannot be written "
                        "(no UTF-8, or control characters): rename it in train/ and test/")  # fmt: skip
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(_as_seen(name), name)
        if other is not name:
            raise DataError(f"{folder} has class folders whose names look the same, {other!a} and {name!a}: "
                            "rename one of them, or put their images together")  # fmt: skip


def _as_seen(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def _check_equal(train: Sequence[str], test: Sequence[str], root: str) -> None:
    """Raise DataError, naming the folders, unless train/ and test/ have the same ones."""
    odd = sorted(set(train) ^ set(test))
    if not odd:
        return
    alike = len({_as_seen(name) for name in odd}) < len(odd)
    named = ", ".join((ascii if alike else str)(name) for name in odd[:5])
    advice = "the names look alike: rename them to the same" if alike else "add or remove it"
    raise DataError(f"data.root={root}: train/ and test/ must have the same class folders, "
                    f"but {named} is in one only: {advice}")  # fmt: skip
