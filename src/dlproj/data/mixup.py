"""Mixup (Zhang et al. 2018): batches of convex combinations of two samples."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dlproj.data.batches import Batch, generator


@dataclass(frozen=True, slots=True)
class Mixup:
    """Mixes each sample of a global batch with another one, λ · a + (1 − λ) · b, with λ from Beta(alpha, alpha).

    As in the authors' code λ is the same for the whole batch, and the partners are a permutation of it. Both depend on
    (seed, epoch, step) alone.
    """

    alpha: float
    classes: int
    seed: int

    def __call__(self, inputs: Tensor, targets: Tensor, epoch: int, step: int) -> Batch:
        """Mix inputs (B, …) and integer targets (B,): return inputs and float32 shares of the classes (B, classes)."""
        random = generator("mixup", self.seed, epoch, step)
        share = np.random.default_rng(random.initial_seed()).beta(self.alpha, self.alpha)
        partners = torch.randperm(len(inputs), generator=random).to(inputs.device, non_blocking=True)
        hot = functional.one_hot(targets, self.classes).float()
        return tuple(torch.lerp(values[partners], values, share) for values in (inputs, hot))  # type: ignore[return-value]
