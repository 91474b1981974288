"""scikit-learn's digits: 1,797 grey 8×8 images of handwritten digits with 17 grey levels; needs no download."""

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from dlproj.data.batches import Samples
from dlproj.data.image import ImageDataModule

# Indices of the training samples, then of the 360 test samples, as returned by train_test_split(range(1797),
# test_size=0.2, stratify=targets, random_state=0).
_SPLIT, _TRAIN_SAMPLES = Path(__file__).with_name("digits_split.npy"), 1437


class DigitsDataModule(ImageDataModule):
    """scikit-learn's digits as (1, 8, 8) images with pixels 0..16."""

    largest_pixel = 16
    background = 0

    def load(self) -> tuple[Samples, Samples]:
        """Return 1,437 training and 360 test images: a fixed split, stratified by class, with 20 % for testing."""
        table = torch.from_numpy(_table())
        images, targets = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].long()
        order = torch.from_numpy(np.load(_SPLIT).astype(np.int64))
        train, test = order[:_TRAIN_SAMPLES], order[_TRAIN_SAMPLES:]
        return Samples(images[train], targets[train]), Samples(images[test], targets[test])


def _table() -> np.ndarray:
    """Pixels and target of each sample, uint8 (1797, 65), from scikit-learn's file without its slow import."""
    package = find_spec("sklearn")
    folders = package.submodule_search_locations if package else None
    file = Path((folders or [""])[0], "datasets", "data", "digits.csv.gz")
    if file.is_file():
        with gzip.open(file, "rt") as lines:
            return np.loadtxt(lines, np.uint8, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target]).astype(np.uint8)
