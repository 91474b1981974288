"""The description of one layer, and how a model's settings and a layer's own make it up."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from omegaconf import MISSING
from torch import nn

from dlproj.models.activations import Activation
from dlproj.models.initializers import InitializerConfig, initialize, unset
from dlproj.models.penalties import Penalty
from dlproj.settings import ConfigurationError, require, typed, within


@dataclass(slots=True)
class LayerSettings:
    """What is settable for all layers of a model at once and for each one by itself."""

    activation: Activation = Activation.relu
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
            elif name.name.endswith("_initializer"):
                value.check(f"{key}.{name.name}", vector=name.name == "bias_initializer")


@dataclass(slots=True)
class DenseConfig(LayerSettings):
    """A fully connected layer: linear, then batch norm, activation and dropout where asked for."""

    units: int = MISSING
    batch_norm: bool = False

    def check(self, key: str) -> None:
        """As above, and the width."""
        LayerSettings.check(self, key)
        within(f"{key}.units", self.units, "[1, inf)")


@dataclass(slots=True)
class OutputConfig:
    """The output layer, where it differs from the model's settings; what is unset is as they say."""

    activation: Activation | None = None  # unset: softmax, sigmoid or identity, whichever is the loss's own
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
    own = {name: value for name, value in asdict(output).items() if value not in (None, asdict(unset()))}
    linear = {"units": units, "activation": Activation.identity, "dropout": 0.0, "batch_norm": False}
    layer = typed(DenseConfig, _shared(DenseConfig, model) | own | linear, "model.output")
    layer.check("model.output")
    return layer


def _shared(cls: type[LayerSettings], model: LayerSettings) -> dict[str, Any]:
    return {name.name: getattr(model, name.name) for name in fields(cls) if hasattr(model, name.name)}


def linear(inputs: int, layer: DenseConfig) -> nn.Linear:
    """The layer's linear map, initialised: (…, inputs) to (…, units)."""
    module = nn.Linear(inputs, layer.units)
    initialize(module.weight, layer.weight_initializer)
    initialize(module.bias, layer.bias_initializer)
    return module


def linear_penalties(module: nn.Linear, layer: DenseConfig) -> list[Penalty]:
    """The penalties of a linear map's weights and biases."""
    return [
        Penalty(module, "weight", layer.weight_l1, layer.weight_l2),
        Penalty(module, "bias", layer.bias_l1, layer.bias_l2),
    ]
