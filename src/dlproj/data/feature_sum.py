"""Synthetic data with a known rule: is the sum of uniform features more than half their count?"""

import math
from collections.abc import Sequence
from textwrap import shorten

import torch
from torch import Tensor

from dlproj.config.checks import DataError
from dlproj.config.data import FeatureSumConfig
from dlproj.data.base import DataModule
from dlproj.data.batches import Samples, generator


class FeatureSumDataModule(DataModule):
    """Uniform features in [0, 1), float32; the target is 1 if their sum is more than half their count, else 0."""

    config: FeatureSumConfig

    def load(self) -> tuple[Samples, Samples]:
        """Return training and test samples, drawn in this order from data_seed alone."""
        config = self.config
        random = generator("feature_sum", config.data_seed)
        return _draw(config.train_samples, config.features, random), _draw(config.test_samples, config.features, random)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Parse texts of `features` numbers each, separated by commas or spaces, to float32 (N, features)."""
        return torch.tensor([self._numbers(text) for text in texts])

    def _numbers(self, text: str) -> list[float]:
        (count,) = self.spec.shape
        try:
            numbers = [float(number) for number in text.replace(",", " ").split()]
        except ValueError as error:
            raise DataError(
                f"{shorten(text, 60)!r} is not a row of numbers ({error}): write {count}, separated by commas or spaces"
            ) from error
        if not all(map(math.isfinite, numbers)):
            raise DataError(f"{shorten(text, 60)!r} has numbers that are not finite: write {count} finite ones")
        if len(numbers) != count:
            raise DataError(f"{shorten(text, 60)!r} has {len(numbers)} numbers, the model reads {count}: write {count}")
        return numbers


def _draw(count: int, features: int, random: torch.Generator) -> Samples:
    inputs = torch.rand(count, features, generator=random)
    return Samples(inputs, (inputs.double().sum(1) > features / 2).long())
