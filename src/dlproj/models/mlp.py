"""The multilayer perceptron classifier."""

from torch import Tensor, nn

from dlproj.config.data import DataSpec, Kind
from dlproj.config.mlp import MLPConfig
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.category_embedding import CategoryEmbedding
from dlproj.models.classifier import Classifier
from dlproj.models.layers import dense_blocks
from dlproj.models.penalties import Penalties
from dlproj.models.text_input import text_input


class MLPClassifier(Classifier):
    """Fully connected layers on images (B, channels, height, width), features (B, count) or word ids (B, length)."""

    def __init__(self, config: MLPConfig, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> None:
        super().__init__(config, spec, optim, scheduler)
        self.reading = _reading(config, spec)
        self.hidden, penalties, width = dense_blocks(config.inputs_of(spec), config.hidden_layers())
        self.penalties = Penalties(penalties + self.add_output(config, spec, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute logits (B, outputs)."""
        return self.output(self.hidden(self.reading(inputs)))

    def sequential_layers(self) -> list[nn.Module]:
        """List the hidden layers and the output; the first layer also reads what is no row of numbers."""
        first, *others = [*self.hidden, self.output]
        return [nn.Sequential(self.reading, first), *others]


def _reading(config: MLPConfig, spec: DataSpec) -> nn.Module:
    """The module that makes a row of numbers (B, inputs) of each sample: an image, a text, or a table's row."""
    if spec.kind is Kind.sequence:
        return text_input(config, spec)
    dim = config.category_embedding_dim
    return nn.Flatten() if dim is None else CategoryEmbedding(spec.category_sizes, dim)
