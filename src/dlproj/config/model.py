"""The settings of each model."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from dlproj.config.checks import ConfigurationError, require
from dlproj.config.data import DataSpec, Kind
from dlproj.config.fields import Choice, like, setting
from dlproj.config.layers import (
    PARAMETERS,
    Activation,
    Cell,
    ConvConfig,
    DenseConfig,
    InitializerConfig,
    LayerPart,
    LayerSettings,
    OutputConfig,
    RecurrentConfig,
    check_order,
    check_read,
    describe,
    describe_output,
    output_settings,
    usual_order,
)
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig

if TYPE_CHECKING:
    from dlproj.models.classifier import Classifier
    from dlproj.models.cnn import CNNClassifier
    from dlproj.models.mlp import MLPClassifier
    from dlproj.models.rnn import RNNClassifier


class Loss(Choice):
    """What is minimised, as the mean over the batch."""

    cross_entropy = "cross_entropy"
    binary_cross_entropy = "binary_cross_entropy", "on one-hot targets, the mean over the outputs as in Keras"
    mean_squared_error = "mean_squared_error", "on one-hot targets, the mean over the outputs as in Keras"


class LossFrom(Choice):
    """What a cross-entropy is computed from.

    Logits are exact however large they are; probabilities are kept within [1e-7, 1 − 1e-7] as in Keras, which bounds
    the loss and stops the gradient of outputs beyond. Binary cross-entropy reads logits through a sigmoid, whatever
    the output's activation: so does Keras 2 of TensorFlow 2.4 to 2.15 after a softmax, too, whose logits it keeps.
    """

    auto = "auto", "logits, but probabilities for a softmax's binary cross-entropy"
    logits = "logits"
    probabilities = "probabilities"


_ACTIVATIONS = {  # the first one is the default
    Loss.cross_entropy: (Activation.softmax,),
    Loss.binary_cross_entropy: (Activation.sigmoid, Activation.softmax),
    Loss.mean_squared_error: (Activation.identity, Activation.sigmoid, Activation.softmax),
}


def output_activation(loss: Loss, chosen: Activation | None, outputs: int) -> Activation:
    """The output layer's activation: the chosen one if the loss can read it, else ConfigurationError."""
    if outputs == 1:
        message = (
            "model.outputs=1 is a probability: set model.loss=binary_cross_entropy, model.output.activation=sigmoid"
        )
        require((chosen or _ACTIVATIONS[loss][0]) is Activation.sigmoid, message)
    allowed = _ACTIVATIONS[loss]
    names = " or ".join(activation.name for activation in allowed)
    if chosen is None:
        return allowed[0]
    message = f"model.output.activation={chosen.name} does not go with model.loss={loss.name}: set {names}"
    require(chosen in allowed, message)
    return chosen


def check_loss_from(loss: Loss, source: LossFrom) -> None:
    """Raise ConfigurationError unless the loss can be computed from this."""
    message = f"model.loss_from={source.name} does not go with model.loss={loss.name}, which reads outputs"
    require(source is LossFrom.auto or loss is not Loss.mean_squared_error, f"{message}: leave it out")


