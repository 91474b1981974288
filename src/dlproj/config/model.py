"""Settings shared by all models."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from dlproj.config.checks import one_of, require, within
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
    """Loss to minimise, averaged over the batch."""

    cross_entropy = "cross_entropy"
    binary_cross_entropy = "binary_cross_entropy", "on one-hot targets, averaged over the outputs as in Keras"
    mean_squared_error = "mean_squared_error", "on one-hot targets, averaged over the outputs as in Keras"
    focal = "focal", "(1 − p)^focal_gamma · cross-entropy of the true class's p; of each output after a sigmoid"


class LossFrom(Choice):
    """What a cross-entropy is computed from.

    Logits are exact at any magnitude. Probabilities are clipped to [1e-7, 1 − 1e-7] as in Keras, which bounds the loss
    and zeroes the gradient of clipped outputs. From logits, binary cross-entropy applies a sigmoid whatever the output
    activation, as Keras 2 (TensorFlow 2.4 to 2.15) does even after a softmax, whose logits it keeps.
    """

    auto = "auto", "logits, except for binary cross-entropy after a softmax: probabilities"
    logits = "logits"
    probabilities = "probabilities"


_ACTIVATIONS = {  # the first one is the default
    Loss.cross_entropy: (Activation.softmax,),
    Loss.binary_cross_entropy: (Activation.sigmoid, Activation.softmax),
    Loss.mean_squared_error: (Activation.identity, Activation.sigmoid, Activation.softmax),
    Loss.focal: (Activation.softmax, Activation.sigmoid),
}


def output_activation(loss: Loss, chosen: Activation | None, outputs: int) -> Activation:
    """Return the chosen output activation, or the loss's default. Raises ConfigurationError if they do not match."""
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
    """Raise ConfigurationError unless the loss can be computed from `source`."""
    reads = {Loss.mean_squared_error: "outputs", Loss.focal: "logits"}.get(loss)
    message = f"model.loss_from={source.name} does not go with model.loss={loss.name}, which reads {reads}"
    require(source is LossFrom.auto or reads is None, f"{message}: leave it out")


BALANCED = "balanced"
NOTHING_TO_TRAIN = "model.freeze names all layers, which leaves nothing to train: leave one out"


def check_class_weights(weights: Any) -> None:
    """Raise ConfigurationError unless `weights` is None, "balanced" or a list of weights from 0, one above 0."""
    if weights is None or weights == BALANCED:
        return
    listed = isinstance(weights, list) and all(type(weight) in (int, float) for weight in weights)
    way = f"set {BALANCED}, or a list with a number for each class, such as [1, 2.5]"
    require(listed, f"model.class_weights={weights} is no weight for each class: {way}")
    for i, weight in enumerate(weights):
        within(f"model.class_weights[{i}]", float(weight), "[0, inf)")
    require(any(weights), f"model.class_weights={weights} leaves no class to learn: {way}")


