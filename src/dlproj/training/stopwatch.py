"""How long training took, with and without its validation."""

import time
from typing import Any

from pytorch_lightning.callbacks import Callback


class Stopwatch(Callback):
    """Seconds from the first epoch's start to the last one's end, and those of all validation passes among them.

    Lightning's Timer keeps the last pass only.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.validation_seconds = 0.0

    def on_train_start(self, *args: Any) -> None:
        """Start."""
        self._started = time.monotonic()

    def on_validation_start(self, *args: Any) -> None:
        """Start of a pass."""
        self._validation_started = time.monotonic()

    def on_validation_end(self, *args: Any) -> None:
        """End of a pass."""
        self.validation_seconds += time.monotonic() - self._validation_started

    def on_train_end(self, *args: Any) -> None:
        """End."""
        self.seconds += time.monotonic() - self._started
