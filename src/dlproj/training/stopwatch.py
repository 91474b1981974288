"""The time that training took, with and without validation."""

import time
from typing import Any

import pytorch_lightning as pl

from dlproj.training.fit_callback import FitCallback


class Stopwatch(FitCallback):
    """Measures seconds from the start of training to its end, and the part spent in validation.

    Lightning's Timer keeps only the last validation. A resumed run includes the time taken before its checkpoint.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.validation_seconds = 0.0
        self._started: float | None = None  # while it runs

    def on_save_checkpoint(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the time taken so far."""
        running = 0.0 if self._started is None else time.monotonic() - self._started
        checkpoint["taken"] = {
            "seconds": self.seconds + running,
            "validation_seconds": self.validation_seconds,
            "samples": model.samples_trained,
        }

    def resume(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Continue from the saved times."""
        taken = checkpoint["taken"]
        self.seconds, self.validation_seconds = taken["seconds"], taken["validation_seconds"]
        model.samples_trained = taken["samples"]

    def on_train_start(self, *args: Any) -> None:
        self._started = time.monotonic()

    def on_validation_start(self, *args: Any) -> None:
        self._validation_started = time.monotonic()

    def on_validation_end(self, *args: Any) -> None:
        """Add the time of this validation."""
        self.validation_seconds += time.monotonic() - self._validation_started

    def on_train_end(self, *args: Any) -> None:
        """Add the time since training started or was resumed."""
        assert self._started is not None
        self.seconds += time.monotonic() - self._started
        self._started = None
