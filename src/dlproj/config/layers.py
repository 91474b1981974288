"""Settings of one layer, completed from the model's settings."""

from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from omegaconf import MISSING

from dlproj.config.checks import require
from dlproj.config.conversion import typed
from dlproj.config.fields import Choice, check_ranges, like, setting

if TYPE_CHECKING:
    from torch import nn


class Activation(Choice):
    """Activation function: elementwise, except softmax, which acts over the layer's units."""

    relu = "relu"
    leaky_relu = "leaky_relu", "negative_slope · x below zero"
    prelu = "prelu", "learned slope below zero, one per layer, initially prelu_init (He et al. 2015)"
    elu = "elu", "elu_alpha · (eˣ − 1) below zero (Clevert et al. 2016)"
    sigmoid = "sigmoid"
    tanh = "tanh"
    swish = "swish", "x · σ(swish_beta · x) (Ramachandran et al. 2017)"
    softmax = "softmax"
    identity = "identity"


PARAMETERS = {  # the setting that is an activation's parameter
    Activation.leaky_relu: "negative_slope",
    Activation.prelu: "prelu_init",
    Activation.elu: "elu_alpha",
    Activation.swish: "swish_beta",
}


class Initializer(Choice):
    """Initial distribution; fan_in and fan_out are the inputs and outputs of the full weight matrix."""

    torch = "torch", "default of torch's layer: weights and biases U(±1/√fan_in); recurrent layers U(±1/√units)"
    zeros = "zeros"
    ones = "ones"
    constant = "constant"
    normal = "normal"
    uniform = "uniform"
    glorot_uniform = "glorot_uniform", "U(±√(6 / (fan_in + fan_out))) (Glorot & Bengio 2010)"
    glorot_normal = "glorot_normal", "N(0, 2 / (fan_in + fan_out)); Keras truncates it at two deviations"
    he_uniform = "he_uniform", "U(±√(6 / fan_in)) (He et al. 2015)"
    he_normal = "he_normal", "N(0, 2 / fan_in); Keras truncates it at two deviations"
    orthogonal = "orthogonal", "Saxe et al. 2013"


_READ_BY = {
    "value": Initializer.constant,
    "mean": Initializer.normal,
    "std": Initializer.normal,
    "low": Initializer.uniform,
    "high": Initializer.uniform,
}


_MATRICES_ONLY = (
    Initializer.glorot_uniform,
    Initializer.glorot_normal,
    Initializer.he_uniform,
    Initializer.he_normal,
    Initializer.orthogonal,
)


@dataclass(slots=True)
class InitializerConfig:
    """An initialiser and its parameters; those of other initialisers stay unset."""

    name: Initializer | None = setting(
        Initializer.torch, "the distribution; unset, for the output layer only: the model's"
    )
    value: float | None = setting(None, "of constant", "(-inf, inf)")
    mean: float | None = setting(None, "of normal; unset: 0", "(-inf, inf)")
    std: float | None = setting(None, "of normal", "(0, inf)")
    low: float | None = setting(None, "of uniform", "(-inf, inf)")
    high: float | None = setting(None, "of uniform, above low", "(-inf, inf)")

    def check(self, key: str, vector: bool = False) -> None:
        """Raise ConfigurationError for a missing, unused or invalid parameter, or a matrix initialiser of a vector."""
        name = self.name.name if self.name else "null"
        for parameter, owner in _READ_BY.items():
            given, mine = getattr(self, parameter) is not None, self.name is owner
            require(mine or not given, f"{key}.{parameter} is read by {owner.name} only: set {key}.name={owner.name}")
            required = mine and parameter != "mean"
            require(given or not required, f"{key}.name={name} needs a number: set {key}.{parameter}")
        require(self.name is not None, f"{key}.name is unset: set it to torch, zeros, normal, glorot_uniform, …")
        check_ranges(self, f"{key}.")
        if self.low is not None and self.high is not None:
            require(self.low < self.high, f"{key}.low={self.low} is not below {key}.high={self.high}: set it lower")
        message = f"{key}.name={name} needs a matrix: set zeros, ones, constant, normal, uniform or torch"
        require(not (vector and self.name in _MATRICES_ONLY), message)


def unset() -> InitializerConfig:
    """An initialiser that is taken from the model's settings."""
    return InitializerConfig(name=None)


