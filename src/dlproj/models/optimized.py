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
        """Return the optimizer and its schedules, none if the learning rate is constant."""
        self.trained = self.execution.trained_parameters()
        optimizer = self.optim.build(self.parameter_groups())
        schedules = self.scheduler.schedules(optimizer, *self.training_length())
        self._plateau_monitor = next((schedule["monitor"] for schedule in schedules if "monitor" in schedule), "")
        if not self.automatic_optimization:  # Lightning then accepts no monitor; step_plateau() steps
            for schedule in schedules:
                schedule.pop("monitor", None)
        return [optimizer], schedules

    def parameter_groups(self) -> list[nn.Parameter] | list[dict[str, Any]]:
        """Return what the optimizer is built of: the trained parameters, or a group of each layer by layer_decay."""
        in_layers = self.optim.layer_decay != 1
        return self.optim.groups(self.execution.trained_layers()) if in_layers else self.trained

    def training_length(self) -> tuple[float, int]:
        """Return the epochs and optimizer steps of the whole training."""
        trainer = self.trainer
        if trainer.train_dataloader is None:
            trainer.fit_loop.setup_data()
        batches, loader = int(trainer.num_training_batches), trainer.train_dataloader
        if not self.automatic_optimization and isinstance(loader, TrainingBatches):
            batches = loader.batches_in(batches)
        steps_an_epoch = -(-batches // trainer.accumulate_grad_batches)
        epochs = trainer.max_epochs or 1  # -1: no limit
        if trainer.max_steps >= 0 and not 0 < epochs * steps_an_epoch <= trainer.max_steps:
            return trainer.max_steps / steps_an_epoch, trainer.max_steps
        return epochs, epochs * steps_an_epoch

    def step_scheduler(self, interval: str) -> None:
        """Step the schedules of this interval, "step" or "epoch"."""
        if interval == "epoch" and self._is_warming_up():
            return
        for config in self.trainer.lr_scheduler_configs:
            if config.interval == interval and not isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step()

    def _is_warming_up(self) -> bool:
        """True if the current epoch began within the warm-up; schedules that change by epochs do not count it."""
        return self.trainer.current_epoch < self.scheduler.warmup_epochs

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Let Lightning step all but a plateau schedule, which would come too late for the epoch's checkpoint."""
        if metric is None and not (self._is_warming_up() and self._is_stepped_by_epoch(scheduler)):
            super().lr_scheduler_step(scheduler, metric)

    def _is_stepped_by_epoch(self, scheduler: Any) -> bool:
        return any(one.scheduler is scheduler and one.interval == "epoch" for one in self.trainer.lr_scheduler_configs)

    def step_plateau(self) -> None:
        """Step a plateau schedule with the metrics logged for the epoch, unless it began within the warm-up."""
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ReduceLROnPlateau) and not self._is_warming_up():
                config.scheduler.step(self.latest_metrics()[self._plateau_monitor])

    def latest_metrics(self) -> dict[str, float]:
        """Return the last logged value of each metric, including those from before a run was resumed."""
        return self.metrics_before | {key: float(value) for key, value in self.trainer.callback_metrics.items()}
