"""The choice, once before a fit, of how many batches a training_step gets and who steps the optimizer."""

import logging
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from dlproj.config.checks import require
from dlproj.config.trainer import needs_single_batches
from dlproj.data.base import DataModule
from dlproj.distributed.layer_split import LayerSplit
from dlproj.library_internals.lightning_internals import saves_within_epochs
from dlproj.models.optimized import OptimizedModule
from dlproj.training.batch_checks import check_batch_norm, check_interval
from dlproj.training.block_steps import BlockSteps
from dlproj.training.cuda_graph import CapturedSteps, why_not_capturable

_log = logging.getLogger(__name__)
STEPS = 50  # a call costs Lightning 0.7 ms: less than a hundredth of 50 steps of 2 ms
_BATCH_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)
# Batch hooks of these modules may run once per call: defaults, progress, time, and checkpoints per epoch.
_HOOKS_PER_CALL = (
    "dlproj.training.",
    "pytorch_lightning.core.hooks",
    "pytorch_lightning.callbacks.callback",
    "pytorch_lightning.callbacks.model_checkpoint",
    "pytorch_lightning.callbacks.progress",
    "pytorch_lightning.callbacks.timer",
)
_MONITORS = "dlproj.training.monitors."  # their hooks need each batch


def _validates_between(trainer: Any, batches: int, steps: int) -> bool:
    """True if validation would fall within a block, or after an incomplete last block, which counts as a full one."""
    interval = trainer.val_check_interval
    if isinstance(interval, int):
        return bool(interval % steps or batches % steps)
    return interval != 1.0


class StepsPerExecution(Callback):
    """Makes the data module yield `steps` batches per call, for each of which the model steps, like Keras's setting.

    With cuda_graph the steps of a call are captured and replayed on a GPU if possible; the log says why not. "auto" is
    50, but 1 if something needs each batch by itself, if a step on the CPU takes so long that a call costs nothing in
    comparison, or if the loader is not a DataModule's.
    """

    def __init__(self, steps: int | str = "auto", cuda_graph: bool = True, pipes: bool = False) -> None:
        self.setting = steps
        self.steps = 1
        self.cuda_graph = cuda_graph
        self.pipes = pipes  # True if the strategy is a pipeline, which computes gradients along with the loss

    def state_dict(self) -> dict[str, Any]:
        """Keep the batches per call: Lightning counts calls, so a run must be resumed with the same."""
        return {"steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raise ConfigurationError if the run was started with other batches per call."""
        before = state_dict["steps"]
        message = f"the run started with {before} batches per call, not {self.steps}: resume it where it was started"
        require(before == self.steps, message)

    def setup(self, trainer: pl.Trainer, model: pl.LightningModule, stage: str) -> None:
        """Choose the steps before Lightning reads the loader's length and the optimizers. Raises ConfigurationError."""
        if stage == "fit":
            check_interval(trainer)
            check_batch_norm(trainer, model)
            self.steps = self._choose(trainer, model)
            # Not undone after the fit: Lightning computes global_step differently for the two ways.
            if isinstance(model, OptimizedModule):
                model.step_by(BlockSteps(model) if self.steps > 1 or self.pipes else None)
            _hand_out(trainer, self.steps)
            _scale_limits(trainer, lambda batches: batches // self.steps)

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Set up CUDA graphs, if the steps can be captured."""
        if trainer.strategy.root_device.type != "cuda" or not self.cuda_graph or not isinstance(model, OptimizedModule):
            return
        if reason := self._why_no_graph(trainer):
            _log.info("no CUDA graph: %s", reason)
        elif isinstance(model.stepper, BlockSteps):
            model.stepper.captured = CapturedSteps(model.stepper.bare_steps, trainer.optimizers[0])

    def _why_no_graph(self, trainer: pl.Trainer) -> str | None:
        if self.steps == 1:
            return "each call has a single batch"
        data = trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        if len(data.samples) < self.steps * data.batch_size:
            return f"an epoch has fewer than {self.steps} full batches: set trainer.steps_per_execution lower"
        if trainer.world_size > 1:
            return "several processes train together"
        if isinstance(trainer.strategy, LayerSplit):
            return "the layers are on several devices"
        if trainer.precision == "16-mixed":
            return "16-mixed checks each step's gradients on the host, bf16-mixed does not"
        if any(getattr(one.scheduler, "cycle_momentum", False) for one in trainer.lr_scheduler_configs):
            return "the momentum changes with each step: set scheduler.cycle_momentum=false"
        return why_not_capturable(trainer.optimizers[0])

    def teardown(self, trainer: pl.Trainer, model: pl.LightningModule, stage: str) -> None:
        """Restore the trainer, and free the CUDA graph."""
        if stage == "fit":
            if isinstance(model, OptimizedModule) and isinstance(model.stepper, BlockSteps):
                model.stepper.captured = None
            _hand_out(trainer, 1)
            _scale_limits(trainer, lambda calls: calls * self.steps)

    def _choose(self, trainer: pl.Trainer, model: pl.LightningModule) -> int:
        if self.setting == 1:
            return 1
        steps = STEPS if self.setting == "auto" else int(self.setting)
        obstacle = self._obstacle(trainer, model, steps)
        if self.setting == "auto":
            slow = (
                isinstance(model, OptimizedModule) and model.slow_steps and trainer.strategy.root_device.type == "cpu"
            )
            return 1 if obstacle or slow else steps
        require(obstacle is None, f"{obstacle} needs each batch by itself: set trainer.steps_per_execution=1")
        return steps

    @staticmethod
    def _obstacle(trainer: pl.Trainer, model: pl.LightningModule, steps: int) -> str | None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, DataModule) or not isinstance(model, OptimizedModule):
            return "a loader that yields single batches"
        for owner in (model, *trainer.callbacks):  # type: ignore[attr-defined]
            if hook := _batch_hook(owner):
                return f"{type(owner).__name__}.{hook}"
        if _validates_between(trainer, data.train_dataloader().batches, steps):
            return f"val_check_interval={trainer.val_check_interval}"
        return needs_single_batches(steps, trainer.accumulate_grad_batches, trainer.limit_train_batches)


class ValidateAtLimit(Callback):
    """Has an epoch that trainer.max_steps cuts short end with a validation, like any other."""

    def on_train_batch_end(self, trainer: pl.Trainer, model: pl.LightningModule, *args: Any) -> None:
        """Stop at the limit: Lightning validates before it stops for this reason, but not for max_steps alone."""
        trainer.should_stop = trainer.should_stop or trainer.global_step >= trainer.max_steps


def _hand_out(trainer: Any, steps: int) -> None:
    if isinstance(trainer.datamodule, DataModule):
        trainer.datamodule.steps_per_execution = steps


def _scale_limits(trainer: Any, scaled: Callable[[int], int]) -> None:
    """Convert limits between the settings' batches and Lightning's calls."""
    for name in ("limit_train_batches", "val_check_interval"):
        value = getattr(trainer, name)
        if isinstance(value, int):
            setattr(trainer, name, scaled(value))


def _batch_hook(owner: Callback | pl.LightningModule) -> str | None:
    if isinstance(owner, ModelCheckpoint) and saves_within_epochs(owner):
        return "every_n_train_steps"
    for name in _BATCH_HOOKS:
        module = getattr(owner, name).__module__  # not of the class: a LambdaCallback sets hooks on the instance
        if module.startswith(_MONITORS) or not module.startswith(_HOOKS_PER_CALL):
            return name
    return None
