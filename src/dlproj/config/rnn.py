"""Settings of a recurrent classifier."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dlproj.config.checks import ConfigurationError, require
from dlproj.config.data import DataSpec, Kind
from dlproj.config.fields import Choice, like, setting
from dlproj.config.layers import Activation, Cell, InitializerConfig, RecurrentConfig, describe
from dlproj.config.model import ModelConfig
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig

if TYPE_CHECKING:
    from dlproj.models.rnn import RNNClassifier


class ImageReading(Choice):
    """How an image is read as a sequence."""

    rows = "rows", "a row of pixels per time step: height steps of channels × width numbers"
    columns = "columns", "a column of pixels per time step: width steps of channels × height numbers"
    pixels = "pixels", "a pixel per time step, row by row: height × width steps of one number per channel"


@dataclass(slots=True)
class RNNConfig(ModelConfig):
    """Settings of a recurrent classifier."""

    is_recurrent: ClassVar[bool] = True
    splits_weights: ClassVar[bool] = True

    cell: Cell = setting(Cell.lstm, "type of recurrent cell")
    hidden: list[Any] = like(ModelConfig, "hidden", lambda: [128])
    activation: Activation = like(RecurrentConfig, "activation", Activation.tanh)
    recurrent_initializer: InitializerConfig = setting(InitializerConfig)
    recurrent_l1: float = like(RecurrentConfig, "recurrent_l1", 0.0)
    recurrent_l2: float = like(RecurrentConfig, "recurrent_l2", 0.0)
    input_dropout: float = like(RecurrentConfig, "input_dropout", 0.0)
    forget_bias: float | None = setting(
        None, "initial bias of the LSTM's forget gate; unset: from bias_initializer", "(-inf, inf)"
    )
    bidirectional: bool = setting(False, "read in both directions and concatenate the outputs")
    embedding_dim: int | None = setting(
        None, "size of a word's embedding vector; unset: the word id itself, as one number", "[1, inf)"
    )
    embedding_rows: int | None = setting(
        None, "rows of the embedding table, at least the vocabulary size; unset: the vocabulary size", "[1, inf)"
    )
    embedding_initializer: InitializerConfig = setting(InitializerConfig)
    embedding_dropout: float = setting(0.0, "dropout of the embedding vectors, each number by itself", "[0, 1)")
    masking: bool = setting(False, "take the output at a review's last word instead of at the end of its padding")
    image_reading: ImageReading | None = setting(None, "how an image is read as a sequence")

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

    def _check_embedding(self) -> None:
        needless = self.embedding_dim is None and self._details_of_embedding()
        require(not needless, "model.embedding_* needs an embedding: set model.embedding_dim, such as 128")

    def check_pipeline(self, batch_size: int, stages: int, micro_batches: int) -> None:
        """Also raise ConfigurationError with masking: stages do not pass on the lengths of sequences."""
        ModelConfig.check_pipeline(self, batch_size, stages, micro_batches)
        require(not self.masking, "model.masking=true does not go with trainer=pipeline, which hands on no lengths")

    @property
    def reads_padding(self) -> bool:
        """True without masking."""
        return not self.masking

    def fallbacks(self, precision: str) -> list[str]:
        """A message if this CPU cannot compute the LSTM layers in bfloat16."""
        if self.cell is not Cell.lstm or precision != "bf16-mixed":
            return []
        from dlproj.models.recurrent import computes_bfloat16_lstm

        lacks = not computes_bfloat16_lstm()
        return ["this CPU cannot compute an LSTM in bfloat16: LSTM layers use float32"] if lacks else []

    def _details_of_embedding(self) -> bool:
        chosen = (self.embedding_rows, self.embedding_dropout, self.embedding_initializer)
        return chosen != (None, 0.0, InitializerConfig())

    def hidden_layers(self) -> list[RecurrentConfig]:
        """Settings of each recurrent layer. Raises ConfigurationError if one is invalid."""
        return describe(RecurrentConfig, self.hidden, self)

    def layer_names(self) -> list[str]:
        """embedding, if there is one, layers.0, … and output."""
        embedding = ["embedding"] * (self.embedding_dim is not None)
        return [*embedding, *(f"layers.{i}" for i in range(len(self.hidden))), "output"]

    def inputs_of(self, spec: DataSpec) -> int:
        """Inputs per time step. Raises ConfigurationError if it is not clear what a time step is."""
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
        """Build the classifier for this data."""
        from dlproj.models.rnn import RNNClassifier

        return RNNClassifier(self, spec, optim, scheduler)
