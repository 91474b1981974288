"""The base of callbacks that keep something of training in its checkpoints."""

from abc import ABC, abstractmethod
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.trainer.states import TrainerFn


class FitCallback(Callback, ABC):
    """Keeps its part of each checkpoint, and takes it back where training goes on.

    A test of the best weights loads a checkpoint, too, which must not bring back what belongs to an earlier epoch.
    """

    @abstractmethod
    def on_save_checkpoint(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put it into the checkpoint."""

    @abstractmethod
    def resume(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on from what on_save_checkpoint() has put there."""

    def on_load_checkpoint(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Call resume(), unless it is for a test."""
        if trainer.state.fn is TrainerFn.FITTING:
            self.resume(trainer, model, checkpoint)
