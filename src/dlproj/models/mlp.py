"""The multilayer perceptron."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor.parallel import ParallelStyle

from dlproj.data.base import DataSpec, Kind
from dlproj.models.activations import activation_module
from dlproj.models.classifier import Classifier, ModelConfig
from dlproj.models.layers import DenseConfig, describe, linear, linear_penalties
from dlproj.models.parallel import in_pairs
from dlproj.models.penalties import Penalties
from dlproj.optim import OptimConfig, SchedulerConfig
from dlproj.settings import ConfigurationError, require


@dataclass(slots=True)
class MLPConfig(ModelConfig):
    """Settings of a multilayer perceptron."""

    hidden: list[Any] = field(default_factory=lambda: [1000])
    batch_norm: bool = False  # normalise each hidden layer's sums over the batch, before its activation

    def hidden_layers(self) -> list[DenseConfig]:
        """The description of each hidden layer. Raises ConfigurationError."""
        return describe(DenseConfig, self.hidden, self)

    def check_tensor_parallel(self, size: int) -> None:
        """As above, and that each first layer of a pair has as many units for each process."""
        ModelConfig.check_tensor_parallel(self, size)
        for place, layer in enumerate(self.hidden_layers()[::2]):
            message = f"model.hidden[{2 * place}] has {layer.units} units for trainer.tensor_parallel_size={size}"
            require(layer.units % size == 0, f"{message} processes: set a multiple")

    def inputs_of(self, spec: DataSpec) -> int:
        """All numbers of a sample in one row."""
        if spec.kind is Kind.sequence:
            raise ConfigurationError(
                "model=mlp reads images or features, not word ids: set model=lstm, gru or simple_rnn"
            )
        return math.prod(spec.shape)

    def build(self, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> "MLPClassifier":
        """The classifier for such data."""
        return MLPClassifier(self, spec, optim, scheduler)


class MLPClassifier(Classifier):
    """Fully connected layers. Reads images (B, channels, height, width) or features (B, count)."""

    def __init__(self, config: MLPConfig, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> None:
        super().__init__(config, spec, optim, scheduler)
        width = config.inputs_of(spec)
        self.hidden = nn.Sequential()
        penalties = []
        for layer in config.hidden_layers():
            first = linear(width, layer)
            self.hidden.append(dense_block(first, layer))
            penalties += linear_penalties(first, layer)
            width = layer.units
        self.penalties = Penalties(penalties + self.add_output(config, spec, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, outputs)."""
        return self.output(self.hidden(inputs.flatten(1)))

    def blocks(self) -> list[nn.Module]:
        """Each hidden layer, and the output."""
        return [*self.hidden, self.output]

    def parts(self) -> list[nn.Module]:
        """The same, the first of which reads inputs of any shape."""
        first, *others = self.blocks()
        return [nn.Sequential(nn.Flatten(), first), *others]

    def tensor_parallel_plan(self) -> Mapping[str, ParallelStyle]:
        """Pairs of layers, by columns and rows."""
        return in_pairs([*(f"hidden.{place}.linear" for place in range(len(self.hidden))), "output"])

    def layers_of_units(self) -> dict[str, nn.Module]:
        """Each block's activation."""
        return {f"hidden.{name}": block.get_submodule("activation") for name, block in self.hidden.named_children()}


def dense_block(first: nn.Linear, layer: DenseConfig) -> nn.Sequential:
    """Linear → batch norm → activation → dropout, of which linear and activation are always there.

    Batch norm stands before the activation, as in Ioffe & Szegedy 2015.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict(linear=first)
    if layer.batch_norm:
        parts["batch_norm"] = nn.BatchNorm1d(layer.units)
    parts["activation"] = activation_module(layer.activation)
    if layer.dropout:
        parts["dropout"] = nn.Dropout(layer.dropout)
    return nn.Sequential(parts)
