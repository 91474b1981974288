"""What a training_step does with its batches: hand one loss to Lightning, or step by itself for each of a block."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.data.batches import Batch, Block, TrainingBatches
from dlproj.library_internals.lightning_internals import count_step
from dlproj.models.captured import CapturedSteps
from dlproj.models.sharding import disable_fused

if TYPE_CHECKING:
    from dlproj.models.pipeline import Pipeline


class StepsModule(pl.LightningModule, ABC):
    """A LightningModule that trains by Lightning's automatic optimisation, or in blocks by manual optimisation.

    StepsPerExecution sets which. In a block, what Lightning does around each training_step of its own is done here,
    without what it costs: a step of a small network takes 2 ms, a call 0.7. The weights are the same to the bit.
    """

    slow_steps = False  # whether a step on a CPU takes tenths of a second, beside which a call costs nothing

    def __init__(self, optim: OptimConfig, scheduler: SchedulerConfig) -> None:
        super().__init__()
        self.optim = optim
        self.scheduler = scheduler
        self.metrics_before: dict[str, float] = {}  # what a resumed run had logged
        self.captured_steps: CapturedSteps | None = None  # of a GPU: set by StepsPerExecution
        self.pipeline: Pipeline | None = None  # where the layers are in several processes: set by PipelineStrategy

    @abstractmethod
    def training_loss(self, batch: Batch) -> Tensor:
        """The loss of one batch, penalties included. What it notes beside that is added up by add_up()."""

    @abstractmethod
    def add_up(self) -> None:
        """Add up what training_loss() has noted: within captured steps, so that a replay does so, too."""

    @abstractmethod
    def forget(self) -> None:
        """Drop what training_loss() has noted of steps that came to nothing."""

    def training_step(self, batch: Batch | Block, batch_idx: int) -> Tensor | None:
        """The loss of one batch, for Lightning to step by; or a step for each batch of a block, by hand."""
        if self.automatic_optimization:
            assert not isinstance(batch, Block)
            return self.training_loss(batch)
        if isinstance(batch, Block):
            self._train(batch)
        else:  # of a loader that knows no blocks, after a training that did
            self._step_by_lightning(batch)
        if self.trainer.is_last_batch:
            self._step_scheduler("epoch")
        return None

    def _train(self, block: Block) -> None:
        batches = map(self.trainer.precision_plugin.convert_input, block)
        if self.captured_steps is None:
            self._train_one_by_one(batches)
        else:
            self._train_at_once(list(batches), self.captured_steps)

    def _train_one_by_one(self, batches: Iterable[Batch]) -> None:
        trainer = self.trainer
        left = trainer.max_steps - trainer.global_step if trainer.max_steps >= 0 else None
        alone = _alone(trainer)
        for batch in islice(batches, left):
            if alone:
                self._bare_step(batch)
                count_step(self.trainer)
                self._step_scheduler("step")
            else:
                self._step_by_lightning(batch)

    def _train_at_once(self, batches: list[Batch], captured: CapturedSteps) -> None:
        trainer = self.trainer
        self.add_up()  # what is noted so far is not of these steps
        beyond_limit = 0 <= trainer.max_steps < trainer.global_step + len(batches)
        if beyond_limit or not captured.ready(batches):
            self.forget()  # a capture that failed has noted what was never computed
            return self._train_one_by_one(batches)
        rates = []
        for _ in batches:
            rates.append(self.optimizer().param_groups[0]["lr"])
            count_step(self.trainer)
            self._step_scheduler("step")
        return captured.replay(batches, rates)

    def bare_steps(self, batches: Iterable[Batch]) -> None:
        """An optimizer step a batch with nothing of Lightning around it: what can be captured on a GPU."""
        for batch in batches:
            self._bare_step(batch)
        self.add_up()

    def _bare_step(self, batch: Batch) -> None:
        for parameter in self._trained:  # Optimizer.zero_grad takes ten times as long
            parameter.grad = None
        self.training_loss(batch).backward()
        self._clip()
        self.optimizer().optimizer.step()
        # Mixed precision keeps half-precision copies of the weights until its context ends, after the block.
        torch.clear_autocast_cache()

    def _step_by_lightning(self, batch: Batch) -> None:
        """The same by way of Lightning's strategy and precision, which know other processes and scaled gradients."""
        optimizer = self.optimizer()
        optimizer.zero_grad()
        self.manual_backward(self.training_loss(batch))
        self._clip()
        optimizer.step()
        torch.clear_autocast_cache()
        self._step_scheduler("step")

    def optimizer(self) -> LightningOptimizer:
        """The one optimizer, wrapped by Lightning to count its steps."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer

    def _clip(self) -> None:
        value, algorithm = self.trainer.gradient_clip_val, self.trainer.gradient_clip_algorithm
        if value is not None:
            self.configure_gradient_clipping(self.optimizer().optimizer, value, algorithm)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip as without mixed precision: there, Lightning refuses a fused optimizer, as if gradients were scaled.

        They are in 16-mixed alone, for which TrainerConfig refuses clipping.
        """
        algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
        if self.pipeline is not None and algorithm is GradClipAlgorithmType.NORM:
            self.pipeline.clip_norm(self._trained, gradient_clip_val or 0.0)
        else:
            Precision.clip_gradients(self.trainer.precision_plugin, optimizer, gradient_clip_val or 0.0, algorithm)

    def configure_optimizers(self) -> Any:
        """The optimizer and, unless the rate is constant, its schedule."""
        self._trained = [one for one in self.parameters() if one.requires_grad and not one.is_meta]
        optimizer = self.optim.build(self._trained)
        disable_fused(optimizer)
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

    def _step_scheduler(self, interval: str) -> None:
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


def _alone(trainer: pl.Trainer) -> bool:
    """Whether backward and optimizer step need nothing of Lightning: one device, no scaled gradients.

    Its way through strategy, precision and the hooks that nobody has takes a twentieth of a small network's step.
    """
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return isinstance(trainer.strategy, SingleDeviceStrategy) and scaler is None
