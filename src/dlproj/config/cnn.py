"""Settings of a convolutional network."""

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
        lambda: [32, 64], "convolutional layers: the number of feature maps of each, or its settings"
    )
    hidden: list[Any] = setting(lambda: [128], "dense layers after conv: the width of each, or its settings")
    kernel_size: int = like(ConvConfig, "kernel_size", 3)
    pool: int = like(ConvConfig, "pool", 2)

    def __post_init__(self) -> None:
        ModelConfig.__post_init__(self)
        require(bool(self.conv), "model.conv is empty: set at least one layer, such as [32], or model=mlp")

    def conv_layers(self) -> list[ConvConfig]:
        """Settings of each convolutional layer. Raises ConfigurationError if one is invalid."""
        return describe(ConvConfig, self.conv, self, "conv")

    def dense_layers(self) -> list[DenseConfig]:
        """Settings of each dense layer after the convolutions. Raises ConfigurationError if one is invalid."""
        return describe(DenseConfig, self.hidden, self)

    def hidden_layers(self) -> list[DenseConfig]:
        """Settings of the convolutional, then the dense layers."""
        return [*self.conv_layers(), *self.dense_layers()]

    def entries(self) -> list[tuple[str, Any]]:
        """Keys and entries of model.conv, then of model.hidden."""
        return [*((f"model.conv[{i}]", entry) for i, entry in enumerate(self.conv)), *ModelConfig.entries(self)]

    def inputs_of(self, spec: DataSpec) -> int:
        """channels · height · width. Raises ConfigurationError for other data, or if pooling leaves no pixels."""
        require(spec.kind is Kind.image, "model=cnn reads images: set model=mlp for features, model=lstm for word ids")
        self.shapes(spec)
        return math.prod(spec.shape)

    def shapes(self, spec: DataSpec) -> list[tuple[int, ...]]:
        """Output shape of each convolutional layer: (feature maps, height, width)."""
        _, height, width = spec.shape
        outputs: list[tuple[int, ...]] = []
        for i, layer in enumerate(self.conv_layers()):
            height, width = height // layer.pool, width // layer.pool
            pixels = f"{spec.shape[1]} × {spec.shape[2]} pixels"
            message = f"model.conv[{i}].pool={layer.pool} leaves nothing of {pixels}"
            require(min(height, width) > 0, f"{message}: set it, or those before, lower")
            outputs.append((layer.units, height, width))
        return outputs

    def build(self, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> "CNNClassifier":
        """Build the classifier for this data."""
        from dlproj.models.cnn import CNNClassifier

        return CNNClassifier(self, spec, optim, scheduler)
