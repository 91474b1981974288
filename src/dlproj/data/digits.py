"""scikit-learn's digits: 1,797 grey images of hand-written digits, 8×8, 17 grey levels; no download needed."""

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from dlproj.data.batches import Samples
from dlproj.data.image import ImageDataModule

# Training samples, in their order, then the 360 test samples: what train_test_split(range(1797), test_size=0.2,
# stratify=targets, random_state=0) gives.
_SPLIT, _TRAIN_SAMPLES = Path(__file__).with_name("digits_split.npy"), 1437


class DigitsDataModule(ImageDataModule):
    """The digits; pixels are 0..16."""

    largest_pixel = 16
    background = 0

    def load(self) -> tuple[Samples, Samples]:
        """1,437 training and 360 test images: 20 % of every class is the test set, drawn once for all with seed 0."""
        table = torch.from_numpy(_table())
        images, targets = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].long()
        order = torch.from_numpy(np.load(_SPLIT).astype(np.int64))
        train, test = order[:_TRAIN_SAMPLES], order[_TRAIN_SAMPLES:]
        return Samples(images[train], targets[train]), Samples(images[test], targets[test])


def _table() -> np.ndarray:
    """Pixels and target of each sample, uint8 (1797, 65): scikit-learn's file, for which its import is not waited."""
    package = find_spec("sklearn")
    folders = package.submodule_search_locations if package else None
    file = Path((folders or [""])[0], "datasets", "data", "digits.csv.gz")
    if file.is_file():
        with gzip.open(file, "rt") as lines:
            return np.loadtxt(lines, np.uint8, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target]).astype(np.uint8)
