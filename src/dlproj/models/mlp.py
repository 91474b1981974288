"""The multilayer perceptron classifier."""

from torch import Tensor, nn

from dlproj.config.data import DataSpec, Kind
from dlproj.config.mlp import MLPConfig
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.classifier import Classifier
from dlproj.models.layers import dense_blocks
from dlproj.models.penalties import Penalties
from dlproj.models.text_input import text_input


class MLPClassifier(Classifier):
    """Fully connected layers on images (B, channels, height, width), features (B, count) or word ids (B, length)."""

    def __init__(self, config: MLPConfig, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> None:
        super().__init__(config, spec, optim, scheduler)
        self.text = text_input(config, spec) if spec.kind is Kind.sequence else None
        self.hidden, penalties, width = dense_blocks(config.inputs_of(spec), config.hidden_layers())
        self.penalties = Penalties(penalties + self.add_output(config, spec, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute logits (B, outputs)."""
        numbers = inputs.flatten(1) if self.text is None else self.text(inputs)
        return self.output(self.hidden(numbers))

    def sequential_layers(self) -> list[nn.Module]:
        """List the hidden layers and the output; the first layer also flattens its inputs, or reads the text."""
        first, *others = [*self.hidden, self.output]
        return [nn.Sequential(nn.Flatten() if self.text is None else self.text, first), *others]
