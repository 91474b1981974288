"""A user's own tree of image files: train/CLASS/* and, unless it has no test set, test/CLASS/*."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from dlproj.config.images import ImageFolderConfig
from dlproj.data.batches import Samples
from dlproj.data.class_folders import has_test_folder
from dlproj.data.data_files import data_root, files_below, fixed_order, refuse_problems, warn_left_out
from dlproj.data.decoding import EXTENSIONS, FIRST_FRAME, Decoded
from dlproj.data.image import ImageDataModule

_log = logging.getLogger(__name__)


_VALIDATION = ("val", "valid", "validation", "dev")  # common names of a third folder beside train/ and test/


class ImageFolderDataModule(ImageDataModule):
    """The images of a tree, decoded once into memory."""

    config: ImageFolderConfig
    _listed: "list[_Split] | None" = None

    def prepare_data(self) -> None:
        """List the files and warn about those left out, on one process per machine."""
        if hasattr(self, "train"):  # the trainer's test() calls this again
            return
        self._listed = self._list()  # only saves this process a second listing
        left_out = [path for split in self._listed for path in split.left_out]
        warn_left_out(left_out, sum(len(split.images) for split in self._listed) + len(left_out))
        folders = (path.name for path in data_root(self.config.root).iterdir() if path.is_dir())
        if unread := sorted(name for name in folders if name.lower() in _VALIDATION):
            _log.warning("%s/ is not read: validation samples are taken from train/", unread[0])

    def load(self) -> tuple[Samples, Samples | None]:
        """Return training images in a fixed order (data_files.fixed_order), not sorted by class, and test images.

        Raises DataError, naming the files that cannot be read.
        """
        first = self._listed is not None  # of several processes, the one that logs warnings
        splits, self._listed = self._listed or self._list(), None
        parts = [fixed_order(splits[0].images), *(split.images for split in splits[1:])]
        decoded = [self.decode([path for path, _ in images]) for images in parts]
        refuse_problems((problem for split in decoded for problem in split.problems), "images")
        several = sum(FIRST_FRAME in conversion for split in decoded for conversion in split.conversions)
        if first and several:
            have = "image has" if several == 1 else "images have"
            _log.warning("%d %s several frames or pages: the first of each is read", several, have)
        train, *test = map(_samples, decoded, parts)
        return train, test[0] if test else None

    def _list(self) -> "list[_Split]":
        root = data_root(self.config.root)
        names = ["train", "test"] if has_test_folder(self.config.root) else ["train"]
        return [_split(root / name, self.spec.classes) for name in names]


class _Split(NamedTuple):
    """The contents of train/ or test/."""

    images: list[tuple[Path, int]]  # path and class index
    left_out: list[Path]


def _split(folder: Path, classes: Sequence[str]) -> _Split:
    """List the images by class. Raises DataError for a class without images."""
    split = _Split([], sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != "."))
    for target, name in enumerate(classes):
        listing = files_below(folder / name, EXTENSIONS)
        listing.refuse_empty(folder / name, EXTENSIONS, "add some, or remove it from train/ and test/")
        split.images.extend((path, target) for path in listing.found)
        split.left_out.extend(listing.left_out)
    return split


def _samples(decoded: Decoded, images: Sequence[tuple[Path, int]]) -> Samples:
    return Samples(decoded.pixels, torch.tensor([target for _, target in images]))
