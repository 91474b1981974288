"""What starts anew when a run is trained on with another length or schedule than it was begun with."""

from typing import Any

import pytorch_lightning as pl

from dlproj.config.root import Config
from dlproj.models.optimized import OptimizedModule
from dlproj.training.continued_run import plan_of
from dlproj.training.fit_callback import FitCallback

_STOPPING = "EarlyStopping"


class Plan(FitCallback):
    """Keeps how long a run is meant to train in its checkpoints, and compares it with that of a resumed run.

    If the length has changed, a run that had stopped goes on, with early stopping's patience anew. If the schedule has
    changed, or had its end with the number of epochs, it starts anew for the steps that are left.
    """

    def __init__(self, config: Config, before: Config) -> None:
        self.config = config
        self.before = plan_of(before)  # for checkpoints of older versions, which have none
        self._anew = False

    def on_save_checkpoint(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the plan."""
        checkpoint["plan"] = plan_of(self.config)

    def resume(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Change what Lightning is about to restore."""
        before, now = checkpoint.get("plan", self.before), plan_of(self.config)
        if before != now:
            self._change_stopping(checkpoint)
        self._anew = before["schedule"] != now["schedule"]
        if self._anew:
            checkpoint["lr_schedulers"] = []

    def _change_stopping(self, checkpoint: dict[str, Any]) -> None:
        patience = self.config.callbacks.early_stopping.patience
        for key in [key for key in checkpoint["callbacks"] if key.startswith(_STOPPING)]:
            state = checkpoint["callbacks"][key]
            state["patience"] = patience
            state["wait_count"] = 0 if checkpoint["should_stop"] else state["wait_count"]
        checkpoint["should_stop"] = False

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Build the schedule for the epochs and steps that are left, from the initial rate."""
        if not self._anew:
            return
        self._anew = False
        assert isinstance(model, OptimizedModule)
        optimizer, config = trainer.optimizers[0], self.config
        fresh = config.optim.build(model.parameter_groups())
        for group, other in zip(optimizer.param_groups, fresh.param_groups, strict=True):
            group.pop("initial_lr", None)  # of the schedule before, which may have changed momentum, too
            group.update({name: value for name, value in other.items() if name != "params"})
        epochs, steps = model.training_length()
        left = config.scheduler.schedules(optimizer, epochs - trainer.current_epoch, steps - trainer.global_step)
        for described, schedule in zip(trainer.lr_scheduler_configs, left, strict=True):
            described.scheduler = schedule["scheduler"]
