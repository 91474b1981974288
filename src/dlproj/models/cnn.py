"""The convolutional classifier."""

import math

from torch import Tensor, nn

from dlproj.config.cnn import CNNConfig
from dlproj.config.data import DataSpec
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.classifier import Classifier
from dlproj.models.layers import conv_blocks, dense_blocks
from dlproj.models.penalties import Penalties


class CNNClassifier(Classifier):
    """Convolutions with max pooling, then fully connected layers, on images (B, channels, height, width)."""

    def __init__(self, config: CNNConfig, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> None:
        super().__init__(config, spec, optim, scheduler)
        self.conv, penalties = conv_blocks(spec.shape[0], config.conv_layers())
        self.hidden, of_hidden, width = dense_blocks(math.prod(config.shapes(spec)[-1]), config.dense_layers())
        self.penalties = Penalties(penalties + of_hidden + self.add_output(config, spec, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute logits (B, outputs)."""
        return self.output(self.hidden(self.conv(inputs).flatten(1)))

    def sequential_layers(self) -> list[nn.Module]:
        """List the layers; the first after the convolutions also flattens their output."""
        first, *others = [*self.hidden, self.output]
        return [*self.conv, nn.Sequential(nn.Flatten(), first), *others]
