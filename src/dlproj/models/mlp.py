"""The multilayer perceptron."""

from collections.abc import Mapping

from torch import Tensor, nn

from dlproj.config.data import DataSpec
from dlproj.config.mlp import MLPConfig
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.classifier import Classifier
from dlproj.models.layers import dense_blocks, last_activations
from dlproj.models.penalties import Penalties
from dlproj.models.sharding import Split, in_pairs


class MLPClassifier(Classifier):
    """Fully connected layers. Reads images (B, channels, height, width) or features (B, count)."""

    def __init__(self, config: MLPConfig, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> None:
        super().__init__(config, spec, optim, scheduler)
        self.hidden, penalties, width = dense_blocks(config.inputs_of(spec), config.hidden_layers())
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
        return last_activations("hidden", self.hidden)