@dataclass(slots=True)
class LayerSettings:
    """Settings of a layer; set on the model they are the default of every layer."""

    activation: Activation = setting(Activation.relu, "activation function of hidden layers")
    negative_slope: float = setting(0.01, "of leaky_relu", "[0, inf)")
    prelu_init: float = setting(0.25, "of prelu: the learned slope's start", "(-inf, inf)")
    elu_alpha: float = setting(1.0, "of elu", "(0, inf)")
    swish_beta: float = setting(1.0, "of swish", "[0, inf)")
    weight_initializer: InitializerConfig = setting(InitializerConfig)
    bias_initializer: InitializerConfig = setting(InitializerConfig)
    weight_l1: float = setting(0.0, "λ of λ · Σ|w|, added to the loss", "[0, inf)")
    weight_l2: float = setting(0.0, "λ of λ · Σw² (no ½, as in Keras), added to the loss", "[0, inf)")
    bias_l1: float = setting(0.0, "as weight_l1, for the biases", "[0, inf)")
    bias_l2: float = setting(0.0, "as weight_l2, for the biases", "[0, inf)")
    dropout: float = setting(0.0, "probability that an output of the layer is set to 0 in training", "[0, 1)")

    def check(self, key: str) -> None:
        """Raise ConfigurationError, naming the setting below `key`, for an invalid value."""
        check_ranges(self, f"{key}.")
        for field in fields(self):
            if field.name.endswith("_initializer"):
                getattr(self, field.name).check(f"{key}.{field.name}", vector=field.name == "bias_initializer")

    def activation_module(self) -> "nn.Module":
        """Build the activation with its parameter, a module from (…, units) to the same shape."""
        from dlproj.models.activations import activation_module

        parameter = PARAMETERS.get(self.activation)
        return activation_module(self.activation, *([getattr(self, parameter)] if parameter else []))


class LayerPart(Choice):
    """Part of a dense layer, in the usual order: batch norm before the activation (Ioffe & Szegedy 2015)."""

    linear = "linear"
    batch_norm = "batch_norm", "present if batch_norm is true"
    activation = "activation"
    dropout = "dropout", "present if dropout is above 0"


def usual_order() -> list[LayerPart]:
    """Return linear → batch_norm → activation → dropout."""
    return list(LayerPart)


def check_order(key: str, order: Sequence[LayerPart]) -> None:
    """Raise ConfigurationError unless linear comes first and once, followed by at least one activation."""
    possible = list(order[:1]) == [LayerPart.linear] and order.count(LayerPart.linear) == 1
    possible = possible and LayerPart.activation in order and all(isinstance(part, LayerPart) for part in order)
    names = ", ".join(str(getattr(part, "name", part)) for part in order)
    rule = "set linear first and once, then activation at least once, and batch_norm and dropout wherever wanted"
    require(possible, f"{key}=[{names}]: {rule}")


@dataclass(slots=True)
class DenseConfig(LayerSettings):
    """A fully connected layer: a linear map, then batch norm, activation and dropout, as set."""

    units: int = setting(MISSING, "outputs of the layer", "[1, inf)")
    bias: bool = setting(True, "add a learned bias to the linear map")
    batch_norm: bool = setting(False, "normalise each hidden layer over the batch")
    order: list[LayerPart] = setting(usual_order, "order of a hidden layer's parts; all but linear may repeat")

    def check(self, key: str) -> None:
        """Raise ConfigurationError for an invalid setting or order."""
        LayerSettings.check(self, key)
        check_order(f"{key}.order", self.order)
        for name, wanted, off in (("batch_norm", self.batch_norm, "false"), ("dropout", self.dropout, "0")):
            message = f"{key}: its order has no {name}: put {name} into order, or set {name}={off}"
            require(not wanted or LayerPart[name] in self.order, message)

    def parts(self) -> list[LayerPart]:
        """The order, without batch norm and dropout if they are off."""
        off = [LayerPart.batch_norm] * (not self.batch_norm) + [LayerPart.dropout] * (not self.dropout)
        return [part for part in self.order if part not in off]


@dataclass(slots=True)
class ConvConfig(DenseConfig):
    """A convolutional layer: a convolution, then batch norm, activation and dropout, as set, then max pooling."""

    units: int = setting(MISSING, "output feature maps", "[1, inf)")
    kernel_size: int = setting(3, "side of the square kernel in pixels, odd; the image is zero-padded", "[1, inf)")
    pool: int = setting(2, "side of the max pooling window in pixels; 1: no pooling", "[1, inf)")

    def check(self, key: str) -> None:
        """Also raise ConfigurationError for an even kernel size or softmax, which acts over a dense layer's units."""
        DenseConfig.check(self, key)
        size = self.kernel_size
        require(size % 2 == 1, f"{key}.kernel_size={size} must be odd, to keep the image's size: set {size + 1}")
        message = f"{key}.activation=softmax is for dense layers: set another for a convolution"
        require(self.activation is not Activation.softmax, message)


