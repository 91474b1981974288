"""The multilayer perceptron classifier."""

from torch import Tensor, nn

from dlproj.config.data import DataSpec
from dlproj.config.mlp import MLPConfig
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.category_embedding import CategoryEmbedding
from dlproj.models.classifier import Classifier
from dlproj.models.layers import dense_blocks
from dlproj.models.penalties import Penalties


class MLPClassifier(Classifier):
    """Fully connected layers on images (B, channels, height, width) or features (B, count)."""

    def __init__(self, config: MLPConfig, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> None:
        super().__init__(config, spec, optim, scheduler)
        dim, sizes = config.category_embedding_dim, spec.category_sizes
        self.reading = nn.Flatten() if dim is None else CategoryEmbedding(sizes, dim)
        self.hidden, penalties, width = dense_blocks(config.inputs_of(spec), config.hidden_layers())
        self.penalties = Penalties(penalties + self.add_output(config, spec, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute logits (B, outputs)."""
        return self.output(self.hidden(self.reading(inputs)))

    def sequential_layers(self) -> list[nn.Module]:
        """List the hidden layers and the output; the first layer also flattens its inputs, or embeds categories."""
        first, *others = [*self.hidden, self.output]
        return [nn.Sequential(self.reading, first), *others]
