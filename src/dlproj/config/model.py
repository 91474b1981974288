"""The settings of each model."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from dlproj.config.checks import require
from dlproj.config.data import DataSpec
from dlproj.config.fields import Choice, setting
from dlproj.config.layers import (
    PARAMETERS,
    Activation,
    DenseConfig,
    LayerSettings,
    OutputConfig,
    check_read,
    describe_output,
    output_settings,
)
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig

if TYPE_CHECKING:
    from dlproj.models.classifier import Classifier


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

    is_recurrent: ClassVar[bool] = False  # True if it reads one time step after the other
    splits_weights: ClassVar[bool] = False  # True if tensor parallelism can split its linear maps and embeddings

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
        "false: validate and test in training mode, as code without model.eval() does: dropout is active, and batch "
        "norm uses the batch and updates its running statistics; predictions and exports always use eval mode",
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

    @property
    def reads_padding(self) -> bool:
        """True if sequences are read to their padded end."""
        return False

    @abstractmethod
    def hidden_layers(self) -> list[Any]:
        """The description of each hidden layer. Raises ConfigurationError."""

    def dense_layers(self) -> list[DenseConfig] | None:
        """The hidden layers of a multilayer perceptron, linear maps and no others; None of another model."""
        return None

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
        name = type(self).__name__.removesuffix("Config").lower()
        message = f"model={name} does not go with trainer.tensor_parallel_size={size}: set trainer=ddp or fsdp"
        require(self.splits_weights, message)
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