@dataclass(slots=True)
class ModelConfig(LayerSettings, ABC):
    """Settings that every model has. Those that a layer has, too, hold for each layer that does not say otherwise."""

    hidden: list[Any] = setting(list, "a layer each: its width, or a mapping of its own settings")
    inputs: int | None = setting(
        None, "numbers that the first layer reads (RNN: a time step); unset: as many as the data has", "[1, inf)"
    )
    outputs: int | None = setting(None, "unset: one a class; 1: a single probability, for two classes")
    output: OutputConfig = setting(OutputConfig)
    loss: Loss = setting(Loss.cross_entropy, "what is minimised, as the mean over the batch")
    loss_from: LossFrom = setting(LossFrom.auto, "what a cross-entropy is computed from")
    eval_mode: bool = setting(
        True,
        "false: validate and test in training mode, as code that never calls model.eval(): dropout drops, and batch "
        "norm normalises by the batch and moves its running statistics; predictions and exports are in eval mode",
    )

    def __post_init__(self) -> None:
        self.check("model")
        self.hidden_layers()
        require(
            self.outputs in (None, 1), f"model.outputs={self.outputs}: leave it unset for one output a class, or set 1"
        )
        output_activation(self.loss, self.output.activation, self.outputs or 0)
        check_loss_from(self.loss, self.loss_from)
        describe_output(self.output, self.outputs or 2, self)

    @abstractmethod
    def hidden_layers(self) -> list[Any]:
        """The description of each hidden layer. Raises ConfigurationError."""

    @abstractmethod
    def inputs_of(self, spec: DataSpec) -> int:
        """Numbers that the first layer reads from such data. Raises ConfigurationError if the model cannot read it."""

    @abstractmethod
    def build(self, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> "Classifier":
        """The classifier for such data."""

    def check_read(self) -> None:
        """Raise ConfigurationError for a setting that no layer reads."""
        default, layers = type(self)(), self.hidden_layers()
        given = [name.name for name in fields(self) if getattr(self, name.name) != getattr(default, name.name)]
        of_hidden = ("activation", "dropout", "batch_norm", "order", *PARAMETERS.values())
        unread = [name for name in given if name in of_hidden and not layers]
        message = f"model.hidden=[] has no hidden layers for model.{' and model.'.join(unread)} to act on: leave it out"
        require(not unread, message)
        output = describe_output(self.output, 2, self)
        check_read("model", given, [*layers, output])
        check_read("model.output", output_settings(self.output), [output])
        for (key, entry), layer in zip(self.entries(), layers, strict=True):
            check_read(key, entry if isinstance(entry, dict) else (), [layer])
        normalised = any(getattr(layer, "batch_norm", False) for layer in layers)
        message = "model.eval_mode=false acts on dropout and batch norm, which the model has not: leave it out"
        require(self.eval_mode or self.drops() or normalised, message)

    def entries(self) -> list[tuple[str, Any]]:
        """What describes each of hidden_layers(), and where it stands: "model.hidden[0]"."""
        return [(f"model.hidden[{number}]", entry) for number, entry in enumerate(self.hidden)]

    def drops(self) -> bool:
        """Whether there is dropout anywhere."""
        drops = [getattr(one, name, 0.0) for one in self.hidden_layers() for name in ("dropout", "input_dropout")]
        return any([*drops, getattr(self, "embedding_dropout", 0.0)])

    def check_data(self, spec: DataSpec) -> None:
        """Raise ConfigurationError unless the model can read and classify such data."""
        inputs = self.inputs_of(spec)
        shape = " × ".join(map(str, spec.shape))
        has = f"the data has {inputs} ({spec.kind.name} of {shape})"
        require(
            self.inputs in (None, inputs),
            f"model.inputs={self.inputs}, but {has}: set model.inputs={inputs} or leave it out",
        )
        message = f"model.outputs=1 is for two classes, the data has {len(spec.classes)}: leave model.outputs unset"
        require(self.outputs is None or len(spec.classes) == 2, message)

    def check_tensor_parallel(self, size: int) -> None:
        """Raise ConfigurationError unless so many processes can split each layer and compute what one would."""
        message = f"dropout does not go with trainer.tensor_parallel_size={size}, whose processes would drop different"
        require(not self.drops(), f"{message} units: set it to 0")

    def check_pipeline(self, batch_size: int, stages: int, micro_batches: int) -> None:
        """Raise ConfigurationError unless each process gets a layer, and each batch so many equal micro-batches."""
        layers = len(self.hidden_layers()) + 1
        message = f"trainer=pipeline has {layers} layers for {stages} processes, the output among them"
        require(stages <= layers, f"{message}: set trainer.devices lower")
        message = f"trainer.micro_batches={micro_batches} does not divide data.batch_size={batch_size}"
        require(batch_size % micro_batches == 0, f"{message}: set either so that it does")

    def fallbacks(self, precision: str) -> list[str]:
        """What this machine's CPU computes in another precision, because it lacks this one; one line each."""
        return []

    def loss_words(self) -> str:
        """What the loss computes of the logits."""
        from dlproj.models.losses import loss_words

        activation = output_activation(self.loss, self.output.activation, self.outputs or 0)
        return loss_words(self.loss, activation, self.loss_from)

    def outputs_for(self, spec: DataSpec) -> int:
        """Units of the output layer."""
        return self.outputs or len(spec.classes)


@dataclass(slots=True)
class FeedForwardConfig(ModelConfig):
    """Settings of a model whose layers are linear maps with an activation each."""

    bias: bool = setting(True, "false: linear maps without one, the output's, too, unless output.bias is true")
    batch_norm: bool = like(DenseConfig, "batch_norm", False)
    order: list[LayerPart] = like(DenseConfig, "order", usual_order)

    def check(self, key: str) -> None:
        """As for every model, and the order."""
        ModelConfig.check(self, key)
        check_order(f"{key}.order", self.order)


@dataclass(slots=True)
class MLPConfig(FeedForwardConfig):
    """Settings of a multilayer perceptron."""

    hidden: list[Any] = like(ModelConfig, "hidden", lambda: [1000])

    def hidden_layers(self) -> list[DenseConfig]:
        """The description of each hidden layer. Raises ConfigurationError."""
        return describe(DenseConfig, self.hidden, self)

    def check_tensor_parallel(self, size: int) -> None:
        """Raise ConfigurationError, too, where processes cannot share the units of a pair's first layer equally."""
        ModelConfig.check_tensor_parallel(self, size)
        for place, layer in enumerate(self.hidden_layers()[::2]):
            joint = layer.activation in (Activation.softmax, Activation.prelu)
            message = f"model.hidden[{2 * place}] has the activation {layer.activation.name}, which needs all units"
            require(not joint, f"{message} in one process: set another, or trainer.tensor_parallel_size=1")
            message = f"model.hidden[{2 * place}] has {layer.units} units for trainer.tensor_parallel_size={size}"
            require(layer.units % size == 0, f"{message} processes: set a multiple")

    def inputs_of(self, spec: DataSpec) -> int:
        """All numbers of a sample in one row."""
        if spec.kind is Kind.sequence:
            raise ConfigurationError(
                "model=mlp reads images or features, not word ids: set model=lstm, gru or simple_rnn"
            )
        return math.prod(spec.shape)

    def build(self, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> "MLPClassifier":
        """The classifier for such data."""
        from dlproj.models.mlp import MLPClassifier

        return MLPClassifier(self, spec, optim, scheduler)


@dataclass(slots=True)
class CNNConfig(FeedForwardConfig):
    """Settings of a convolutional network: convolutional layers, then dense ones."""

    conv: list[Any] = setting(
        lambda: [32, 64], "a convolutional layer each: its feature maps, or a mapping of settings"
    )
    hidden: list[Any] = setting(lambda: [128], "a dense layer each, behind those: its width, or a mapping of settings")
    kernel_size: int = like(ConvConfig, "kernel_size", 3)
    pool: int = like(ConvConfig, "pool", 2)

    def __post_init__(self) -> None:
        ModelConfig.__post_init__(self)
        require(bool(self.conv), "model.conv is empty: set at least one layer, such as [32], or model=mlp")

    def conv_layers(self) -> list[ConvConfig]:
        """The description of each convolutional layer. Raises ConfigurationError."""
        return describe(ConvConfig, self.conv, self, "conv")

    def dense_layers(self) -> list[DenseConfig]:
        """The description of each hidden layer behind them. Raises ConfigurationError."""
        return describe(DenseConfig, self.hidden, self)

    def hidden_layers(self) -> list[DenseConfig]:
        """Both, one after the other."""
        return [*self.conv_layers(), *self.dense_layers()]

    def entries(self) -> list[tuple[str, Any]]:
        """Those of model.conv before those of model.hidden."""
        return [*((f"model.conv[{number}]", entry) for number, entry in enumerate(self.conv)),
                *ModelConfig.entries(self)]  # fmt: skip

    def check_tensor_parallel(self, size: int) -> None:
        """Raise ConfigurationError: a convolution is not split."""
        message = f"model=cnn does not go with trainer.tensor_parallel_size={size}: set trainer=ddp or fsdp"
        raise ConfigurationError(message)

    def inputs_of(self, spec: DataSpec) -> int:
        """All pixels. Raises ConfigurationError, too, where pooling leaves none."""
        require(spec.kind is Kind.image, "model=cnn reads images: set model=mlp for features, model=lstm for word ids")
        self.shapes(spec)
        return math.prod(spec.shape)

    def shapes(self, spec: DataSpec) -> list[tuple[int, ...]]:
        """What each convolutional layer puts out of such images: (feature maps, height, width)."""
        _, height, width = spec.shape
        found: list[tuple[int, ...]] = []
        for number, layer in enumerate(self.conv_layers()):
            height, width = height // layer.pool, width // layer.pool
            pixels = f"{spec.shape[1]} × {spec.shape[2]} pixels"
            message = f"model.conv[{number}].pool={layer.pool} leaves nothing of {pixels}"
            require(min(height, width) > 0, f"{message}: set it, or those before, lower")
            found.append((layer.units, height, width))
        return found

    def build(self, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> "CNNClassifier":
        """The classifier for such data."""
        from dlproj.models.cnn import CNNClassifier

        return CNNClassifier(self, spec, optim, scheduler)


class ImageReading(Choice):
    """What one time step of an image is."""

    rows = "rows", "one row of pixels, all channels: height steps of channels × width numbers"
    columns = "columns", "one column of pixels: width steps of channels × height numbers"
    pixels = "pixels", "one pixel, row by row: height × width steps of as many numbers as there are channels"


@dataclass(slots=True)
class RNNConfig(ModelConfig):
    """Settings of a recurrent classifier."""

    cell: Cell = setting(Cell.lstm, "what happens at a time step")
    hidden: list[Any] = like(ModelConfig, "hidden", lambda: [128])
    activation: Activation = like(RecurrentConfig, "activation", Activation.tanh)
    recurrent_initializer: InitializerConfig = setting(InitializerConfig)
    recurrent_l1: float = like(RecurrentConfig, "recurrent_l1", 0.0)
    recurrent_l2: float = like(RecurrentConfig, "recurrent_l2", 0.0)
    input_dropout: float = like(RecurrentConfig, "input_dropout", 0.0)
    forget_bias: float | None = setting(
        None, "LSTM: what the forget gate's bias starts at; unset: as bias_initializer says", "(-inf, inf)"
    )
    bidirectional: bool = setting(False, "read from both ends and put both outputs side by side")
    embedding_dim: int | None = setting(
        None, "of word ids: numbers a word becomes; unset: the id itself, as one raw number", "[1, inf)"
    )
    embedding_rows: int | None = setting(
        None, "rows of the table, at least the vocabulary; unset: the vocabulary", "[1, inf)"
    )
    embedding_initializer: InitializerConfig = setting(InitializerConfig)
    embedding_dropout: float = setting(0.0, "of the embedded words, each number by itself", "[0, 1)")
    masking: bool = setting(False, "take the output at a review's last word instead of at the end of its padding")
    image_reading: ImageReading | None = setting(None, "what one time step of an image is")

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
        """Raise ConfigurationError as for every model, and with masking: stages hand on no lengths of sequences."""
        ModelConfig.check_pipeline(self, batch_size, stages, micro_batches)
        require(not self.masking, "model.masking=true does not go with trainer=pipeline, which hands on no lengths")

    def fallbacks(self, precision: str) -> list[str]:
        """LSTM layers, where the CPU has none in bfloat16."""
        if self.cell is not Cell.lstm or precision != "bf16-mixed":
            return []
        from dlproj.models.recurrent import computes_bfloat16_lstm

        lacks = not computes_bfloat16_lstm()
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
        from dlproj.models.rnn import RNNClassifier

        return RNNClassifier(self, spec, optim, scheduler)
