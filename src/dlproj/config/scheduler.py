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

    warmup_epochs: float = setting(
        0.0, "epochs in which the rate rises before the schedule starts, fewer than trainer.max_epochs", "[0, inf)"
    )

    def __post_init__(self) -> None:
        check_ranges(self, "scheduler.")

    def check(self, learning_rate: float, max_epochs: int) -> None:
        """Raise ConfigurationError if the schedule does not fit the initial rate or the number of epochs."""
        message = f"scheduler.warmup_epochs={self.warmup_epochs} leaves nothing of trainer.max_epochs={max_epochs}"
        require(self.warmup_epochs < max_epochs, f"{message}: set it lower")
        lowest = getattr(self, "min_learning_rate", 0.0)
        message = f"scheduler.min_learning_rate={lowest} is above optim.learning_rate={learning_rate}: set it lower"
        require(lowest <= learning_rate, message)

    def check_read(self) -> None:
        """Raise ConfigurationError if a setting has no effect in combination with the others."""

    def build(self, optimizer: "Optimizer", epochs: float, steps: int) -> dict[str, Any]:
        """Lightning's configuration of the schedule after the warm-up, empty if constant.

        epochs: of the whole training; steps: without those of the warm-up.
        """
        return {}

    def schedules(self, optimizer: "Optimizer", epochs: float, steps: int) -> list[dict[str, Any]]:
        """Lightning's configurations of the schedule and its warm-up. epochs, steps: of the whole training.

        In the warm-up of w steps, step i = 0, 1, … has (i + 1) / (w + 1) of the initial rate. A schedule that changes
        by epochs counts those that begin after it. Raises ConfigurationError if the warm-up takes all steps.
        """
        warmup = round(steps * self.warmup_epochs / epochs)
        message = f"scheduler.warmup_epochs={self.warmup_epochs} takes all {steps} steps of training: set it lower"
        require(warmup == 0 or warmup < steps, message)
        own = self.build(optimizer, epochs, max(1, steps - warmup))
        if warmup == 0:
            return [own] if own else []
        from torch.optim.lr_scheduler import LinearLR, SequentialLR

        rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        if own.get("interval") == "step":
            return [own | {"scheduler": SequentialLR(optimizer, [rise, own["scheduler"]], [warmup])}]
        return [*([own] if own else []), {"scheduler": rise, "interval": "step"}]


@dataclass(slots=True)
class StepConfig(SchedulerConfig):
    """Multiply the rate by gamma every step_size epochs."""

    step_size: int = setting(10, "epochs between two changes", "[1, inf)")
    gamma: float = setting(0.1, "factor that the rate is multiplied by", "(0, 1]")

    def build(self, optimizer: "Optimizer", epochs: float, steps: int) -> dict[str, Any]:
        from torch.optim.lr_scheduler import StepLR

        return {"scheduler": StepLR(optimizer, self.step_size, self.gamma)}


@dataclass(slots=True)
class ExponentialConfig(SchedulerConfig):
    """Multiply the rate by gamma after each epoch."""

    gamma: float = setting(0.95, "factor that the rate is multiplied by", "(0, 1]")

    def build(self, optimizer: "Optimizer", epochs: float, steps: int) -> dict[str, Any]:
        from torch.optim.lr_scheduler import ExponentialLR

        return {"scheduler": ExponentialLR(optimizer, self.gamma)}


@dataclass(slots=True)
class CosineConfig(SchedulerConfig):
    """Half a cosine down to the end of training, updated after each step."""

    lengthens: ClassVar[bool] = False

    min_learning_rate: float = setting(0.0, "final rate", "[0, inf)")

    def build(self, optimizer: "Optimizer", epochs: float, steps: int) -> dict[str, Any]:
        from torch.optim.lr_scheduler import CosineAnnealingLR

        return {"scheduler": CosineAnnealingLR(optimizer, steps, self.min_learning_rate), "interval": "step"}


@dataclass(slots=True)
class OneCycleConfig(SchedulerConfig):
    """One cycle (Smith & Topin 2018): up to optim.learning_rate and down to almost 0, along half a cosine each."""

    lengthens: ClassVar[bool] = False

    pct_start: float = setting(0.3, "share of the steps in which the rate rises", "(0, 1)")
    div_factor: float = setting(25.0, "optim.learning_rate divided by the initial rate", "[1, inf)")
    final_div_factor: float = setting(1e4, "the initial rate divided by the final one", "[1, inf)")
    cycle_momentum: bool = setting(
        True, "lower momentum (Adam's beta1) while the rate rises, and raise it again; if the optimizer has any"
    )
    base_momentum: float = setting(0.85, "momentum at the highest rate", "[0, 1)")
    max_momentum: float = setting(0.95, "momentum at the start and the end", "[0, 1)")

    def check(self, learning_rate: float, max_epochs: int) -> None:
        """Raise ConfigurationError for a warm-up, or a momentum that would not fall as the rate rises."""
        message = "scheduler=one_cycle rises by itself: set scheduler.pct_start instead of scheduler.warmup_epochs"
        require(self.warmup_epochs == 0, message)
        low, high = self.base_momentum, self.max_momentum
        message = f"scheduler.base_momentum={low} is above scheduler.max_momentum={high}: set it lower"
        require(low <= high, message)

    def check_read(self) -> None:
        """Raise ConfigurationError if the ends of momentum are set, which nothing reads without cycle_momentum."""
        default = type(self)()
        ends = (default.base_momentum, default.max_momentum)
        message = (
            "scheduler.base_momentum and max_momentum need scheduler.cycle_momentum=true: set it or leave them out"
        )
        require(self.cycle_momentum or (self.base_momentum, self.max_momentum) == ends, message)

    def build(self, optimizer: "Optimizer", epochs: float, steps: int) -> dict[str, Any]:
        from torch.optim.lr_scheduler import OneCycleLR

        total = max(3, steps)  # torch divides by zero if a phase is a single step
        defaults = optimizer.defaults
        scheduler = OneCycleLR(
            optimizer,
            [group["lr"] for group in optimizer.param_groups],
            total,
            pct_start=max(self.pct_start, 2 / total),
            cycle_momentum=self.cycle_momentum and bool(defaults.get("momentum") or "betas" in defaults),
            base_momentum=self.base_momentum,
            max_momentum=self.max_momentum,
            div_factor=self.div_factor,
            final_div_factor=self.final_div_factor,
        )
        return {"scheduler": scheduler, "interval": "step"}


@dataclass(slots=True)
class PlateauConfig(SchedulerConfig):
    """Multiply the rate by `factor` after `patience` epochs without improvement, counted as in early stopping."""

    monitor: str = setting("val/loss", "metric to watch", choices=VALIDATION_METRICS)
    factor: float = setting(0.1, "factor that the rate is multiplied by", "(0, 1)")
    patience: int = setting(3, "epochs without improvement before the rate falls", "[1, inf)")
    min_learning_rate: float = setting(0.0, "lower bound of the rate", "[0, inf)")

    def build(self, optimizer: "Optimizer", epochs: float, steps: int) -> dict[str, Any]:
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
