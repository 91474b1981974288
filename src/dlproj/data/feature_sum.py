"""Synthetic data with a known rule: is the sum of uniform features more than half their count?"""

import torch

from dlproj.config.data import FeatureSumConfig
from dlproj.data.batches import Samples, generator
from dlproj.data.features import FeatureDataModule


class FeatureSumDataModule(FeatureDataModule):
    """Uniform features in [0, 1), float32; the target is 1 if their sum is more than half their count, else 0."""

    config: FeatureSumConfig

    def load(self) -> tuple[Samples, Samples]:
        """Return training and test samples, drawn in this order from data_seed alone."""
        config = self.config
        random = generator("feature_sum", config.data_seed)
        return _draw(config.train_samples, config.features, random), _draw(config.test_samples, config.features, random)


def _draw(count: int, features: int, random: torch.Generator) -> Samples:
    inputs = torch.rand(count, features, generator=random)
    return Samples(inputs, (inputs.double().sum(1) > features / 2).long())
