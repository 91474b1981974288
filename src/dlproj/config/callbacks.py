"""Settings of early stopping, checkpoints and resuming."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlproj.config.checks import one_of, require
from dlproj.config.fields import Choice, check_ranges, either, setting
from dlproj.config.metrics import VALIDATION_METRICS, better
from dlproj.config.targets import check_targets


class Mode(Choice):
    """Direction in which a metric improves."""

    auto = "auto", "min for a loss, max for anything else"
    min = "min"
    max = "max"


class Resume(Choice):
    """What a run does if its folder already holds a run with the same settings."""

    never = "never", "start from the beginning"
    auto = "auto", "continue from its last checkpoint; leave a finished run as it is"


@dataclass(slots=True)
class EarlyStoppingConfig:
    """The metric that decides the best epoch and its checkpoint, and when to stop without improvement."""

    monitor: str = setting(
        "val/loss", f"the metric that is to improve; {either(VALIDATION_METRICS)}, or one of `metrics` as val/NAME"
    )
    mode: Mode = setting(Mode.auto, "direction in which the metric improves")
    patience: int | None = setting(
        None, "epochs without improvement after which training stops; unset: never", "[1, inf)"
    )
    min_delta: float = setting(0.0, "an improvement smaller than this does not count", "[0, inf)")
    restore_best: bool = setting(False, "test the weights of the best epoch instead of the last")

    def __post_init__(self) -> None:
        check_ranges(self, "callbacks.early_stopping.")

    def check_monitor(self, further: Mapping[str, Any]) -> None:
        """Raise ConfigurationError for a monitor that is no metric; of a further one, mode becomes its direction."""
        own = tuple(f"val/{name}" for name in further)
        one_of("callbacks.early_stopping.monitor", self.monitor, (*VALIDATION_METRICS, *own))
        if self.mode is Mode.auto and self.monitor in own:
            self.mode = Mode[better(self.monitor, further)]

    def direction(self) -> str:
        """Return "min" or "max"; `auto` is resolved from the metric."""
        if self.mode is Mode.auto:
            return better(self.monitor)
        return self.mode.name


@dataclass(slots=True)
class CallbacksConfig:
    """Settings of early stopping, checkpoints and resuming."""

    early_stopping: EarlyStoppingConfig = setting(EarlyStoppingConfig)
    every_n_train_steps: int | None = setting(
        None, "write last.ckpt every so many optimizer steps, also within an epoch; unset: after each epoch", "[1, inf)"
    )
    terminate_on_nan: bool = setting(True, "stop after an epoch in which a loss was NaN or infinite")
    resume: Resume = setting(Resume.never, "what a run does if its folder already holds a run with the same settings")
    extra: dict[str, Any] = setting(dict, "further callbacks of Lightning, or your own, by name: a _target_ each")

    def __post_init__(self) -> None:
        check_ranges(self, "callbacks.")
        check_targets("callbacks.extra", self.extra)

    def check_read(self) -> None:
        """Raise ConfigurationError if a setting has no effect in combination with the others."""
        stopping = self.early_stopping
        message = f"callbacks.early_stopping.min_delta={stopping.min_delta} has no effect without a patience"
        unread = stopping.patience is None and stopping.min_delta > 0
        require(not unread, f"{message}: set callbacks.early_stopping.patience, such as 5")
