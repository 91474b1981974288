"""Settings of a multilayer perceptron."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dlproj.config.checks import ConfigurationError, require
from dlproj.config.data import DataSpec, Kind
from dlproj.config.fields import like, setting
from dlproj.config.layers import Activation, DenseConfig, LayerPart, check_order, describe, usual_order
from dlproj.config.model import ModelConfig
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig

if TYPE_CHECKING:
    from dlproj.models.mlp import MLPClassifier


@dataclass(slots=True)
class FeedForwardConfig(ModelConfig):
    """Settings shared by models of linear maps with activations."""

    bias: bool = setting(True, "add a learned bias to each linear map, also the output's unless output.bias is set")
    batch_norm: bool = like(DenseConfig, "batch_norm", False)
    order: list[LayerPart] = like(DenseConfig, "order", usual_order)

    def check(self, key: str) -> None:
        """Raise ConfigurationError for an invalid setting or order."""
        ModelConfig.check(self, key)
        check_order(f"{key}.order", self.order)


@dataclass(slots=True)
class MLPConfig(FeedForwardConfig):
    """Settings of a multilayer perceptron."""

    splits_weights: ClassVar[bool] = True

    hidden: list[Any] = like(ModelConfig, "hidden", lambda: [1000])

    def hidden_layers(self) -> list[DenseConfig]:
        """Settings of each hidden layer. Raises ConfigurationError if one is invalid."""
        return describe(DenseConfig, self.hidden, self)

    def dense_layers(self) -> list[DenseConfig]:
        """The hidden layers. Raises ConfigurationError."""
        return self.hidden_layers()

    def layer_names(self) -> list[str]:
        """Also reading, which has parameters for some data; whether it has, the built model knows."""
        return ["reading", *FeedForwardConfig.layer_names(self)]

    def check_tensor_parallel(self, size: int) -> None:
        """Also raise ConfigurationError if the units of a pair's first layer cannot be split evenly."""
        ModelConfig.check_tensor_parallel(self, size)
        for pair, layer in enumerate(self.hidden_layers()[::2]):
            joint = layer.activation in (Activation.softmax, Activation.prelu)
            message = f"model.hidden[{2 * pair}] has the activation {layer.activation.name}, which needs all units"
            require(not joint, f"{message} in one process: set another, or trainer.tensor_parallel_size=1")
            message = f"model.hidden[{2 * pair}] has {layer.units} units for trainer.tensor_parallel_size={size}"
            require(layer.units % size == 0, f"{message} processes: set a multiple")

    def inputs_of(self, spec: DataSpec) -> int:
        """Numbers in a sample. Raises ConfigurationError for word ids."""
        if spec.kind is Kind.sequence:
            raise ConfigurationError(
                "model=mlp reads images or features, not word ids: set model=lstm, gru or simple_rnn"
            )
        return math.prod(spec.shape)

    def build(self, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> "MLPClassifier":
        """Build the classifier for this data."""
        from dlproj.models.mlp import MLPClassifier

        return MLPClassifier(self, spec, optim, scheduler)
