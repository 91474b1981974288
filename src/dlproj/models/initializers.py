"""How weights and biases start."""

from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn

from dlproj.settings import require, within


class Initializer(Enum):
    """Distributions by their usual names; fan_in and fan_out are the inputs and outputs of the whole weight matrix."""

    torch = "torch"  # what torch's own layer does: weights and biases U(±1/√fan_in); recurrent layers U(±1/√units)
    zeros = "zeros"
    ones = "ones"
    constant = "constant"
    normal = "normal"
    uniform = "uniform"
    glorot_uniform = "glorot_uniform"  # U(±√(6 / (fan_in + fan_out))), Glorot & Bengio 2010
    glorot_normal = "glorot_normal"  # N(0, 2 / (fan_in + fan_out)); Keras truncates it at two deviations
    he_uniform = "he_uniform"  # U(±√(6 / fan_in)), He et al. 2015
    he_normal = "he_normal"  # N(0, 2 / fan_in); Keras truncates it at two deviations
    orthogonal = "orthogonal"  # Saxe et al. 2013


_READ_BY = {
    "value": Initializer.constant,
    "mean": Initializer.normal,
    "std": Initializer.normal,
    "low": Initializer.uniform,
    "high": Initializer.uniform,
}
_MATRICES_ONLY = (
    Initializer.glorot_uniform,
    Initializer.glorot_normal,
    Initializer.he_uniform,
    Initializer.he_normal,
    Initializer.orthogonal,
)


@dataclass(slots=True)
class InitializerConfig:
    """An initialiser and the numbers that it reads; the others stay unset."""

    name: Initializer | None = Initializer.torch  # unset, for the output layer: as the model's settings say
    value: float | None = None  # of constant
    mean: float | None = None  # of normal; 0 if unset
    std: float | None = None  # of normal, above 0
    low: float | None = None  # of uniform
    high: float | None = None  # of uniform, above low

    def check(self, key: str, vector: bool = False) -> None:
        """Raise ConfigurationError if the initialiser at `key` lacks a number, has one too many, or fits no vector."""
        name = self.name.name if self.name else "null"
        for number, owner in _READ_BY.items():
            given, mine = getattr(self, number) is not None, self.name is owner
            require(mine or not given, f"{key}.{number} is read by {owner.name} only: set {key}.name={owner.name}")
            required = mine and number != "mean"
            require(given or not required, f"{key}.name={name} needs a number: set {key}.{number}")
        require(self.name is not None, f"{key}.name is unset: set it to torch, zeros, normal, glorot_uniform, …")
        for number in ("value", "mean", "low", "high"):
            within(f"{key}.{number}", getattr(self, number), "(-inf, inf)")
        within(f"{key}.std", self.std, "(0, inf)")
        if self.low is not None and self.high is not None:
            require(self.low < self.high, f"{key}.low={self.low} is not below {key}.high={self.high}: set it lower")
        message = f"{key}.name={name} needs a matrix: set zeros, ones, constant, normal, uniform or torch"
        require(not (vector and self.name in _MATRICES_ONLY), message)


def unset() -> InitializerConfig:
    """An initialiser yet to be chosen."""
    return InitializerConfig(name=None)


@torch.no_grad()
def initialize(tensor: Tensor, config: InitializerConfig) -> None:
    """Fill tensor in place, (fan_out, fan_in) for a matrix; Initializer.torch leaves what the layer's reset drew."""
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
