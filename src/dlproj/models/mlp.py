"""The multilayer perceptron."""

import math
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor.parallel import ParallelStyle

from dlproj.data.base import DataSpec, Kind
from dlproj.models.activations import Activation
from dlproj.models.classifier import Classifier, ModelConfig
from dlproj.models.layers import DenseConfig, LayerPart, check_order, describe, linear, linear_penalties, usual_order
from dlproj.models.parallel import in_pairs
from dlproj.models.penalties import Penalties
from dlproj.optim import OptimConfig, SchedulerConfig
from dlproj.settings import ConfigurationError, require


@dataclass(slots=True)
class MLPConfig(ModelConfig):
    """Settings of a multilayer perceptron."""

    hidden: list[Any] = field(default_factory=lambda: [1000])
    bias: bool = True  # false: linear maps without one, the output's, too, unless output.bias is true
    batch_norm: bool = False  # normalise over the batch in each hidden layer
    order: list[LayerPart] = field(default_factory=usual_order)  # of a hidden layer's parts, which can come repeatedly

    def check(self, key: str) -> None:
        """As for every model, and the order."""
        ModelConfig.check(self, key)
        check_order(f"{key}.order", self.order)

    def hidden_layers(self) -> list[DenseConfig]:
        """The description of each hidden layer. Raises ConfigurationError."""
        return describe(DenseConfig, self.hidden, self)

    def check_tensor_parallel(self, size: int) -> None:
        """Raise ConfigurationError, too, where processes cannot share the units of a pair's first layer equally."""
        ModelConfig.check_tensor_parallel(self, size)
        for place, layer in enumerate(self.hidden_layers()[::2]):
            joint = layer.activation in (Activation.softmax, Activation.prelu)
            message = f"model.hidden[{2 * place}] has the activation {layer.activation.name}, which needs all units"
            require(not joint, f"{message} in one process: set another, or trainer.tensor_parallel_size=1")
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
        """Each block's activation, the last one where there are several."""
        return {f"hidden.{name}": last_activation(block) for name, block in self.hidden.named_children()}


def dense_block(first: nn.Linear, layer: DenseConfig) -> nn.Sequential:
    """The layer's parts in their order, by their names; a second one of a kind is activation_2, and so on."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    count: Counter[LayerPart] = Counter()
    for part in layer.parts():
        count[part] += 1
        parts[part.name if count[part] == 1 else f"{part.name}_{count[part]}"] = _module(part, first, layer)
    return nn.Sequential(parts)


def _module(part: LayerPart, first: nn.Linear, layer: DenseConfig) -> nn.Module:
    match part:
        case LayerPart.linear:
            return first
        case LayerPart.batch_norm:
            return nn.BatchNorm1d(layer.units)
        case LayerPart.activation:
            return layer.activation_module()
        case LayerPart.dropout:
            return nn.Dropout(layer.dropout)


def last_activation(block: nn.Module) -> nn.Module:
    """The last activation of a block: what the layer puts out."""
    return [module for name, module in block.named_children() if name.startswith("activation")][-1]
