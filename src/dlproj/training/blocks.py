"""Several training batches a call: one training_step does an optimizer step for each of them."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from dlproj.data.base import DataModule
from dlproj.models.classifier import Classifier
from dlproj.settings import require

STEPS = 20  # at which what Lightning does around a call has become small beside the steps of the smallest networks
_BATCH_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)


def needs_single_batches(steps: int, accumulated: int, limit: float | None) -> str | None:
    """The setting that does not go with so many batches a call, if there is one.

    limit is Lightning's limit_train_batches: a number of batches, a float share of them, or None for all.
    """
    if accumulated > 1:
        return f"accumulate_grad_batches={accumulated}"
    whole = limit % steps == 0 if isinstance(limit, int) else limit in (None, 1.0)
    return None if whole else f"limit_train_batches={limit}"


def _validates_between(trainer: Any, batches: int, steps: int) -> bool:
    """Whether validation comes within a block, or after a last block that is not whole and yet counts as one."""
    interval = trainer.val_check_interval
    if isinstance(interval, int):
        return bool(interval % steps or batches % steps)
    return interval != 1.0


class StepsPerExecution(Callback):
    """Makes the data module hand out so many batches a call, and the model step by itself, as Keras's setting does.

    "auto" is 20, and 1 where something needs each batch by itself, where a step on the CPU takes so long that a call
    costs nothing beside it, or where the data comes from elsewhere.
    """

    def __init__(self, steps: int | str = "auto") -> None:
        self.setting = steps
        self.steps = 1

    def setup(self, trainer: pl.Trainer, model: pl.LightningModule, stage: str) -> None:
        """Before Lightning reads the loader's length and the optimizers. Raises ConfigurationError."""
        if stage == "fit":
            self.steps = self._choose(trainer, model)
            if self.steps > 1:
                self._switch(trainer, model, by_hand=True)

    def teardown(self, trainer: pl.Trainer, model: pl.LightningModule, stage: str) -> None:
        """Leave trainer and model as they were."""
        if stage == "fit" and self.steps > 1:
            self._switch(trainer, model, by_hand=False)

    def _choose(self, trainer: pl.Trainer, model: pl.LightningModule) -> int:
        if self.setting == 1:
            return 1
        steps = STEPS if self.setting == "auto" else int(self.setting)
        obstacle = self._obstacle(trainer, model, steps)
        if self.setting == "auto":
            slow = isinstance(model, Classifier) and model.slow_steps and trainer.strategy.root_device.type == "cpu"
            return 1 if obstacle or slow else steps
        require(obstacle is None, f"{obstacle} needs each batch by itself: set trainer.steps_per_execution=1")
        return steps

    @staticmethod
    def _obstacle(trainer: pl.Trainer, model: pl.LightningModule, steps: int) -> str | None:
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, DataModule) or not isinstance(model, Classifier):
            return "a loader that hands out single batches"
        for one in (model, *trainer.callbacks):  # type: ignore[attr-defined]
            if hook := _hook_of_the_users_own(one):
                return f"{type(one).__name__}.{hook}"
        if _validates_between(trainer, data.train_dataloader().batches, steps):
            return f"val_check_interval={trainer.val_check_interval}"
        return needs_single_batches(steps, trainer.accumulate_grad_batches, trainer.limit_train_batches)

    def _switch(self, trainer: Any, model: pl.LightningModule, by_hand: bool) -> None:
        model.automatic_optimization = not by_hand
        trainer.datamodule.steps_per_execution = self.steps if by_hand else 1
        for name in ("limit_train_batches", "val_check_interval"):  # Lightning counts calls
            value = getattr(trainer, name)
            if isinstance(value, int):
                setattr(trainer, name, value // self.steps if by_hand else value * self.steps)


def _hook_of_the_users_own(one: Callback | pl.LightningModule) -> str | None:
    for name in _BATCH_HOOKS:
        module = getattr(one, name).__module__  # of the object: a LambdaCallback carries its hooks itself
        if module.partition(".")[0] not in ("pytorch_lightning", "dlproj"):
            return name
    return None
