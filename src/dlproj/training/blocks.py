"""Several training batches a call: one training_step does an optimizer step for each of them."""

import logging
from collections.abc import Callable
from typing import Any, NoReturn

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import nn

from dlproj.config.checks import ConfigurationError, require
from dlproj.config.trainer import needs_single_batches
from dlproj.data.base import DataModule
from dlproj.data.batches import EvaluationBatches
from dlproj.library_internals.lightning_internals import saves_within_epochs
from dlproj.models.captured import CapturedSteps, why_not_capturable
from dlproj.models.classifier import Classifier
from dlproj.models.steps import StepsModule
from dlproj.training.layer_split import LayerSplit

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


def _check_interval(trainer: Any) -> None:
    """Raise ConfigurationError where no validation would come within an epoch."""
    interval, data = trainer.val_check_interval, trainer.datamodule
    if isinstance(interval, int) and isinstance(data, DataModule):
        batches, limit = data.train_dataloader().batches, trainer.limit_train_batches
        batches = min(batches, limit) if isinstance(limit, int) else batches
        message = f"trainer.val_check_interval={interval} is more than the {batches} training batches of an epoch"
        require(interval <= batches, f"{message}: set it lower or leave it unset")


def _check_batch_norm(trainer: Any, model: pl.LightningModule) -> None:
    """Raise ConfigurationError where batch norm over the samples alone would get a batch of one."""
    if not _has_batch_norm(model) or not isinstance(trainer.datamodule, DataModule):
        return
    data, limit = trainer.datamodule.train_dataloader(), trainer.limit_train_batches
    samples, size = len(data.samples), data.batch_size
    if data.smallest(limit if isinstance(limit, int) else None) == 1:
        _refuse_batch_of_one(samples, size, "data.batch_size", ["data.drop_last=true"] * (1 < size < samples))
    if isinstance(model, Classifier):
        val = trainer.datamodule.val_dataloader()
        for batches in val if isinstance(val, list) else [val]:
            check_evaluation(model, batches, trainer.limit_val_batches)
        check_evaluation(model, trainer.datamodule.test_dataloader(), trainer.limit_test_batches)


def check_evaluation(model: Classifier, batches: EvaluationBatches, limit: int | float | None) -> None:
    """Raise ConfigurationError where batch norm that is evaluated in training mode would get a batch of one.

    limit: how many batches are evaluated; all, if it is not a whole number.
    """
    samples, size = len(batches.samples), batches.batch_size
    last = samples % size == 1 and not (isinstance(limit, int) and limit <= samples // size)
    if not model.eval_mode and _has_batch_norm(model) and (size == 1 or last):
        _refuse_batch_of_one(samples, size, "data.eval_batch_size", ["model.eval_mode=true"])


def _has_batch_norm(model: nn.Module) -> bool:
    return any(isinstance(one, nn.BatchNorm1d | nn.SyncBatchNorm) for one in model.modules())


def _refuse_batch_of_one(samples: int, size: int, setting: str, ways: list[str]) -> NoReturn:
    other = next((other for other in range(size + 1, samples + 1) if samples % other != 1), None)
    ways = ways + [f"{setting}={other}"] * (other is not None)
    message = f"batch norm needs at least 2 samples a batch, and {samples:,} in batches of {size} leave a batch of 1"
    raise ConfigurationError(f"{message}: set {' or '.join(ways) or 'model.batch_norm=false'}")


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
            _check_interval(trainer)
            _check_batch_norm(trainer, model)
            self.steps = self._choose(trainer, model)
            # It stays so after the fit: Lightning's global_step is that of the one or the other way.
            model.automatic_optimization = self.steps == 1 and not self.pipes
            _hand_out(trainer, self.steps)
            _scale_limits(trainer, lambda batches: batches // self.steps)

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Let the GPU do the steps of a call at once."""
        if trainer.strategy.root_device.type != "cuda" or not self.cuda_graph or not isinstance(model, StepsModule):
            return
        if reason := self._why_no_graph(trainer):
            _log.info("no CUDA graph: %s", reason)
        else:
            model.captured_steps = CapturedSteps(model.bare_steps, trainer.optimizers[0])

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
            model.captured_steps = None  # type: ignore[assignment]
            _hand_out(trainer, 1)
            _scale_limits(trainer, lambda calls: calls * self.steps)

    def _choose(self, trainer: pl.Trainer, model: pl.LightningModule) -> int:
        if self.setting == 1:
            return 1
        steps = STEPS if self.setting == "auto" else int(self.setting)
        obstacle = self._obstacle(trainer, model, steps)
        if self.setting == "auto":
            slow = isinstance(model, StepsModule) and model.slow_steps and trainer.strategy.root_device.type == "cpu"
            return 1 if obstacle or slow else steps
        require(obstacle is None, f"{obstacle} needs each batch by itself: set trainer.steps_per_execution=1")
        return steps

    @staticmethod
    def _obstacle(trainer: pl.Trainer, model: pl.LightningModule, steps: int) -> str | None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, DataModule) or not isinstance(model, StepsModule):
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
