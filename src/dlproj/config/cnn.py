"""The settings of a convolutional network."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlproj.config.checks import require
from dlproj.config.data import DataSpec, Kind
from dlproj.config.fields import like, setting
from dlproj.config.layers import ConvConfig, DenseConfig, describe
from dlproj.config.mlp import FeedForwardConfig
from dlproj.config.model import ModelConfig
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig

if TYPE_CHECKING:
    from dlproj.models.cnn import CNNClassifier


@dataclass(slots=True)
class CNNConfig(FeedForwardConfig):
    """Settings of a convolutional network: convolutional layers, then dense ones."""

    conv: list[Any] = setting(
        lambda: [32, 64], "a convolutional layer each: its feature maps, or a mapping of settings"
    )
    hidden: list[Any] = setting(lambda: [128], "a dense layer each, behind those: its width, or a mapping of settings")
    kernel_size: int = like(ConvConfig, "kernel_size", 3)
    pool: int = like(ConvConfig, "pool", 2)

    def __post_init__(self) -> None:
        ModelConfig.__post_init__(self)
        require(bool(self.conv), "model.conv is empty: set at least one layer, such as [32], or model=mlp")

    def conv_layers(self) -> list[ConvConfig]:
        """The description of each convolutional layer. Raises ConfigurationError."""
        return describe(ConvConfig, self.conv, self, "conv")

    def dense_layers(self) -> list[DenseConfig]:
        """The description of each hidden layer behind them. Raises ConfigurationError."""
        return describe(DenseConfig, self.hidden, self)

    def hidden_layers(self) -> list[DenseConfig]:
        """Both, one after the other."""
        return [*self.conv_layers(), *self.dense_layers()]

    def entries(self) -> list[tuple[str, Any]]:
        """Those of model.conv before those of model.hidden."""
        return [
            *((f"model.conv[{number}]", entry) for number, entry in enumerate(self.conv)),
            *ModelConfig.entries(self),
        ]

    def inputs_of(self, spec: DataSpec) -> int:
        """All pixels. Raises ConfigurationError, too, where pooling leaves none."""
        require(spec.kind is Kind.image, "model=cnn reads images: set model=mlp for features, model=lstm for word ids")
        self.shapes(spec)
        return math.prod(spec.shape)

    def shapes(self, spec: DataSpec) -> list[tuple[int, ...]]:
        """What each convolutional layer puts out of such images: (feature maps, height, width)."""
        _, height, width = spec.shape
        found: list[tuple[int, ...]] = []
        for number, layer in enumerate(self.conv_layers()):
            height, width = height // layer.pool, width // layer.pool
            pixels = f"{spec.shape[1]} × {spec.shape[2]} pixels"
            message = f"model.conv[{number}].pool={layer.pool} leaves nothing of {pixels}"
            require(min(height, width) > 0, f"{message}: set it, or those before, lower")
            found.append((layer.units, height, width))
        return found

    def build(self, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> "CNNClassifier":
        """The classifier for such data."""
        from dlproj.models.cnn import CNNClassifier

        return CNNClassifier(self, spec, optim, scheduler)
