"""Activation functions that depend on a parameter, their derivatives in closed form, and Swish's limits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

SWISH_BOUND = 0.2784645427610738  # the largest u σ(-u), W(1/e): f_β is so far, over β, from ReLU


@dataclass(frozen=True, slots=True)
class Family:
    """f(x, parameter) and f'(x, parameter), elementwise."""

    parameter: str
    function: Callable[[Tensor, float], Tensor]
    derivative: Callable[[Tensor, float], Tensor]  # at a kink the one from the left, as torch takes it


def swish(x: Tensor, beta: float) -> Tensor:
    """x σ(βx) (Ramachandran, Zoph & Le 2017)."""
    return x * (beta * x).sigmoid()


def _swish_derivative(x: Tensor, beta: float) -> Tensor:
    gate = (beta * x).sigmoid()
    return gate * (1 + beta * x * (1 - gate))


FAMILIES: Mapping[str, Family] = {
    "leaky and parametric ReLU": Family(
        "α", functional.leaky_relu, lambda x, alpha: torch.where(x > 0, torch.ones_like(x), alpha)
    ),
    "ELU": Family("α", functional.elu, lambda x, alpha: torch.where(x > 0, 1.0, alpha * x.clamp(max=0).exp())),
    "Swish": Family("β", swish, _swish_derivative),
}


def swish_limits(inputs: Tensor, beta: float) -> dict[str, float | None]:
    """The largest differences of Swish from x/2, from x and from ReLU over the inputs (N,), and bounds of two of them.

    |x σ(βx) - x/2| = |x/2 tanh(βx/2)| ≤ βx²/4, which is 0 for β → 0; |x σ(βx) - max(x, 0)| = |x| σ(-β|x|) is at most
    0.278…/β, which is 0 for β → ∞.
    """
    values = swish(inputs, beta)
    return {
        "from_half_x": float((values - inputs / 2).abs().max()),
        "bound_from_half_x": beta * float(inputs.square().max()) / 4,
        "from_x": float((values - inputs).abs().max()),
        "from_relu": float((values - inputs.relu()).abs().max()),
        "bound_from_relu": SWISH_BOUND / beta if beta else None,
    }
