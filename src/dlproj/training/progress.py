"""What is shown while training: the table of layers, and a progress bar with the running loss and accuracy."""

import logging
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelSummary, TQDMProgressBar

from dlproj.data.batches import TrainingBatches
from dlproj.models.classifier import Classifier

_REFRESH_EVERY = 50  # batches: at every batch the bar costs more than a small network's arithmetic


class Summary(ModelSummary):
    """Lightning's table of layers, which rounds, and the exact number of parameters."""

    def __init__(self) -> None:
        super().__init__(max_depth=2)

    @staticmethod
    def summarize(summary_data: list[tuple[str, list[str]]], total_parameters: int, *args: Any, **kwargs: Any) -> None:
        """Log both where Lightning logs the one."""
        ModelSummary.summarize(summary_data, total_parameters, *args, **kwargs)
        logging.getLogger(ModelSummary.__module__).info(f"{total_parameters:,} parameters")


class ProgressBar(TQDMProgressBar):
    """Lightning's bar, counting batches, not calls, and reading the model's running sums.

    It costs a step nothing between two refreshes.
    """

    def __init__(self) -> None:
        super().__init__(refresh_rate=_REFRESH_EVERY)

    @property
    def total_train_batches(self) -> int:
        """Batches an epoch."""
        return self._batches_in(int(super().total_train_batches))

    def _batches_in(self, executions: int) -> int:
        loader = self.trainer.train_dataloader
        return loader.batches_in(executions) if isinstance(loader, TrainingBatches) else executions

    def on_train_epoch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Count epochs from 1, as everything else that people read does."""
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(f"Epoch {trainer.current_epoch + 1}/{trainer.max_epochs}")

    def on_train_batch_end(
        self, trainer: pl.Trainer, model: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show what the call brought if that passed a multiple of the refresh rate."""
        before, done = self._batches_in(batch_idx), self._batches_in(batch_idx + 1)
        bar = self.train_progress_bar
        if not bar.disable and (done // self.refresh_rate > before // self.refresh_rate or done == bar.total):
            bar.n = done
            bar.set_postfix(self.get_metrics(trainer, model))  # which draws the bar

    def get_metrics(self, trainer: pl.Trainer, model: pl.LightningModule) -> dict[str, Any]:
        """Loss and accuracy of the running epoch, and the last validation's."""
        assert isinstance(model, Classifier)
        logged = trainer.callback_metrics
        shown = model.running_metrics() | {
            key: float(logged[key]) for key in ("val/loss", "val/accuracy") if key in logged
        }
        return {key: f"{value:.4f}" for key, value in shown.items()}