class Cell(Choice):
    """Type of recurrent cell."""

    simple = "simple", "Elman: h ← activation(W x + U h + b)"
    lstm = "lstm", "Hochreiter & Schmidhuber 1997, with a forget gate"
    gru = "gru", "Cho et al. 2014, the reset gate applied after the matrix product, as in cuDNN and Keras"


@dataclass(slots=True)
class RecurrentConfig(LayerSettings):
    """Settings of a recurrent layer."""

    units: int = setting(MISSING, "outputs of the layer", "[1, inf)")
    activation: Activation = setting(Activation.tanh, "activation of the simple cell; LSTM and GRU have their own")
    recurrent_initializer: InitializerConfig = setting(InitializerConfig)
    recurrent_l1: float = setting(0.0, "as weight_l1, for the recurrent weights", "[0, inf)")
    recurrent_l2: float = setting(0.0, "as weight_l2, for the recurrent weights", "[0, inf)")
    input_dropout: float = setting(
        0.0, "dropout of each layer's inputs; the same ones are dropped at every time step, as in Keras", "[0, 1)"
    )


@dataclass(slots=True)
class OutputConfig:
    """Settings of the output layer; those that are unset are taken from the model."""

    activation: Activation | None = setting(None, "unset: softmax, sigmoid or identity, as the loss requires")
    bias: bool | None = like(DenseConfig, "bias", None)
    weight_initializer: InitializerConfig = setting(unset)
    bias_initializer: InitializerConfig = setting(unset)
    weight_l1: float | None = like(LayerSettings, "weight_l1", None)
    weight_l2: float | None = like(LayerSettings, "weight_l2", None)
    bias_l1: float | None = like(LayerSettings, "bias_l1", None)
    bias_l2: float | None = like(LayerSettings, "bias_l2", None)


LayerT = TypeVar("LayerT", bound=LayerSettings)


def describe(cls: type[LayerT], entries: list[Any], model: LayerSettings, name: str = "hidden") -> list[LayerT]:
    """Settings of the layers in `model.<name>`, each a width or a mapping, completed from the model's settings."""
    return [_describe_layer(cls, entry, model, f"model.{name}[{i}]") for i, entry in enumerate(entries)]


def _describe_layer(cls: type[LayerT], entry: Any, model: LayerSettings, key: str) -> LayerT:
    shared = _shared(cls, model)
    if isinstance(entry, int) and not isinstance(entry, bool):
        layer = cls(**shared | {"units": entry})
    else:
        message = f"{key}={entry!r} is not a layer: set a width such as 256, or settings such as {{units: 256}}"
        require(isinstance(entry, dict), message)
        require("units" in entry, f"{key} has no width: set {key}.units")
        layer = typed(cls, shared | entry, key)
    layer.check(key)
    return layer


def describe_output(output: OutputConfig, units: int, model: LayerSettings) -> DenseConfig:
    """Settings of the output layer: a linear map only, as its activation is part of the loss."""
    linear = {"units": units, "activation": Activation.identity, "dropout": 0.0, "batch_norm": False}
    layer = DenseConfig(**_shared(DenseConfig, model) | output_settings(output) | linear)
    layer.check("model.output")
    return layer


def output_settings(output: OutputConfig) -> dict[str, Any]:
    """The output layer's settings that are set, by name."""
    values = {field.name: getattr(output, field.name) for field in fields(output)}
    return {name: value for name, value in values.items() if value not in (None, unset())}


def _shared(cls: type[LayerSettings], model: LayerSettings) -> dict[str, Any]:
    return {field.name: deepcopy(getattr(model, field.name)) for field in fields(cls) if hasattr(model, field.name)}


def check_read(key: str, given: Collection[str], layers: Sequence[LayerSettings]) -> None:
    """Raise ConfigurationError if a setting given at `key` is used by none of the layers there."""
    for activation, name in PARAMETERS.items():
        read = name not in given or any(layer.activation is activation for layer in layers)
        require(read, f"{key}.{name} is read by activation={activation.name} only: leave it out, or choose that")
    unused = "order" in given and not any(layer.batch_norm for layer in layers if isinstance(layer, DenseConfig))
    named = any(
        LayerPart.batch_norm in layer.order
        for layer in layers
        if isinstance(layer, DenseConfig) and layer.order != usual_order()
    )
    message = f"{key}.order names batch_norm, which is off: set {key}.batch_norm=true or leave it out"
    require(not (unused and named), message)
    of_bias = [name for name in given if name.startswith("bias_")]
    biased = not of_bias or any(getattr(layer, "bias", True) for layer in layers)
    names = " and ".join(f"{key}.{name}" for name in of_bias)
    require(biased, f"without a bias {names} would act on nothing: leave it out, or set {key}.bias=true")
