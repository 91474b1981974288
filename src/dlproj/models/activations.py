"""The activation functions that a layer can have."""

from collections.abc import Callable
from enum import Enum

import torch
from torch import Tensor, nn


class Activation(Enum):
    """Elementwise, but for softmax, which acts over the layer's units. PARAMETERS names the setting that one reads."""

    relu = "relu"
    leaky_relu = "leaky_relu"  # negative_slope · x below zero
    prelu = "prelu"  # slope below zero learned, one a layer, prelu_init at the start (He et al. 2015)
    elu = "elu"  # elu_alpha · (eˣ − 1) below zero (Clevert et al. 2016)
    sigmoid = "sigmoid"
    tanh = "tanh"
    swish = "swish"  # x · σ(swish_beta · x) (Ramachandran et al. 2017)
    softmax = "softmax"
    identity = "identity"


PARAMETERS = {
    Activation.leaky_relu: "negative_slope",
    Activation.prelu: "prelu_init",
    Activation.elu: "elu_alpha",
    Activation.swish: "swish_beta",
}


class Swish(nn.Module):
    """x · σ(βx) for a constant β: x/2 at β = 0, nearer to ReLU the larger β."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, inputs: Tensor) -> Tensor:
        """Elementwise."""
        return inputs * torch.sigmoid(self.beta * inputs)


def _prelu(init: float = 0.25) -> nn.Module:
    return nn.PReLU(init=init)


def _swish(beta: float = 1.0) -> nn.Module:
    return nn.SiLU() if beta == 1 else Swish(beta)


_MODULES: dict[Activation, Callable[..., nn.Module]] = {
    Activation.relu: nn.ReLU,
    Activation.leaky_relu: nn.LeakyReLU,
    Activation.prelu: _prelu,
    Activation.elu: nn.ELU,
    Activation.sigmoid: nn.Sigmoid,
    Activation.tanh: nn.Tanh,
    Activation.swish: _swish,
    Activation.softmax: lambda: nn.Softmax(dim=-1),
    Activation.identity: nn.Identity,
}


def activation_module(activation: Activation, *parameter: float) -> nn.Module:
    """A module that maps (…, units) to the same shape.

    parameter: for an activation in PARAMETERS; left out, it is LayerSettings' default.
    """
    return _MODULES[activation](*parameter)
