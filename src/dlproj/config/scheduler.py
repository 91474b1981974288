"""Settings of each learning-rate schedule."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dlproj.config.checks import require
from dlproj.config.fields import check_ranges, setting
from dlproj.config.metrics import VALIDATION_METRICS, better

if TYPE_CHECKING:
    from torch.optim import Optimizer


@dataclass(slots=True)
class SchedulerConfig:
    """Constant learning rate."""

    lengthens: ClassVar[bool] = True  # True if rates do not depend on the number of epochs: a run can be extended

    def __post_init__(self) -> None:
        check_ranges(self, "scheduler.")

    def check(self, learning_rate: float, max_epochs: int) -> None:
        """Raise ConfigurationError if the schedule does not fit the initial rate or the number of epochs."""

    def build(self, optimizer: "Optimizer", epochs: int, steps: int) -> dict[str, Any]:
        """Lightning's configuration of the schedule, empty if constant. epochs, steps: of the whole training."""
        return {}


@dataclass(slots=True)
class StepConfig(SchedulerConfig):
    """Multiply the rate by gamma every step_size epochs."""

    step_size: int = setting(10, "epochs between two changes", "[1, inf)")
    gamma: float = setting(0.1, "factor that the rate is multiplied by", "(0, 1]")

    def build(self, optimizer: "Optimizer", epochs: int, steps: int) -> dict[str, Any]:
        from torch.optim.lr_scheduler import StepLR

        return {"scheduler": StepLR(optimizer, self.step_size, self.gamma)}


@dataclass(slots=True)
class ExponentialConfig(SchedulerConfig):
    """Multiply the rate by gamma after each epoch."""

    gamma: float = setting(0.95, "factor that the rate is multiplied by", "(0, 1]")

    def build(self, optimizer: "Optimizer", epochs: int, steps: int) -> dict[str, Any]:
        from torch.optim.lr_scheduler import ExponentialLR

        return {"scheduler": ExponentialLR(optimizer, self.gamma)}


@dataclass(slots=True)
class CosineConfig(SchedulerConfig):
    """Linear warm-up, then half a cosine down to the end of training, updated after each step."""

    lengthens: ClassVar[bool] = False

    warmup_epochs: float = setting(0.0, "epochs in which the rate rises, fewer than trainer.max_epochs", "[0, inf)")
    min_learning_rate: float = setting(0.0, "final rate", "[0, inf)")

    def check(self, learning_rate: float, max_epochs: int) -> None:
        """Raise ConfigurationError if the warm-up takes all epochs or the final rate is above the initial one."""
        message = f"scheduler.warmup_epochs={self.warmup_epochs} leaves nothing of trainer.max_epochs={max_epochs}"
        require(self.warmup_epochs < max_epochs, f"{message}: set it lower")
        _check_lowest(self.min_learning_rate, learning_rate)

    def build(self, optimizer: "Optimizer", epochs: int, steps: int) -> dict[str, Any]:
        from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

        warmup = round(steps * self.warmup_epochs / epochs)
        cosine = CosineAnnealingLR(optimizer, max(1, steps - warmup), self.min_learning_rate)
        if warmup == 0:
            return {"scheduler": cosine, "interval": "step"}
        rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        return {"scheduler": SequentialLR(optimizer, [rise, cosine], [warmup]), "interval": "step"}


@dataclass(slots=True)
class PlateauConfig(SchedulerConfig):
    """Multiply the rate by `factor` after `patience` epochs without improvement, counted as in early stopping."""

    monitor: str = setting("val/loss", "metric to watch", choices=VALIDATION_METRICS)
    factor: float = setting(0.1, "factor that the rate is multiplied by", "(0, 1)")
    patience: int = setting(3, "epochs without improvement before the rate falls", "[1, inf)")
    min_learning_rate: float = setting(0.0, "lower bound of the rate", "[0, inf)")

    def check(self, learning_rate: float, max_epochs: int) -> None:
        """Raise ConfigurationError if the lowest rate is above the initial one."""
        _check_lowest(self.min_learning_rate, learning_rate)

    def build(self, optimizer: "Optimizer", epochs: int, steps: int) -> dict[str, Any]:
        from torch.optim.lr_scheduler import ReduceLROnPlateau

        scheduler = ReduceLROnPlateau(
            optimizer,
            better(self.monitor),
            self.factor,
            self.patience - 1,  # torch waits for one epoch more than its patience
            threshold=0.0,
            min_lr=self.min_learning_rate,
        )
        return {"scheduler": scheduler, "monitor": self.monitor}


def _check_lowest(lowest: float, learning_rate: float) -> None:
    message = f"scheduler.min_learning_rate={lowest} is above optim.learning_rate={learning_rate}: set it lower"
    require(lowest <= learning_rate, message)
