"""The recurrent classifier: simple, LSTM or GRU layers over word ids, raw numbers or an image's rows."""

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
    """Recurrent layers, the last output of which a linear layer reads.

    Reads word ids (B, length), features (B, count) as a sequence of single numbers, or images (B, C, H, W) as
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
        """Logits (B, outputs)."""
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
        """The recurrent layers, the first of which reads inputs of any kind, and the output."""
        *earlier, last = cast(list[RecurrentLayer], list(self.layers))
        layers = [Layer([layer], partial(layer, lengths=None)) for layer in earlier]
        layers.append(Layer([last], partial(last.final, lengths=None)))
        reading = Layer([] if self.embedding is None else [self.embedding], self._read)
        return [nn.Sequential(reading, layers[0]), *layers[1:], self.output]

    def _read(self, inputs: Tensor) -> Tensor:
        """Inputs of any kind as (B, time, features)."""
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
    """Sequences (B, T) without the steps after the longest of them, on the CPU; on other devices as they are."""
    # On a GPU the host would wait for the device to tell the longest, and shapes that vary forbid CUDA graphs. Nor can
    # an exported graph hold them.
    whole = inputs.device.type != "cpu" or torch.compiler.is_exporting()
    return inputs if whole else inputs[:, : int(lengths.max())]


def embedding(config: RNNConfig, spec: DataSpec, decays: bool) -> nn.Sequential | None:
    """Word ids (B, T) to (B, T, embedding_dim), then dropout; None where numbers are read.

    decays: whether weight decay shrinks every row of the table, also those that no word reads.
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
    """Leave in table.weight the rows that ids below vocabulary read; the others become table.unread, not trained.

    Their gradient is always zero, at which every optimizer leaves a weight as it is unless it decays; but going through
    all of them would cost time at each step. No penalty is on them, and to the norm of all gradients zeros add nothing.
    """
    read, unread = table.weight.data.split([vocabulary, table.num_embeddings - vocabulary])
    table.weight = nn.Parameter(read.clone())
    table.register_parameter("unread", nn.Parameter(unread.clone(), requires_grad=False))
