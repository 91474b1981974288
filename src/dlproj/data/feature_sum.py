"""Made data whose true rule is known: is the sum of uniform numbers more than half of their count?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten

import torch
from torch import Tensor

from dlproj.data.base import DataConfig, DataModule, DataSpec, Kind
from dlproj.data.batches import Samples, generator
from dlproj.settings import DataError, within


@dataclass(slots=True)
class FeatureSumConfig(DataConfig):
    """Settings of the made data."""

    data_seed: int = 0  # decides the samples, 0 or more; the run's own seed does not change them
    train_samples: int = 8000  # samples in the training set, before validation is taken from it, 1 or more
    test_samples: int = 2000  # samples in the test set, 1 or more
    features: int = 20  # numbers a sample, 1 or more; class 1 where their sum is more than half of this

    def __post_init__(self) -> None:
        DataConfig.__post_init__(self)  # slots=True makes a new class, which super() would not find
        within("data.data_seed", self.data_seed, "[0, inf)")
        for key in ("train_samples", "test_samples", "features"):
            within(f"data.{key}", getattr(self, key), "[1, inf)")

    def spec(self) -> DataSpec:
        """Vectors (features,) in two classes."""
        return DataSpec(Kind.features, (self.features,), ("at most half", "more than half"))

    def build(self, seed: int) -> "FeatureSumDataModule":
        """The data module."""
        return FeatureSumDataModule(self, seed)


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
            raise DataError(f"{shorten(text, 60)!r} is no row of numbers ({error}): write {count}, parted by commas or "
                            "spaces") from error  # fmt: skip
        if not all(map(math.isfinite, numbers)):
            raise DataError(f"{shorten(text, 60)!r} has numbers that are not finite: write {count} that are")
        if len(numbers) != count:
            raise DataError(f"{shorten(text, 60)!r} has {len(numbers)} numbers, the model reads {count}: write as many")
        return numbers


def _draw(count: int, features: int, random: torch.Generator) -> Samples:
    inputs = torch.rand(count, features, generator=random)
    return Samples(inputs, (inputs.double().sum(1) > features / 2).long())