@dataclass(slots=True)
class ModelConfig(LayerSettings, ABC):
    """Settings shared by all models. Those of a layer are the default of every layer."""

    is_recurrent: ClassVar[bool] = False  # True if it reads one time step after the other
    splits_weights: ClassVar[bool] = False  # True if tensor parallelism can split its linear maps and embeddings
    builds_on_meta: ClassVar[bool] = True  # True if it can be built on torch's meta device, without memory
    has_layers: ClassVar[bool] = True  # False if only the network knows its layers
    no_effect: ClassVar[tuple[str, ...]] = ()  # settings that the model does not read

    hidden: list[Any] = setting(list, "hidden layers: the width of each, or its settings")
    inputs: int | None = setting(
        None, "inputs of the first layer (RNN: per time step); unset: as many as the data has", "[1, inf)"
    )
    outputs: int | None = setting(None, "output units; unset: one per class; 1: a single probability, for two classes")
    output: OutputConfig = setting(OutputConfig)
    loss: Loss = setting(Loss.cross_entropy, "loss to minimise, averaged over the batch")
    loss_from: LossFrom = setting(LossFrom.auto, "what a cross-entropy is computed from")
    focal_gamma: float = setting(2.0, "of loss=focal: how much less well-classified samples count", "[0, inf)")
    class_weights: Any = setting(
        None,
        "factor of each class in the training loss: balanced, which is samples / (classes · samples of the class), or "
        "a list with one for each class; unset: 1",
    )
    label_smoothing: float = setting(
        0.0,
        "share of each training target that is spread over all classes (after a sigmoid: over yes and no)",
        "[0, 1)",
    )
    freeze: list[str] = setting(list, "layers that are not trained, such as [hidden.0]: their parameters stay fixed")
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
        check_class_weights(self.class_weights)
        message = "model.label_smoothing is for a cross-entropy or focal loss: leave it out with mean_squared_error"
        require(self.loss is not Loss.mean_squared_error or not self.label_smoothing, message)
        self._check_freeze()
        describe_output(self.output, self.outputs or 2, self)

    def _check_freeze(self) -> None:
        names = self.layer_names()
        for name in self.freeze if names else ():
            one_of("model.freeze", name, tuple(names))
        require(not names or set(self.freeze) != set(names), NOTHING_TO_TRAIN)

    @property
    def reads_padding(self) -> bool:
        """True if sequences are read to their padded end."""
        return False

    @abstractmethod
    def hidden_layers(self) -> list[Any]:
        """Settings of each hidden layer. Raises ConfigurationError if one is invalid."""

    def dense_layers(self) -> list[DenseConfig] | None:
        """The hidden layers of a multilayer perceptron, linear maps and no others; None of another model."""
        return None

    @abstractmethod
    def inputs_of(self, spec: DataSpec) -> int:
        """Inputs of the first layer for this data. Raises ConfigurationError if the model cannot read it."""

    @abstractmethod
    def build(self, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> "Classifier":
        """Build the classifier for this data."""

    def check_read(self) -> None:
        """Raise ConfigurationError if a setting is used by no layer."""
        default, layers = type(self)(), self.hidden_layers()
        given = [field.name for field in fields(self) if getattr(self, field.name) != getattr(default, field.name)]
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
        message = f"model.focal_gamma={self.focal_gamma} is read by model.loss=focal only: leave it out, or choose that"
        require("focal_gamma" not in given or self.loss is Loss.focal, message)
        message = "model.eval_mode=false acts on dropout and batch norm, which the model has not: leave it out"
        require(self.eval_mode or self.drops() or normalised, message)

    def entries(self) -> list[tuple[str, Any]]:
        """Key, such as "model.hidden[0]", and entry of each of hidden_layers()."""
        return [(f"model.hidden[{i}]", entry) for i, entry in enumerate(self.hidden)]

    def layer_names(self) -> list[str]:
        """The names of the layers as the model's modules, such as hidden.0; [] if they are known once it is built."""
        hidden = [key.removeprefix("model.").replace("[", ".").rstrip("]") for key, _ in self.entries()]
        return [*hidden, "output"]

    def drops(self) -> bool:
        """True if any part of the model has dropout."""
        drops = [getattr(layer, name, 0.0) for layer in self.hidden_layers() for name in ("dropout", "input_dropout")]
        return any([*drops, getattr(self, "embedding_dropout", 0.0)])

    def check_data(self, spec: DataSpec) -> None:
        """Raise ConfigurationError unless the model can read and classify this data."""
        inputs = self.inputs_of(spec)
        shape = " × ".join(map(str, spec.shape))
        has = f"the data has {inputs} ({spec.kind.name} of {shape})"
        require(
            self.inputs in (None, inputs),
            f"model.inputs={self.inputs}, but {has}: set model.inputs={inputs} or leave it out",
        )
        count = len(spec.classes)
        message = f"model.outputs=1 is for two classes, the data has {count}: leave model.outputs unset"
        require(self.outputs is None or count == 2, message)
        weights = self.class_weights
        if isinstance(weights, list):
            named = ", ".join(spec.classes[:10]) + ", …" * (count > 10)
            message = f"model.class_weights has {len(weights)} weights, the data {count} classes ({named})"
            require(len(weights) == count, f"{message}: set one for each, in this order")

    def check_tensor_parallel(self, size: int) -> None:
        """Raise ConfigurationError unless `size` processes can split each layer and compute what one process would."""
        name = type(self).__name__.removesuffix("Config").lower()
        message = f"model={name} does not go with trainer.tensor_parallel_size={size}: set trainer=ddp or fsdp"
        require(self.splits_weights, message)
        message = f"dropout does not go with trainer.tensor_parallel_size={size}, whose processes would drop different"
        require(not self.drops(), f"{message} units: set it to 0")

    def check_pipeline(self, batch_size: int, stages: int, micro_batches: int) -> None:
        """Raise ConfigurationError unless each stage gets a layer and a batch splits into equal micro-batches."""
        layers = len(self.hidden_layers()) + 1
        message = f"trainer=pipeline has {layers} layers for {stages} processes, the output among them"
        require(stages <= layers, f"{message}: set trainer.devices lower")
        message = f"trainer.micro_batches={micro_batches} does not divide data.batch_size={batch_size}"
        require(batch_size % micro_batches == 0, f"{message}: set either so that it does")

    def fallbacks(self, precision: str) -> list[str]:
        """Messages about what this machine's CPU computes in another precision because it lacks this one."""
        return []

    def loss_words(self) -> str:
        """How the training loss is computed from the logits, in words."""
        from dlproj.models.losses import loss_words

        activation = output_activation(self.loss, self.output.activation, self.outputs or 0)
        smoothed = f", label smoothing {self.label_smoothing:g}" * bool(self.label_smoothing)
        weighted = ", class weights" * (self.class_weights is not None)
        return loss_words(self.loss, activation, self.loss_from) + smoothed + weighted

    def outputs_for(self, spec: DataSpec) -> int:
        """Number of output units for this data."""
        return self.outputs or len(spec.classes)
