"""How many batches a training_step gets, and who steps the optimizer: decided once, before a fit."""

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
STEPS = 50  # Lightning takes 0.7 ms for a call: less than a hundredth of 50 steps of 2 ms
_BATCH_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)
# Whose hooks by the batch may as well come once a call: defaults, progress, time, and checkpoints by the epoch.
_CONTENT_WITH_CALLS = (
    "dlproj.training.",
    "pytorch_lightning.core.hooks",
    "pytorch_lightning.callbacks.callback",
    "pytorch_lightning.callbacks.model_checkpoint",
    "pytorch_lightning.callbacks.progress",
    "pytorch_lightning.callbacks.timer",
)
_MONITORS = "dlproj.training.monitors."  # whose hooks want each batch


def _validates_between(trainer: Any, batches: int, steps: int) -> bool:
    """Whether validation comes within a block, or after a last block that is not whole and yet counts as one."""
    interval = trainer.val_check_interval
    if isinstance(interval, int):
        return bool(interval % steps or batches % steps)
    return interval != 1.0


class StepsPerExecution(Callback):
    """Makes the data module hand out so many batches a call, and the model step by itself, as Keras's setting does.

    With cuda_graph the steps of a call are captured and replayed on a GPU, where they can be; the log says why not.
    "auto" is 50, and 1 where something needs each batch by itself, where a step on the CPU takes so long that a call
    costs nothing beside it, or where the data comes from elsewhere.
    """

    def __init__(self, steps: int | str = "auto", cuda_graph: bool = True, pipes: bool = False) -> None:
        self.setting = steps
        self.steps = 1
        self.cuda_graph = cuda_graph
        self.pipes = pipes  # whether the strategy is a pipeline, whose gradients come with the loss

    def state_dict(self) -> dict[str, Any]:
        """Lightning counts calls: with other blocks a checkpoint would lead elsewhere."""
        return {"steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raise ConfigurationError where they are others here."""
        began = state_dict["steps"]
        message = f"the run began with {began} batches a call, here there are {self.steps}: go on where it began"
        require(began == self.steps, message)

    def setup(self, trainer: pl.Trainer, model: pl.LightningModule, stage: str) -> None:
        """Before Lightning reads the loader's length and the optimizers. Raises ConfigurationError."""
        if stage == "fit":
            check_interval(trainer)
            check_batch_norm(trainer, model)
            self.steps = self._choose(trainer, model)
            # It stays so after the fit: Lightning's global_step is that of the one or the other way.
            if isinstance(model, OptimizedModule):
                model.step_by(BlockSteps(model) if self.steps > 1 or self.pipes else None)
            _hand_out(trainer, self.steps)
            _scale_limits(trainer, lambda batches: batches // self.steps)

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Let the GPU do the steps of a call at once."""
        if trainer.strategy.root_device.type != "cuda" or not self.cuda_graph or not isinstance(model, OptimizedModule):
            return
        if reason := self._why_no_graph(trainer):
            _log.info("no CUDA graph: %s", reason)
        elif isinstance(model.stepper, BlockSteps):
            model.stepper.captured = CapturedSteps(model.stepper.bare_steps, trainer.optimizers[0])

    def _why_no_graph(self, trainer: pl.Trainer) -> str | None:
        if self.steps == 1:
            return "the batches come one by one"
        data = trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        if len(data.samples) < self.steps * data.batch_size:
            return (
                f"an epoch is less than the {self.steps} whole batches of a call: set trainer.steps_per_execution lower"
            )
        if trainer.world_size > 1:
            return "several processes train together"
        if isinstance(trainer.strategy, LayerSplit):
            return "the layers are on several devices"
        if trainer.precision == "16-mixed":
            return "16-mixed looks at each step's gradients on the host: bf16-mixed does not"
        return why_not_capturable(trainer.optimizers[0])

    def teardown(self, trainer: pl.Trainer, model: pl.LightningModule, stage: str) -> None:
        """Leave the trainer as it was, and the GPU without the graph."""
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
            return "a loader that hands out single batches"
        for one in (model, *trainer.callbacks):  # type: ignore[attr-defined]
            if hook := _hook_by_the_batch(one):
                return f"{type(one).__name__}.{hook}"
        if _validates_between(trainer, data.train_dataloader().batches, steps):
            return f"val_check_interval={trainer.val_check_interval}"
        return needs_single_batches(steps, trainer.accumulate_grad_batches, trainer.limit_train_batches)


def _hand_out(trainer: Any, steps: int) -> None:
    if isinstance(trainer.datamodule, DataModule):
        trainer.datamodule.steps_per_execution = steps


def _scale_limits(trainer: Any, scaled: Callable[[int], int]) -> None:
    """Lightning counts calls where the settings count batches."""
    for name in ("limit_train_batches", "val_check_interval"):
        value = getattr(trainer, name)
        if isinstance(value, int):
            setattr(trainer, name, scaled(value))


def _hook_by_the_batch(one: Callback | pl.LightningModule) -> str | None:
    if isinstance(one, ModelCheckpoint) and saves_within_epochs(one):
        return "every_n_train_steps"
    for name in _BATCH_HOOKS:
        module = getattr(one, name).__module__  # of the object: a LambdaCallback carries its hooks itself
        if module.startswith(_MONITORS) or not module.startswith(_CONTENT_WITH_CALLS):
            return name
    return None
