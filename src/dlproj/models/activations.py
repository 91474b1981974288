"""The activation functions that a layer can have."""

from collections.abc import Callable
from enum import Enum

from torch import nn


class Activation(Enum):
    """Elementwise, but for softmax, which acts over the layer's units."""

    relu = "relu"
    leaky_relu = "leaky_relu"  # slope 0.01 below zero
    prelu = "prelu"  # slope below zero learned, one a layer, 0.25 at the start
    elu = "elu"  # α = 1
    sigmoid = "sigmoid"
    tanh = "tanh"
    swish = "swish"  # x · σ(x)
    softmax = "softmax"
    identity = "identity"


_MODULES: dict[Activation, Callable[[], nn.Module]] = {
    Activation.relu: nn.ReLU,
    Activation.leaky_relu: nn.LeakyReLU,
    Activation.prelu: nn.PReLU,
    Activation.elu: nn.ELU,
    Activation.sigmoid: nn.Sigmoid,
    Activation.tanh: nn.Tanh,
    Activation.swish: nn.SiLU,
    Activation.softmax: lambda: nn.Softmax(dim=-1),
    Activation.identity: nn.Identity,
}


def activation_module(activation: Activation) -> nn.Module:
    """A module that maps (…, units) to the same shape."""
    return _MODULES[activation]()
