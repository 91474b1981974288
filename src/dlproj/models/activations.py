"""The activation functions of layers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dlproj.config.layers import Activation


class Swish(nn.Module):
    """x · σ(βx) for a constant β: x/2 at β = 0, approaching ReLU as β grows."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply the activation elementwise."""
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
    """Return the activation as a module that maps (…, units) to the same shape.

    parameter: the parameter of an activation in PARAMETERS; by default as in LayerSettings.
    """
    return _MODULES[activation](*parameter)
