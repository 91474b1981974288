"""scikit-learn's digits: 1,797 grey images of hand-written digits, 8×8, 17 grey levels; no files needed."""

from dataclasses import dataclass

import numpy as np
import torch

from dlproj.data.base import DataSpec
from dlproj.data.batches import Samples
from dlproj.data.image import ImageConfig, ImageDataModule, image_spec


@dataclass(slots=True)
class DigitsConfig(ImageConfig):
    """Settings of the digits, which are a part of scikit-learn."""

    def spec(self) -> DataSpec:
        """Grey images (1, 8, 8) in ten classes."""
        return image_spec((1, 8, 8), tuple("0123456789"))

    def build(self, seed: int) -> "DigitsDataModule":
        """The data module."""
        return DigitsDataModule(self, seed)


class DigitsDataModule(ImageDataModule):
    """The digits; pixels are 0..16."""

    largest_pixel = 16
    background = 0

    def load(self) -> tuple[Samples, Samples]:
        """1,437 training and 360 test images: 20 % of every class is the test set, drawn once for all with seed 0."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        images = torch.from_numpy(digits.images.astype(np.uint8))[:, None]
        targets = torch.from_numpy(digits.target.astype(np.int64))
        train, test = train_test_split(np.arange(len(targets)), test_size=0.2, stratify=digits.target, random_state=0)
        return Samples(images[train], targets[train]), Samples(images[test], targets[test])
