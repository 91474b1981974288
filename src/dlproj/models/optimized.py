"""A LightningModule with one optimizer and a schedule, stepped by Lightning or by a stepper from training/."""

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
    """Trains by Lightning's automatic optimisation or manually by a stepper, with bit-identical weights.

    A subclass defines the loss of a batch.
    """

    slow_steps = False  # True if a step on a CPU takes tenths of a second, so that a call costs nothing in comparison
    execution: Execution

    def __init__(self, optim: OptimConfig, scheduler: SchedulerConfig) -> None:
        super().__init__()
        self.optim = optim
        self.scheduler = scheduler
        self.stepper: Stepper | None = None
        self.trained: list[nn.Parameter] = []  # what this process's optimizer updates: set by configure_optimizers()
        self.metrics_before: dict[str, float] = {}  # logged before a resumed run was stopped

    @abstractmethod
    def training_loss(self, batch: Batch) -> Tensor:
        """Return the loss of one batch, penalties included. Metrics it records are added up by add_up()."""

    @abstractmethod
    def add_up(self) -> None:
        """Add up what training_loss() has recorded; captured in a CUDA graph, so that a replay adds up, too."""

    @abstractmethod
    def forget(self) -> None:
        """Drop what training_loss() has recorded of failed steps."""

    def step_by(self, stepper: Stepper | None) -> None:
        """Let `stepper` do each training_step() with what the loader yields; None for automatic optimisation."""
        self.stepper = stepper
        self.automatic_optimization = stepper is None

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Return the loss of one batch for automatic optimisation, or None after the stepper has taken its steps."""
        if self.stepper is None:
            return self.training_loss(batch)
        self.stepper(batch)
        if self.trainer.is_last_batch:
            self.step_scheduler("epoch")
        return None

    def optimizer(self) -> LightningOptimizer:
        """Return the optimizer, wrapped by Lightning to count its steps."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer

    def clip(self) -> None:
        """Clip the gradients as the trainer's settings say: Lightning only does so in automatic optimisation."""
        limit, algorithm = self.trainer.gradient_clip_val, self.trainer.gradient_clip_algorithm
        if limit is not None:
            self.configure_gradient_clipping(self.optimizer().optimizer, limit, algorithm)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients of all processes that hold a part of them."""
        algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
        self.execution.clip_gradients(optimizer, gradient_clip_val or 0.0, algorithm)

    def configure_optimizers(self) -> Any:
        """Return the optimizer and, unless the learning rate is constant, its schedule."""
        self.trained = self.execution.trained_parameters()
        optimizer = self.optim.build(self.trained)
        schedule = self.scheduler.build(optimizer, self.trainer.max_epochs or 1, self.total_steps())
        self._plateau_monitor = schedule.get("monitor", "")
        if not self.automatic_optimization:  # Lightning then accepts no monitor; step_plateau() steps
            schedule.pop("monitor", None)
        return {"optimizer": optimizer, "lr_scheduler": schedule} if schedule else optimizer

    def total_steps(self) -> int:
        """Return the optimizer steps of the whole training."""
        executions = int(self.trainer.estimated_stepping_batches)  # reads the loader if it has not been read yet
        loader = self.trainer.train_dataloader
        if self.automatic_optimization or not isinstance(loader, TrainingBatches):
            return executions
        executions_an_epoch = int(self.trainer.num_training_batches)
        return executions // executions_an_epoch * loader.batches_in(executions_an_epoch)

    def step_scheduler(self, interval: str) -> None:
        """Step the schedule if its interval is this one, "step" or "epoch"."""
        for config in self.trainer.lr_scheduler_configs:
            if config.interval == interval and not isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step()

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Let Lightning step all but a plateau schedule, which would come too late for the epoch's checkpoint."""
        if metric is None:
            super().lr_scheduler_step(scheduler, metric)

    def step_plateau(self) -> None:
        """Step a plateau schedule with the metrics logged for the epoch."""
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step(self.latest_metrics()[self._plateau_monitor])

    def latest_metrics(self) -> dict[str, float]:
        """Return the last logged value of each metric, including those from before a run was resumed."""
        return self.metrics_before | {key: float(value) for key, value in self.trainer.callback_metrics.items()}
