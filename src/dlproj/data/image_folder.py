"""A user's own tree of image files: train/CLASS/* and, unless it has no test set, test/CLASS/*."""

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import torch
from torch import Tensor

from dlproj.config.data import ValidationSplit
from dlproj.config.images import Caching, ImageFolderConfig
from dlproj.data.batches import Samples
from dlproj.data.class_folders import Split, list_split, splits_of, warn_unread
from dlproj.data.data_files import data_root, fixed_order, refuse_problems
from dlproj.data.decoded_images import DecodedOnce, decode_in_memory, decode_once
from dlproj.data.decoding import EXTENSIONS
from dlproj.data.image import ImageDataModule
from dlproj.data.mapped_files import Kept, note, take

_log = logging.getLogger(__name__)


_MANY = 1000  # images, from which on decoding takes longer than a second or two


class ImageFolderDataModule(ImageDataModule):
    """The images of a tree, decoded into memory or, once for all runs, into a memory-mapped file."""

    config: ImageFolderConfig
    _listed: list[Split] | None = None
    _decoded: list[DecodedOnce] | None = None  # of train/ and test/, until load() hands them out
    _files: Sequence[Kept] = ()  # with all the images, if they are mapped

    def prepare_data(self) -> None:
        """List the files, warn about those left out, and decode for all processes, on one process per machine."""
        if hasattr(self, "train"):  # the trainer's test() calls this again
            return
        self._listed = self._list()  # only saves this process a second listing
        warn_unread(data_root(self.config.root), self._listed)
        if self._is_cached(self._listed):
            self._decoded = self._decode(self._listed)

    def load(self) -> tuple[Samples, Samples | None]:
        """Return training images in a fixed order (data_files.fixed_order), not sorted by class, and test images.

        Raises DataError, naming the files that cannot be read.
        """
        first = self._listed is not None  # of several processes, the one that logs warnings
        splits, self._listed = self._listed or self._list(), None
        decoded, self._decoded = self._decoded or self._decode(splits), None
        refuse_problems((problem for split in decoded for problem in split.problems), "images")
        several = sum(split.several for split in decoded)
        if first and several:
            have = "image has" if several == 1 else "images have"
            _log.warning("%d %s several frames or pages: the first of each is read", several, have)
        files = [split.kept for split in decoded if split.kept]
        self._files = files if len(files) == len(decoded) else ()
        train, *test = map(_samples, decoded, splits)
        return train, test[0] if test else None

    def take(self, samples: Samples, index: Tensor) -> Samples:
        """Copy samples by their indices (M,); of many in a mapped file, into another."""
        return Samples(take(samples.inputs, index), samples.targets[index]) if self._files else samples[index]

    def fingerprint(self) -> str:
        """As of any data; of mapped files it is kept beside them, for each way to split them."""
        if not self._files:
            return super().fingerprint()
        first, config = self._files[0], self.config
        seed = self.seed if config.val in (ValidationSplit.random, ValidationSplit.stratified) else 0
        ways = (config.val.name, config.val_fraction, seed, config.test_fraction, config.folds, config.fold)
        name = json.dumps([*(file.key for file in self._files), *ways, config.split_seed, self.spec.classes])
        known = first.about.get("fingerprints")
        known = first.about["fingerprints"] = known if isinstance(known, dict) else {}
        if name not in known:
            known[name] = super().fingerprint()
            with suppress(OSError):  # a folder that cannot be written to any more
                note(first.key, first.about)
        return str(known[name])

    def _is_cached(self, splits: Sequence[Split]) -> bool:
        if self.config.cache is Caching.auto:
            return sum(len(split.files) for split in splits) >= _MANY
        return self.config.cache is Caching.always

    def _decode(self, splits: Sequence[Split]) -> list[DecodedOnce]:
        root, shape = data_root(self.config.root), self.spec.shape
        decode = partial(decode_once, root) if self._is_cached(splits) else decode_in_memory
        return [decode([path for path, _ in split.files], shape, self.background) for split in splits]

    def _list(self) -> list[Split]:
        train, *test = (list_split(folder, self.spec.classes, EXTENSIONS) for folder in splits_of(self.config.root))
        return [train._replace(files=fixed_order(train.files)), *test]


def _samples(decoded: DecodedOnce, split: Split) -> Samples:
    return Samples(decoded.pixels, torch.tensor([target for _, target in split.files]))
