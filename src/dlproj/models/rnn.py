"""The recurrent classifier: simple, LSTM or GRU layers over word ids, raw numbers or an image's rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.tensor.parallel import ParallelStyle

from dlproj.data.base import DataSpec, Kind
from dlproj.models.activations import Activation
from dlproj.models.classifier import Classifier, ModelConfig
from dlproj.models.initializers import InitializerConfig, initialize
from dlproj.models.layers import describe
from dlproj.models.parallel import by_columns
from dlproj.models.penalties import Penalties
from dlproj.models.pipeline import Part
from dlproj.models.recurrent import (
    Cell,
    RecurrentConfig,
    RecurrentLayer,
    computes_bfloat16_lstm,
    recurrent_penalties,
)
from dlproj.optim import OptimConfig, SchedulerConfig
from dlproj.settings import ConfigurationError, require, within


class ImageReading(Enum):
    """What one time step of an image is."""

    rows = "rows"  # one row of pixels, all channels: height steps of channels × width numbers
    columns = "columns"  # one column of pixels: width steps of channels × height numbers
    pixels = "pixels"  # one pixel, row by row: height × width steps of `channels` numbers


@dataclass(slots=True)
class RNNConfig(ModelConfig):
    """Settings of a recurrent classifier."""

    cell: Cell = Cell.lstm
    hidden: list[Any] = field(default_factory=lambda: [128])
    activation: Activation = Activation.tanh  # of a simple cell; LSTM and GRU have their own
    recurrent_initializer: InitializerConfig = field(default_factory=InitializerConfig)
    recurrent_l1: float = 0.0
    recurrent_l2: float = 0.0
    input_dropout: float = 0.0  # of what each layer reads; the same inputs are dropped at every time step, as in Keras
    forget_bias: float | None = None  # LSTM: what the forget gate's bias starts at; unset: as bias_initializer says
    bidirectional: bool = False  # read from both ends and put both outputs side by side
    # Word ids only; other data is numbers already.
    embedding_dim: int | None = None  # numbers a word becomes; unset: the id itself, as one raw number
    embedding_rows: int | None = None  # rows of the table, at least the vocabulary; unset: the vocabulary
    embedding_initializer: InitializerConfig = field(default_factory=InitializerConfig)
    embedding_dropout: float = 0.0  # of the embedded words, each number by itself
    masking: bool = False  # take the output at a review's last word instead of at the end of its padding
    image_reading: ImageReading | None = None

    def __post_init__(self) -> None:
        ModelConfig.__post_init__(self)
        require(bool(self.hidden), "model.hidden is empty: set at least one width, such as [128]")
        self._check_cell()
        self._check_embedding()

    def _check_cell(self) -> None:
        own = self.cell is Cell.simple or all(layer.activation is Activation.tanh for layer in self.hidden_layers())
        require(own, f"model.activation is of model=simple_rnn: leave it out for {self.cell.name}")
        has_gate = self.forget_bias is None or self.cell is Cell.lstm
        require(has_gate, "model.forget_bias is of an LSTM: set model=lstm or leave it out")
        within("model.forget_bias", self.forget_bias, "(-inf, inf)")

    def _check_embedding(self) -> None:
        within("model.embedding_dim", self.embedding_dim, "[1, inf)")
        within("model.embedding_rows", self.embedding_rows, "[1, inf)")
        needless = self.embedding_dim is None and self._details_of_embedding()
        require(not needless, "model.embedding_* needs an embedding: set model.embedding_dim, such as 128")

    def check_pipeline(self, batch_size: int, stages: int, micro_batches: int) -> None:
        """As above, and that each sequence ends where its padding does."""
        ModelConfig.check_pipeline(self, batch_size, stages, micro_batches)
        require(not self.masking, "model.masking=true does not go with trainer=pipeline, which hands on no lengths")

    def fallbacks(self, precision: str) -> list[str]:
        """LSTM layers, where the CPU has none in bfloat16."""
        lacks = self.cell is Cell.lstm and precision == "bf16-mixed" and not computes_bfloat16_lstm()
        return ["this CPU cannot compute an LSTM in bfloat16: LSTM layers use float32"] if lacks else []

    def _details_of_embedding(self) -> bool:
        chosen = (self.embedding_rows, self.embedding_dropout, self.embedding_initializer)
        return chosen != (None, 0.0, InitializerConfig())

    def hidden_layers(self) -> list[RecurrentConfig]:
        """The description of each recurrent layer. Raises ConfigurationError."""
        return describe(RecurrentConfig, self.hidden, self)

    def inputs_of(self, spec: DataSpec) -> int:
        """Numbers a time step. Raises ConfigurationError where it is not clear what a time step is."""
        if spec.kind is Kind.sequence:
            self._check_words(spec)
            return self.embedding_dim or 1
        require(not self.masking, "model.masking is for padded reviews: set model.masking=false for this data")
        require(not self._details_of_embedding(), "model.embedding_* is for word ids: leave it out for this data")
        if spec.kind is Kind.features:
            self._refuse_image_reading("features")
            return 1
        channels, height, width = spec.shape
        match self.image_reading:
            case ImageReading.rows:
                return channels * width
            case ImageReading.columns:
                return channels * height
            case ImageReading.pixels:
                return channels
        raise ConfigurationError(
            "an RNN needs to know how to read an image: set model.image_reading=rows, columns or pixels"
        )

    def _check_words(self, spec: DataSpec) -> None:
        vocabulary = spec.vocabulary_size or 0
        rows = self.embedding_rows or vocabulary
        require(
            rows >= vocabulary,
            f"model.embedding_rows={rows} is less than data.vocabulary_size={vocabulary}: set it higher",
        )
        aligned = not self.masking or spec.padding == "post"
        require(aligned, "model.masking=true reads reviews from their first word: set data.padding=post")
        self._refuse_image_reading("reviews")

    def _refuse_image_reading(self, data: str) -> None:
        require(self.image_reading is None, f"model.image_reading is for images: leave it out for {data}")

    def build(self, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> "RNNClassifier":
        """The classifier for such data."""
        return RNNClassifier(self, spec, optim, scheduler)


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

    def blocks(self) -> list[nn.Module]:
        """The embedding, each direction of each layer, the output."""
        return [*([] if self.embedding is None else [self.embedding]), *self.layers_of_units().values(), self.output]

    def parts(self) -> list[nn.Module]:
        """The layers, the first of which reads inputs of any kind, and the output."""
        *earlier, last = cast(list[RecurrentLayer], list(self.layers))
        layers = [Part([layer], partial(layer, lengths=None)) for layer in earlier]
        layers.append(Part([last], partial(last.final, lengths=None)))
        reading = Part([] if self.embedding is None else [self.embedding], self._read)
        return [nn.Sequential(reading, layers[0]), *layers[1:], self.output]

    def tensor_parallel_plan(self) -> Mapping[str, ParallelStyle]:
        """The embedding's numbers and the output's units; each process computes the recurrence itself."""
        return {"output": by_columns()} | ({} if self.embedding is None else {"embedding.0": by_columns()})

    def layers_of_units(self) -> dict[str, nn.Module]:
        """Each direction of each layer: its units are watched over all time steps."""
        return {name: module for name, module in self.named_modules() if isinstance(module, nn.RNNBase)}

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
