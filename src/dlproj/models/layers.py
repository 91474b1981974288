"""The description of one layer, and how a model's settings and a layer's own make it up."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any, TypeVar

from omegaconf import MISSING
from torch import nn

from dlproj.models.activations import PARAMETERS, Activation, activation_module
from dlproj.models.initializers import InitializerConfig, initialize, unset
from dlproj.models.penalties import Penalty
from dlproj.settings import ConfigurationError, require, typed, within


@dataclass(slots=True)
class LayerSettings:
    """What is settable for all layers of a model at once and for each one by itself."""

    activation: Activation = Activation.relu
    negative_slope: float = 0.01  # of leaky_relu, 0 or more
    prelu_init: float = 0.25  # of prelu: the learned slope's start
    elu_alpha: float = 1.0  # of elu, above 0
    swish_beta: float = 1.0  # of swish, 0 or more
    weight_initializer: InitializerConfig = field(default_factory=InitializerConfig)
    bias_initializer: InitializerConfig = field(default_factory=InitializerConfig)
    weight_l1: float = 0.0  # λ of λ · Σ|w|, 0 or more
    weight_l2: float = 0.0  # λ of λ · Σw² (no ½, as in Keras), 0 or more
    bias_l1: float = 0.0
    bias_l2: float = 0.0
    dropout: float = 0.0  # probability that an output of the layer is set to zero in training, in [0, 1)

    def check(self, key: str) -> None:
        """Raise ConfigurationError, naming the setting below `key`, if a value is impossible."""
        for name in fields(self):
            value = getattr(self, name.name)
            if name.name.endswith(("_l1", "_l2")):
                within(f"{key}.{name.name}", value, "[0, inf)")
            elif name.name.endswith("dropout"):
                within(f"{key}.{name.name}", value, "[0, 1)")
            elif name.name in _INTERVALS:
                within(f"{key}.{name.name}", value, _INTERVALS[name.name])
            elif name.name.endswith("_initializer"):
                value.check(f"{key}.{name.name}", vector=name.name == "bias_initializer")

    def activation_module(self) -> nn.Module:
        """A new module of the layer's activation, with its parameter: (…, units) to the same shape."""
        parameter = PARAMETERS.get(self.activation)
        return activation_module(self.activation, *([getattr(self, parameter)] if parameter else []))


_INTERVALS = {"negative_slope": "[0, inf)", "prelu_init": "(-inf, inf)", "elu_alpha": "(0, inf)",
              "swish_beta": "[0, inf)"}  # fmt: skip


class LayerPart(Enum):
    """What a dense layer is made of, in the usual order: batch norm before the activation (Ioffe & Szegedy 2015)."""

    linear = "linear"
    batch_norm = "batch_norm"  # there if batch_norm is true
    activation = "activation"
    dropout = "dropout"  # there if dropout is above 0


def usual_order() -> list[LayerPart]:
    """linear → batch_norm → activation → dropout."""
    return list(LayerPart)


def check_order(key: str, order: Sequence[LayerPart]) -> None:
    """Raise ConfigurationError unless linear comes once and first, and some activation after it."""
    possible = list(order[:1]) == [LayerPart.linear] and order.count(LayerPart.linear) == 1
    possible = possible and LayerPart.activation in order and all(isinstance(part, LayerPart) for part in order)
    names = ", ".join(str(getattr(part, "name", part)) for part in order)
    rule = "set linear first and once, then activation at least once, and batch_norm and dropout wherever wanted"
    require(possible, f"{key}=[{names}] is impossible: {rule}")


@dataclass(slots=True)
class DenseConfig(LayerSettings):
    """A fully connected layer: a linear map, then batch norm, activation and dropout as asked for."""

    units: int = MISSING
    bias: bool = True
    batch_norm: bool = False
    order: list[LayerPart] = field(default_factory=usual_order)

    def check(self, key: str) -> None:
        """Raise ConfigurationError for an impossible setting, the width and the order among them."""
        LayerSettings.check(self, key)
        within(f"{key}.units", self.units, "[1, inf)")
        check_order(f"{key}.order", self.order)
        for name, wanted, off in (("batch_norm", self.batch_norm, "false"), ("dropout", self.dropout, "0")):
            message = f"{key}: its order has no {name}: put {name} into order, or set {name}={off}"
            require(not wanted or LayerPart[name] in self.order, message)

    def parts(self) -> list[LayerPart]:
        """The order, without batch norm and dropout where they are off."""
        off = [LayerPart.batch_norm] * (not self.batch_norm) + [LayerPart.dropout] * (not self.dropout)
        return [part for part in self.order if part not in off]


