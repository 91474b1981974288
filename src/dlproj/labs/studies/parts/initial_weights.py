"""Initialisers with the numbers that they are studied with, their variances, and layers drawn from them."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import nn

from dlproj.config.layers import DenseConfig, Initializer, InitializerConfig
from dlproj.data.batches import generator
from dlproj.models.layers import linear

STD, LIMIT, CONSTANT = 0.01, 0.05, 0.01  # the mlp document's; Keras's; the deviation again
CONFIGS = {name: InitializerConfig(name) for name in Initializer} | {
    Initializer.constant: InitializerConfig(Initializer.constant, value=CONSTANT),
    Initializer.normal: InitializerConfig(Initializer.normal, std=STD),
    Initializer.uniform: InitializerConfig(Initializer.uniform, low=-LIMIT, high=LIMIT),
}
# σ² from a layer's inputs n and outputs m; weights of ones and constants are not of mean 0.
VARIANCES: Mapping[Initializer, Callable[[int, int], float]] = {
    Initializer.torch: lambda n, m: 1 / (3 * n),  # U(±1/√n)
    Initializer.zeros: lambda n, m: 0.0,
    Initializer.normal: lambda n, m: STD**2,
    Initializer.uniform: lambda n, m: LIMIT**2 / 3,
    Initializer.glorot_uniform: lambda n, m: 2 / (n + m),
    Initializer.glorot_normal: lambda n, m: 2 / (n + m),
    Initializer.he_uniform: lambda n, m: 2 / n,
    Initializer.he_normal: lambda n, m: 2 / n,
    Initializer.orthogonal: lambda n, m: 1 / max(n, m),
}


def random_layers(name: Initializer, widths: Sequence[int], *seeds: int) -> list[nn.Linear]:
    """The models' own linear layers with zero biases."""
    zeros = InitializerConfig(Initializer.zeros)
    with torch.random.fork_rng(devices=[]):  # initialize() draws from torch's global generator
        torch.set_rng_state(generator("weights", *seeds).get_state())
        return [
            linear(inputs, DenseConfig(units=units, weight_initializer=CONFIGS[name], bias_initializer=zeros))
            for inputs, units in pairwise(widths)
        ]
