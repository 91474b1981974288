"""Settings of a network, data, an optimizer or a learning-rate schedule that is code of the user's own, or of torch."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from dlproj.config.checks import require
from dlproj.config.data import DataConfig, DataSpec, Kind, Side
from dlproj.config.fields import Choice, setting
from dlproj.config.images import Scaling
from dlproj.config.layers import LayerSettings, output_settings
from dlproj.config.model import ModelConfig
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.config.user_code import UserCode

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from dlproj.data.arrays import Arrays
    from dlproj.data.base import DataModule
    from dlproj.models.custom import CustomClassifier

CODE = "hash of the files of the code, set by dlproj; null for code of a package"


@dataclass(slots=True)
class CustomConfig(UserCode, ModelConfig):
    """Settings of a network of the user's own: any nn.Module from inputs to logits (B, classes)."""

    key: ClassVar[str] = "model.network"
    filled: ClassVar[tuple[str, ...]] = ("input_shape", "in_features", "in_channels", "num_classes", "vocabulary_size")
    builds_on_meta: ClassVar[bool] = False
    has_layers: ClassVar[bool] = False
    no_effect: ClassVar[tuple[str, ...]] = (*(field.name for field in fields(LayerSettings)), "hidden", "inputs")

    network: str = setting("", "the network: my_file.py:Net or package.module:Net, a class or a function")
    arguments: dict[str, Any] = setting(dict, "arguments of the network, such as {width: 64}")
    code: str | None = setting(None, CODE)

    def hidden_layers(self) -> list[Any]:
        """An empty list: only the network knows its layers."""
        return []

    def inputs_of(self, spec: DataSpec) -> int:
        """Values in a sample."""
        return math.prod(spec.shape)

    def check_read(self) -> None:
        """Raise ConfigurationError if a setting of layers is given: the network makes its own layers."""
        default = type(self)()
        given = [f"model.{name}" for name in self.no_effect if getattr(self, name) != getattr(default, name)]
        given += [f"model.output.{name}" for name in output_settings(self.output) if name != "activation"]
        message = f"{' and '.join(given)} has no effect with model=custom, whose network has its own layers"
        require(not given, f"{message}: leave it out, or set model.arguments")
        ModelConfig.check_read(self)

    def layer_names(self) -> list[str]:
        """An empty list: the names are known once the network is built."""
        return []

    def drops(self) -> bool:
        """True, as the network may have dropout."""
        return True

    def check_pipeline(self, batch_size: int, stages: int, micro_batches: int) -> None:
        """Raise ConfigurationError: the order of the layers is unknown."""
        require(False, "model=custom does not go with trainer=pipeline: set trainer=ddp or fsdp")

    def build(self, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> "CustomClassifier":
        """Build the classifier around the network. Raises ConfigurationError, with the line of the user's file."""
        from dlproj.models.custom import CustomClassifier

        return CustomClassifier(self, spec, optim, scheduler)

    def network_for(self, spec: DataSpec) -> Any:
        """What the user's class or function returns for this data."""
        available: dict[str, Any] = {"input_shape": tuple(spec.shape), "num_classes": self.outputs_for(spec)}
        if spec.kind is Kind.sequence:
            available["vocabulary_size"] = spec.vocabulary_size
        else:
            available["in_features"] = math.prod(spec.shape)
        if spec.kind is Kind.image:
            available["in_channels"] = spec.shape[0]
        return self.make(**available)


class ArraysKind(Choice):
    """What arrays hold."""

    auto = "auto", "images if a sample has two dimensions or more, else features; a run records which"
    image = "image"
    features = "features"
    sequence = "sequence", "ids (n, length), 0 being padding"


@dataclass(slots=True)
class CustomDataConfig(UserCode, DataConfig):
    """Settings of arrays that a function of the user's own returns: x_train, y_train, perhaps x_test and y_test."""

    own_files: ClassVar[bool] = True
    not_read: ClassVar[Mapping[str, str]] = {"root": "a function loads this data: set data.arguments"}
    key: ClassVar[str] = "data.load"

    load: str = setting("", "the function: my_file.py:load or package.module:load")
    arguments: dict[str, Any] = setting(dict, "arguments of the function, such as {folder: photos}")
    code: str | None = setting(None, CODE)
    kind: ArraysKind = setting(ArraysKind.auto, "what the arrays hold")
    scaling: Scaling | None = setting(None, "of images and features; unset: unit for images, standardize for features")
    random_flip: bool = setting(False, "of images, as in data=fmnist")
    random_crop: int = setting(0, "of images, as in data=fmnist", "[0, inf)")
    padding: Side = setting(Side.pre, "of ids: where the arrays pad shorter sequences with 0")

    def arrays(self) -> "Arrays":
        """The function's arrays, loaded once in a process; sets `kind`. Raises DataError and ConfigurationError."""
        from dlproj.data.custom import loaded

        arrays, kind = loaded(self)
        self.kind = ArraysKind[kind.name]
        return arrays

    def spec(self) -> DataSpec:
        """Kind, shape and classes of the arrays. Raises ConfigurationError for a setting of another kind."""
        from dlproj.data.custom import arrays_config

        arrays = self.arrays()
        arrays_config(self)
        self.check_test_set(arrays.x_test is not None)
        return arrays.spec(Kind[self.kind.name], self.padding)

    def build(self, seed: int) -> "DataModule":
        """Build the data module of the kind of the arrays."""
        from dlproj.data.custom import arrays_config

        if self.kind is ArraysKind.auto:
            self.arrays()
        return arrays_config(self).build(seed)


_OPTIMIZER = {"lr": "optim.learning_rate", "weight_decay": "optim.weight_decay"}


@dataclass(slots=True)
class CustomOptimConfig(UserCode, OptimConfig):
    """Settings of any optimizer of torch, or of the user's own."""

    key: ClassVar[str] = "optim.target"
    positional: ClassVar[int] = 1
    filled: ClassVar[tuple[str, ...]] = tuple(_OPTIMIZER)
    own_settings: ClassVar[dict[str, str]] = _OPTIMIZER

    target: str = setting("", "the optimizer: torch.optim.NAdam, or my_file.py:MyOptimizer")
    arguments: dict[str, Any] = setting(dict, "its further arguments, such as {momentum_decay: 0.01}")
    code: str | None = setting(None, CODE)

    def check_given(self, name: str, parameters: list[Any]) -> None:
        """Also raise ConfigurationError for LBFGS, SparseAdam, and a weight decay that the optimizer lacks."""
        UserCode.check_given(self, name, parameters)
        message = f"optim.target={self.target} computes the loss several times a step: set another, such as adam"
        require(name != "LBFGS", message)
        message = f"optim.target={self.target} is for sparse gradients alone: set another, such as adam"
        require(name != "SparseAdam", message)
        takes = any(each.name == "weight_decay" or each.kind is each.VAR_KEYWORD for each in parameters)
        message = f"optim.weight_decay={self.weight_decay} is not read by {name}: leave it out"
        require(takes or self.weight_decay == 0, message)

    def build(self, parameters: "Iterable[nn.Parameter] | Iterable[dict[str, Any]]") -> "Optimizer":
        """Build the optimizer; it gets learning_rate and weight_decay where it takes them."""
        from torch.optim import Optimizer

        made = self.make(list(parameters), lr=self.learning_rate, weight_decay=self.weight_decay)
        message = f"optim.target={self.target} makes a {type(made).__name__}: name a torch.optim.Optimizer"
        require(isinstance(made, Optimizer), message)
        return made


_STEPS = 1000  # of a training whose length is not known yet


class Interval(Choice):
    """How often a schedule is stepped."""

    step = "step", "after each optimizer step"
    epoch = "epoch", "after each epoch"


@dataclass(slots=True)
class CustomSchedulerConfig(UserCode, SchedulerConfig):
    """Settings of any learning-rate schedule of torch, or of the user's own."""

    lengthens: ClassVar[bool] = False  # unknown
    key: ClassVar[str] = "scheduler.target"
    positional: ClassVar[int] = 1
    filled: ClassVar[tuple[str, ...]] = ("total_steps", "T_max")

    target: str = setting("", "the schedule: torch.optim.lr_scheduler.CyclicLR, or my_file.py:MySchedule")
    arguments: dict[str, Any] = setting(dict, "its arguments, such as {base_lr: 0.001, max_lr: 0.1}")
    interval: Interval = setting(Interval.step, "how often it is stepped")
    code: str | None = setting(None, CODE)

    def check_given(self, name: str, parameters: list[Any]) -> None:
        """Also raise ConfigurationError for a schedule that needs a metric or other schedules."""
        message = "scheduler.target=ReduceLROnPlateau needs a metric: set scheduler=plateau"
        require(name != "ReduceLROnPlateau", message)
        UserCode.check_given(self, name, parameters)

    def build(self, optimizer: "Optimizer", epochs: float, steps: int) -> dict[str, Any]:
        """Lightning's configuration of the schedule; total_steps and T_max are its length unless they are given."""
        from torch.optim.lr_scheduler import LRScheduler

        length = steps if self.interval is Interval.step else math.ceil(epochs)
        given = self.arguments.get("total_steps")
        message = f"scheduler.arguments.total_steps={given} is less than the {length} of the training: leave it out"
        require(not isinstance(given, int) or given >= length, message)
        available = {} if {"epochs", "steps_per_epoch"} & self.arguments.keys() else {"total_steps": length}
        made = self.make(optimizer, T_max=length, **available)
        message = f"scheduler.target={self.target} makes a {type(made).__name__}: name a torch.optim.lr_scheduler"
        require(isinstance(made, LRScheduler), message)
        return {"scheduler": made, "interval": self.interval.name}

    def check_step(self, optimizer: "Optimizer", epochs: int) -> None:
        """Step the schedule once. Raises ConfigurationError if that fails, or gives an impossible learning rate."""
        total = self.arguments.get("total_steps")
        schedule = self.build(optimizer, epochs, total if isinstance(total, int) else _STEPS)["scheduler"]
        with self.errors():
            optimizer.step()
            schedule.step()
        rates = [float(rate) for rate in schedule.get_last_lr()]
        message = f"scheduler.target={self.target} sets the learning rate to {rates[0]}: change scheduler.arguments"
        require(all(0 <= rate < math.inf for rate in rates), message)


def check_torch_arguments(optim: OptimConfig, scheduler: SchedulerConfig, epochs: int) -> None:
    """Raise ConfigurationError if torch's own optimizer or schedule refuses its arguments, tried on one parameter.

    Code of the user's own is not tried, as it may rely on the network.
    """
    if isinstance(optim, UserCode) and not optim.is_of_torch():
        return
    of_torch = isinstance(scheduler, CustomSchedulerConfig) and scheduler.is_of_torch()
    schedule = scheduler if of_torch and optim.layer_decay == 1 else None  # else it may have a rate for each layer
    if isinstance(optim, UserCode) or schedule:
        from torch import nn, zeros

        optimizer = optim.build([nn.Parameter(zeros(1, 1))])
        if isinstance(schedule, CustomSchedulerConfig):
            schedule.check_step(optimizer, epochs)
