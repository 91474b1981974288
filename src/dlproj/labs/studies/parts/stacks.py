"""Linear layers in a row as plain tensors: with nothing, ReLU, sigmoid or tanh between them."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

Layer = tuple[Tensor, Tensor]  # weights (outputs, inputs) and biases (outputs,)


def arrows(widths: Sequence[int]) -> str:
    """Widths as text: 64 → 128 → 10."""
    return " → ".join(map(str, widths))


def random_layers(widths: Sequence[int], generator: torch.Generator) -> list[Layer]:
    """Weights from N(0, 1/inputs) and biases from N(0, 1), in float64."""
    return [
        (normal(outputs, inputs, generator=generator) / inputs**0.5, normal(outputs, generator=generator))
        for inputs, outputs in pairwise(widths)
    ]


def normal(*shape: int, generator: torch.Generator) -> Tensor:
    """Float64 numbers from N(0, 1)."""
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def outputs_of(layers: Sequence[Layer], inputs: Tensor, between: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Outputs (N, outputs) of layers one after another, with a function between them if there is one."""
    signal = inputs
    for i, (weights, biases) in enumerate(layers):
        signal = signal if between is None or not i else between(signal)
        signal = signal @ weights.T + biases
    return signal


def as_tanh(layers: Sequence[Layer]) -> list[Layer]:
    """The layers of a tanh network that equals the sigmoid network of these, as σ(z) = (tanh(z/2) + 1)/2."""
    converted = []
    for i, (weights, biases) in enumerate(layers):
        if i:  # it reads (tanh + 1)/2
            weights, biases = weights / 2, biases + weights.sum(1) / 2
        if i < len(layers) - 1:  # tanh reads z/2
            weights, biases = weights / 2, biases / 2
        converted.append((weights, biases))
    return converted
