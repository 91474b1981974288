"""L1 and L2 penalties on chosen parameters, added to the loss as Keras does."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Penalty(NamedTuple):
    """`l1 · Σ|w| + l2 · Σw²` (no ½) of one parameter, stored by name since a strategy may replace the tensor."""

    module: nn.Module
    parameter: str
    l1: float
    l2: float

    @property
    def weights(self) -> Tensor:
        """The current parameter tensor of the module."""
        weights: Tensor = getattr(self.module, self.parameter)
        return weights

    def __call__(self, full_tensor: Callable[[Tensor], Tensor] = lambda weights: weights) -> Tensor:
        """Compute the penalty, a differentiable scalar; full_tensor() adds the weights that other processes hold."""
        weights = full_tensor(self.weights)
        total = weights.new_zeros(())
        if self.l1:
            total = total + self.l1 * weights.abs().sum()
        if self.l2:
            total = total + self.l2 * weights.square().sum()
        return total


class Penalties:
    """The penalties of a model; false if there are none."""

    def __init__(self, penalties: list[Penalty]) -> None:
        self.active = [penalty for penalty in penalties if penalty.l1 or penalty.l2]

    def __bool__(self) -> bool:
        return bool(self.active)

    def __call__(self, *full_tensor: Callable[[Tensor], Tensor]) -> Tensor:
        """Compute their sum, a differentiable scalar."""
        return torch.stack([penalty(*full_tensor) for penalty in self.active]).sum()
