"""A user's own tree of image files: train/CLASS/* and, unless it has no test set, test/CLASS/*."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from dlproj.config.images import ImageFolderConfig
from dlproj.data.batches import Samples
from dlproj.data.class_folders import Split, list_split, splits_of, warn_unread
from dlproj.data.data_files import data_root, fixed_order, refuse_problems
from dlproj.data.decoding import EXTENSIONS, FIRST_FRAME, Decoded
from dlproj.data.image import ImageDataModule

_log = logging.getLogger(__name__)


class ImageFolderDataModule(ImageDataModule):
    """The images of a tree, decoded once into memory."""

    config: ImageFolderConfig
    _listed: list[Split] | None = None

    def prepare_data(self) -> None:
        """List the files and warn about those left out, on one process per machine."""
        if hasattr(self, "train"):  # the trainer's test() calls this again
            return
        self._listed = self._list()  # only saves this process a second listing
        warn_unread(data_root(self.config.root), self._listed)

    def load(self) -> tuple[Samples, Samples | None]:
        """Return training images in a fixed order (data_files.fixed_order), not sorted by class, and test images.

        Raises DataError, naming the files that cannot be read.
        """
        first = self._listed is not None  # of several processes, the one that logs warnings
        splits, self._listed = self._listed or self._list(), None
        parts = [fixed_order(splits[0].files), *(split.files for split in splits[1:])]
        decoded = [self.decode([path for path, _ in images]) for images in parts]
        refuse_problems((problem for split in decoded for problem in split.problems), "images")
        several = sum(FIRST_FRAME in conversion for split in decoded for conversion in split.conversions)
        if first and several:
            have = "image has" if several == 1 else "images have"
            _log.warning("%d %s several frames or pages: the first of each is read", several, have)
        train, *test = map(_samples, decoded, parts)
        return train, test[0] if test else None

    def _list(self) -> list[Split]:
        return [list_split(folder, self.spec.classes, EXTENSIONS) for folder in splits_of(self.config.root)]


def _samples(decoded: Decoded, images: Sequence[tuple[Path, int]]) -> Samples:
    return Samples(decoded.pixels, torch.tensor([target for _, target in images]))
