"""The base of callbacks that save state of training in checkpoints."""

from abc import ABC, abstractmethod
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.trainer.states import TrainerFn


class FitCallback(Callback, ABC):
    """Saves state in each checkpoint and restores it when training is resumed.

    It is not restored when a test loads the best weights, whose checkpoint may be of an earlier epoch.
    """

    @abstractmethod
    def on_save_checkpoint(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add this callback's state to the checkpoint."""

    @abstractmethod
    def resume(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore the state that on_save_checkpoint() added."""

    def on_load_checkpoint(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Call resume(), unless the checkpoint is loaded for a test."""
        if trainer.state.fn is TrainerFn.FITTING:
            self.resume(trainer, model, checkpoint)
