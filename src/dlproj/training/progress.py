"""A progress bar that shows the running loss and accuracy and costs a step nothing between two refreshes."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar

from dlproj.models.classifier import Classifier

_REFRESH_EVERY = 50  # batches: at every batch the bar costs more than a small network's arithmetic


class ProgressBar(TQDMProgressBar):
    """Lightning's bar, reading the model's running sums where others would log every step."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=_REFRESH_EVERY)

    def on_train_epoch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Count epochs from 1, as everything else that people read does."""
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(f"Epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")

    def get_metrics(self, trainer: pl.Trainer, model: pl.LightningModule) -> dict[str, Any]:
        """Loss and accuracy of the running epoch, and the last validation's."""
        assert isinstance(model, Classifier)
        logged = trainer.callback_metrics
        shown = model.running_metrics() | {
            key: float(logged[key]) for key in ("val/loss", "val/accuracy") if key in logged
        }
        return {key: f"{value:.4f}" for key, value in shown.items()}
