"""L1 and L2 penalties on chosen parameters, added to the loss as Keras does."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dlproj.models.sharding import full_tensor


class Penalty(NamedTuple):
    """`l1 · Σ|w| + l2 · Σw²` (no ½) of one parameter, found by name so that a strategy may replace the tensor."""

    module: nn.Module
    parameter: str
    l1: float
    l2: float

    def __call__(self) -> Tensor:
        """A scalar that gradients flow through."""
        weights = full_tensor(getattr(self.module, self.parameter))
        total = weights.new_zeros(())
        if self.l1:
            total = total + self.l1 * weights.abs().sum()
        if self.l2:
            total = total + self.l2 * weights.square().sum()
        return total


class Penalties:
    """The penalties of a whole model; empty for one without."""

    def __init__(self, penalties: list[Penalty]) -> None:
        self.active = [penalty for penalty in penalties if penalty.l1 or penalty.l2]

    def __bool__(self) -> bool:
        return bool(self.active)

    def __call__(self) -> Tensor:
        """The sum, a scalar that gradients flow through."""
        return torch.stack([penalty() for penalty in self.active]).sum()

    def here(self) -> list[Tensor]:
        """In a pipeline, each one whose parameter is in this process."""
        return [one() for one in self.active if not getattr(one.module, one.parameter).is_meta]
