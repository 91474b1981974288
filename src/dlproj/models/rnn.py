"""The recurrent classifier: simple, LSTM or GRU layers over word ids, features or parts of an image."""

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from dlproj.config.data import DataSpec, Kind
from dlproj.config.optim import OptimConfig
from dlproj.config.rnn import ImageReading, RNNConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.classifier import Classifier
from dlproj.models.initializers import initialize
from dlproj.models.layers import Layer
from dlproj.models.penalties import Penalties
from dlproj.models.recurrent import RecurrentLayer, recurrent_penalties


class RNNClassifier(Classifier):
    """Recurrent layers and a linear layer on their last output.

    Inputs are word ids (B, length), features (B, count) as a sequence of single values, or images (B, C, H, W), read as
    `image_reading` says.
    """

    slow_steps = True

    def __init__(self, config: RNNConfig, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> None:
        super().__init__(config, spec, optim, scheduler)
        self.masking, self.image_reading = config.masking, config.image_reading
        self.embedding = embedding(config, spec, bool(optim.weight_decay))
        self.layers = nn.ModuleList()
        width, penalties = config.inputs_of(spec), []
        for layer in config.hidden_layers():
            module = RecurrentLayer(config.cell, width, layer, config.forget_bias, config.bidirectional)
            self.layers.append(module)
            penalties += recurrent_penalties(module, layer)
            width = module.width
        self.penalties = Penalties(penalties + self.add_output(config, spec, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute logits (B, outputs)."""
        lengths = None
        if self.masking:
            lengths = (inputs != 0).sum(1).clamp(min=1)
            inputs = trimmed(inputs, lengths)
        sequence = self._read(inputs)
        *earlier, last = cast(list[RecurrentLayer], list(self.layers))
        for layer in earlier:
            sequence = layer(sequence, lengths)
        return self.output(last.final(sequence, lengths))

    def sequential_layers(self) -> list[nn.Module]:
        """List the recurrent layers, the first of which includes the embedding or image reading, and the output."""
        *earlier, last = cast(list[RecurrentLayer], list(self.layers))
        layers = [Layer([layer], partial(layer, lengths=None)) for layer in earlier]
        layers.append(Layer([last], partial(last.final, lengths=None)))
        reading = Layer([] if self.embedding is None else [self.embedding], self._read)
        return [nn.Sequential(reading, layers[0]), *layers[1:], self.output]

    def _read(self, inputs: Tensor) -> Tensor:
        """Convert inputs of any kind to (B, time, features)."""
        if self.embedding is not None:
            return self.embedding(inputs)
        if self.image_reading is ImageReading.rows:
            return inputs.transpose(1, 2).flatten(2)
        if self.image_reading is ImageReading.columns:
            return inputs.permute(0, 3, 1, 2).flatten(2)
        if self.image_reading is ImageReading.pixels:
            return inputs.flatten(2).transpose(1, 2)
        return inputs[:, :, None].to(self.output.weight.dtype)


def trimmed(inputs: Tensor, lengths: Tensor) -> Tensor:
    """On the CPU, cut sequences (B, T) to the longest of `lengths` (B,); on other devices return them unchanged."""
    # On a GPU the host would wait for the maximum, and varying shapes rule out CUDA graphs, as they do an export.
    fixed = inputs.device.type != "cpu" or torch.compiler.is_exporting()
    return inputs if fixed else inputs[:, : int(lengths.max())]


def embedding(config: RNNConfig, spec: DataSpec, decays: bool) -> nn.Sequential | None:
    """Return an embedding of word ids, (B, T) to (B, T, embedding_dim), with dropout; None if inputs are not words.

    decays: True if weight decay shrinks every row of the table, including those that no word uses.
    """
    if config.embedding_dim is None or spec.kind is not Kind.sequence:
        return None
    vocabulary = spec.vocabulary_size or 0
    table = nn.Embedding(config.embedding_rows or vocabulary, config.embedding_dim)
    initialize(table.weight, config.embedding_initializer)
    if table.num_embeddings > vocabulary and not decays:
        set_aside_unread(table, vocabulary)
    parts: list[nn.Module] = [table]
    if config.embedding_dropout:
        parts.append(nn.Dropout(config.embedding_dropout))
    return nn.Sequential(*parts)


def set_aside_unread(table: nn.Embedding, vocabulary: int) -> None:
    """Move the rows of ids from `vocabulary` on from table.weight to table.unread, which is not trained.

    Their gradient is always zero, which changes no weight without weight decay, but updating them would cost time at
    each step. They have no penalty, and zeros do not change the norm of all gradients.
    """
    read, unread = table.weight.data.split([vocabulary, table.num_embeddings - vocabulary])
    table.weight = nn.Parameter(read.clone())
    table.register_parameter("unread", nn.Parameter(unread.clone(), requires_grad=False))