@dataclass(slots=True)
class OutputConfig:
    """The output layer, where it differs from the model's settings; what is unset is as they say."""

    activation: Activation | None = None  # unset: softmax, sigmoid or identity, whichever is the loss's own
    bias: bool | None = None
    weight_initializer: InitializerConfig = field(default_factory=unset)
    bias_initializer: InitializerConfig = field(default_factory=unset)
    weight_l1: float | None = None
    weight_l2: float | None = None
    bias_l1: float | None = None
    bias_l2: float | None = None


LayerT = TypeVar("LayerT", bound=LayerSettings)


def describe(cls: type[LayerT], entries: list[Any], model: LayerSettings) -> list[LayerT]:
    """The layers that `model.hidden` lists, a width or a mapping each, filled up from the model's settings."""
    return [_describe_one(cls, entry, model, f"model.hidden[{number}]") for number, entry in enumerate(entries)]


def _describe_one(cls: type[LayerT], entry: Any, model: LayerSettings, key: str) -> LayerT:
    own = {"units": entry} if isinstance(entry, int) and not isinstance(entry, bool) else entry
    if not isinstance(own, dict):
        raise ConfigurationError(
            f"{key}={entry!r} is no layer: set a width such as 256, or settings such as {{units: 256}}"
        )
    require("units" in own, f"{key} has no width: set {key}.units")
    layer = typed(cls, _shared(cls, model) | own, key)
    layer.check(key)
    return layer


def describe_output(output: OutputConfig, units: int, model: LayerSettings) -> DenseConfig:
    """The output layer: linear only, its activation being part of the loss."""
    linear = {"units": units, "activation": Activation.identity, "dropout": 0.0, "batch_norm": False}
    layer = typed(DenseConfig, _shared(DenseConfig, model) | output_settings(output) | linear, "model.output")
    layer.check("model.output")
    return layer


def output_settings(output: OutputConfig) -> dict[str, Any]:
    """Those that are set, by name."""
    return {name: value for name, value in asdict(output).items() if value not in (None, asdict(unset()))}


def _shared(cls: type[LayerSettings], model: LayerSettings) -> dict[str, Any]:
    return {name.name: getattr(model, name.name) for name in fields(cls) if hasattr(model, name.name)}


def check_read(key: str, given: Collection[str], layers: Sequence[LayerSettings]) -> None:
    """Raise ConfigurationError for one of the settings given at `key` that none of the layers there reads."""
    for activation, name in PARAMETERS.items():
        read = name not in given or any(layer.activation is activation for layer in layers)
        require(read, f"{key}.{name} is read by activation={activation.name} only: leave it out, or choose that")
    unused = "order" in given and not any(layer.batch_norm for layer in layers if isinstance(layer, DenseConfig))
    named = any(LayerPart.batch_norm in layer.order for layer in layers
                if isinstance(layer, DenseConfig) and layer.order != usual_order())  # fmt: skip
    message = f"{key}.order names batch_norm, which is off: set {key}.batch_norm=true or leave it out"
    require(not (unused and named), message)
    of_bias = [name for name in given if name.startswith("bias_")]
    biased = not of_bias or any(getattr(layer, "bias", True) for layer in layers)
    names = " and ".join(f"{key}.{name}" for name in of_bias)
    require(biased, f"without a bias {names} would act on nothing: leave it out, or set {key}.bias=true")


def linear(inputs: int, layer: DenseConfig) -> nn.Linear:
    """The layer's linear map, initialised: (…, inputs) to (…, units)."""
    module = nn.Linear(inputs, layer.units, layer.bias)
    initialize(module.weight, layer.weight_initializer)
    if layer.bias:
        initialize(module.bias, layer.bias_initializer)
    return module


def linear_penalties(module: nn.Linear, layer: DenseConfig) -> list[Penalty]:
    """The penalties of a linear map's weights and biases."""
    of_bias = [Penalty(module, "bias", layer.bias_l1, layer.bias_l2)] if layer.bias else []
    return [Penalty(module, "weight", layer.weight_l1, layer.weight_l2), *of_bias]
