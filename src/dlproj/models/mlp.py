"""The multilayer perceptron."""

from collections import Counter, OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn

from dlproj.config.data import DataSpec
from dlproj.config.layers import DenseConfig, LayerPart
from dlproj.config.model import MLPConfig
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.classifier import Classifier
from dlproj.models.layers import linear, linear_penalties
from dlproj.models.penalties import Penalties
from dlproj.models.sharding import Split, in_pairs


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

    def tensor_parallel_plan(self) -> Mapping[str, Split]:
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
