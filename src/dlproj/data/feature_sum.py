"""Made data whose true rule is known: is the sum of uniform numbers more than half of their count?"""

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
    """Uniform numbers in [0, 1), float32, and whether their sum is more than half of their count."""

    config: FeatureSumConfig

    def load(self) -> tuple[Samples, Samples]:
        """Training and test samples, drawn in this order from data_seed alone."""
        config = self.config
        random = generator("feature_sum", config.data_seed)
        return _draw(config.train_samples, config.features, random), _draw(config.test_samples, config.features, random)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Float32 (N, features) of texts that are that many numbers each, parted by commas or spaces."""
        return torch.tensor([self._numbers(text) for text in texts])

    def _numbers(self, text: str) -> list[float]:
        (count,) = self.spec.shape
        try:
            numbers = [float(number) for number in text.replace(",", " ").split()]
        except ValueError as error:
            raise DataError(
                f"{shorten(text, 60)!r} is not a row of numbers ({error}): write {count}, parted by commas or spaces"
            ) from error
        if not all(map(math.isfinite, numbers)):
            raise DataError(f"{shorten(text, 60)!r} has numbers that are not finite: write {count} that are")
        if len(numbers) != count:
            raise DataError(f"{shorten(text, 60)!r} has {len(numbers)} numbers, the model reads {count}: write as many")
        return numbers


def _draw(count: int, features: int, random: torch.Generator) -> Samples:
    inputs = torch.rand(count, features, generator=random)
    return Samples(inputs, (inputs.double().sum(1) > features / 2).long())
