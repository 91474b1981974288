"""The description of one layer, and how a model's settings and a layer's own make it up."""

from torch import nn

from dlproj.config.layers import DenseConfig
from dlproj.models.initializers import initialize
from dlproj.models.penalties import Penalty


def linear(inputs: int, layer: DenseConfig) -> nn.Linear:
    """The layer's linear map, initialised: (…, inputs) to (…, units)."""
    module = nn.Linear(inputs, layer.units, layer.bias)
    initialize(module.weight, layer.weight_initializer)
    if layer.bias:
        initialize(module.bias, layer.bias_initializer)
    return module


def linear_penalties(module: nn.Linear, layer: DenseConfig) -> list[Penalty]:
    """The penalties of a linear map's weights and biases."""
    of_bias = [Penalty(module, "bias", layer.bias_l1, layer.bias_l2)] if layer.bias else []
    return [Penalty(module, "weight", layer.weight_l1, layer.weight_l2), *of_bias]
