"""A LightningModule with one optimizer and its schedule, stepped by Lightning or by a stepper of training/."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.data.batches import Batch, Block, TrainingBatches
from dlproj.models.execution import Execution

Stepper = Callable[[Batch | Block], None]


class OptimizedModule(pl.LightningModule, ABC):
    """Trains by Lightning's automatic optimisation, or by a stepper's manual one; the weights are the same to the bit.

    A subclass gives the loss of a batch.
    """

    slow_steps = False  # True if a step on a CPU takes tenths of a second, beside which a call costs nothing
    execution: Execution

    def __init__(self, optim: OptimConfig, scheduler: SchedulerConfig) -> None:
        super().__init__()
        self.optim = optim
        self.scheduler = scheduler
        self.stepper: Stepper | None = None
        self.trained: list[nn.Parameter] = []  # what this process's optimizer steps: set by configure_optimizers()
        self.metrics_before: dict[str, float] = {}  # what a resumed run had logged

    @abstractmethod
    def training_loss(self, batch: Batch) -> Tensor:
        """The loss of one batch, penalties included. What it notes beside that is added up by add_up()."""

    @abstractmethod
    def add_up(self) -> None:
        """Add up what training_loss() has noted: within captured steps, so that a replay does so, too."""

    @abstractmethod
    def forget(self) -> None:
        """Drop what training_loss() has noted of steps that came to nothing."""

    def step_by(self, stepper: Stepper | None) -> None:
        """Have each training_step() hand what the loader gives to `stepper`; None: Lightning steps by itself."""
        self.stepper = stepper
        self.automatic_optimization = stepper is None

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """The loss of one batch, for Lightning to step by; None where the stepper has done so."""
        if self.stepper is None:
            return self.training_loss(batch)
        self.stepper(batch)
        if self.trainer.is_last_batch:
            self.step_scheduler("epoch")
        return None

    def optimizer(self) -> LightningOptimizer:
        """The one optimizer, wrapped by Lightning to count its steps."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer

    def clip(self) -> None:
        """Clip the gradients as the trainer's settings say: Lightning does so in automatic optimisation alone."""
        limit, algorithm = self.trainer.gradient_clip_val, self.trainer.gradient_clip_algorithm
        if limit is not None:
            self.configure_gradient_clipping(self.optimizer().optimizer, limit, algorithm)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients, wherever they are."""
        algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
        self.execution.clip_gradients(optimizer, gradient_clip_val or 0.0, algorithm)

    def configure_optimizers(self) -> Any:
        """The optimizer and, unless the rate is constant, its schedule."""
        self.trained = self.execution.trained_parameters()
        optimizer = self.optim.build(self.trained)
        schedule = self.scheduler.build(optimizer, self.trainer.max_epochs or 1, self._total_steps())
        self._plateau_monitor = schedule.get("monitor", "")
        if not self.automatic_optimization:  # Lightning, which would not step a plateau then, wants no monitor
            schedule.pop("monitor", None)
        return {"optimizer": optimizer, "lr_scheduler": schedule} if schedule else optimizer

    def _total_steps(self) -> int:
        executions = int(self.trainer.estimated_stepping_batches)  # reads the loader where it has not been read yet
        loader = self.trainer.train_dataloader
        if self.automatic_optimization or not isinstance(loader, TrainingBatches):
            return executions
        executions_an_epoch = int(self.trainer.num_training_batches)
        return executions // executions_an_epoch * loader.batches_in(executions_an_epoch)

    def step_scheduler(self, interval: str) -> None:
        """Step the schedule where it goes by this interval, "step" or "epoch"."""
        for config in self.trainer.lr_scheduler_configs:
            if config.interval == interval and not isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step()

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step what Lightning steps at the right time: not a plateau, which would miss the epoch's checkpoint."""
        if metric is None:
            super().lr_scheduler_step(scheduler, metric)

    def step_plateau(self) -> None:
        """Tell a plateau schedule how the epoch went, whose metrics are logged."""
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step(self.latest_metrics()[self._plateau_monitor])

    def latest_metrics(self) -> dict[str, float]:
        """Each metric as it was logged last, before a resumed run was stopped, too."""
        return self.metrics_before | {key: float(value) for key, value in self.trainer.callback_metrics.items()}
