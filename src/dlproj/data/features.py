"""The base of data sets whose samples are rows of numbers."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dlproj.config.checks import DataError
from dlproj.data.base import DataModule


class FeatureDataModule(DataModule):
    """Features stored as float32 (N, features)."""

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Parse texts of `features` numbers each, separated by commas or spaces, to float32 (N, features)."""
        return torch.tensor([self._numbers(text) for text in texts])

    def _numbers(self, text: str) -> list[float]:
        (count,) = self.spec.shape
        try:
            numbers = [float(number) for number in text.replace(",", " ").split()]
        except ValueError as error:
            raise DataError(
                f"{text[:60]!r} is not a row of numbers ({error}): write {count}, separated by commas or spaces"
            ) from error
        if not all(map(math.isfinite, numbers)):
            raise DataError(f"{text[:60]!r} has numbers that are not finite: write {count} finite ones")
        if len(numbers) != count:
            raise DataError(f"{text[:60]!r} has {len(numbers)} numbers, the model reads {count}: write {count}")
        return numbers
