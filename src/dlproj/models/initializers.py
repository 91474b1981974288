"""Initialisation of weights and biases."""

import torch
from torch import Tensor, nn

from dlproj.config.layers import Initializer, InitializerConfig


@torch.no_grad()
def initialize(tensor: Tensor, config: InitializerConfig) -> None:
    """Fill a tensor in place, (fan_out, fan_in) for a matrix; Initializer.torch keeps what the layer itself drew."""
    match config.name:
        case Initializer.torch | None:
            pass
        case Initializer.zeros:
            tensor.zero_()
        case Initializer.ones:
            tensor.fill_(1.0)
        case Initializer.constant:
            tensor.fill_(_given(config.value))
        case Initializer.normal:
            tensor.normal_(config.mean or 0.0, _given(config.std))
        case Initializer.uniform:
            tensor.uniform_(_given(config.low), _given(config.high))
        case Initializer.glorot_uniform:
            nn.init.xavier_uniform_(tensor)
        case Initializer.glorot_normal:
            nn.init.xavier_normal_(tensor)
        case Initializer.he_uniform:
            nn.init.kaiming_uniform_(tensor, nonlinearity="relu")
        case Initializer.he_normal:
            nn.init.kaiming_normal_(tensor, nonlinearity="relu")
        case Initializer.orthogonal:
            nn.init.orthogonal_(tensor)


def _given(value: float | None) -> float:
    assert value is not None, "InitializerConfig.check() was not called"
    return value
