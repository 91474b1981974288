"""The settings of early stopping, checkpoints and resuming."""

from dataclasses import dataclass, field
from enum import Enum

from dlproj.config.checks import VALIDATION_METRICS, better, one_of, require, within


class Mode(Enum):
    """Which way a metric gets better."""

    auto = "auto"  # min for a loss, max for anything else
    min = "min"
    max = "max"


class Resume(Enum):
    """What a run does in a folder that holds one of the same settings."""

    never = "never"  # begin
    auto = "auto"  # go on from its last checkpoint; leave it as it is where it has ended


@dataclass(slots=True)
class EarlyStoppingConfig:
    """What "best" means, and when to stop for want of it. The best checkpoint follows the same metric."""

    monitor: str = "val/loss"
    mode: Mode = Mode.auto
    patience: int | None = None  # epochs without improvement after which training stops, 1 or more; unset: never
    min_delta: float = 0.0  # an improvement smaller than this does not count, 0 or more
    restore_best: bool = False  # test the weights of the best epoch instead of the last one's

    def __post_init__(self) -> None:
        key = "callbacks.early_stopping"
        one_of(f"{key}.monitor", self.monitor, VALIDATION_METRICS)
        within(f"{key}.patience", self.patience, "[1, inf)")
        within(f"{key}.min_delta", self.min_delta, "[0, inf)")

    def direction(self) -> str:
        """ "min" or "max"."""
        if self.mode is Mode.auto:
            return better(self.monitor)
        return self.mode.name


@dataclass(slots=True)
class CallbacksConfig:
    """What happens beside training."""

    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    every_n_train_steps: int | None = None  # write last.ckpt within epochs, too, after each so many optimizer steps
    terminate_on_nan: bool = True  # end the run after an epoch in which a loss was NaN or infinite
    resume: Resume = Resume.never

    def __post_init__(self) -> None:
        within("callbacks.every_n_train_steps", self.every_n_train_steps, "[1, inf)")

    def check_read(self) -> None:
        """Raise ConfigurationError for a setting that has no effect beside the others."""
        stopping = self.early_stopping
        message = f"callbacks.early_stopping.min_delta={stopping.min_delta} is not read without a patience"
        unread = stopping.patience is None and stopping.min_delta > 0
        require(not unread, f"{message}: set callbacks.early_stopping.patience, such as 5")
