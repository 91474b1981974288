"""How long training took, with and without its validation."""

import time
from typing import Any

from pytorch_lightning.callbacks import Callback


class Stopwatch(Callback):
    """Seconds from the first epoch's start to the last one's end, and those of all validation passes among them.

    Lightning's Timer keeps the last pass only. A resumed run counts what its checkpoint had taken, too.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.validation_seconds = 0.0
        self._started: float | None = None  # while it runs

    def state_dict(self) -> dict[str, float]:
        """For the checkpoint."""
        running = 0.0 if self._started is None else time.monotonic() - self._started
        return {"seconds": self.seconds + running, "validation_seconds": self.validation_seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Go on from a checkpoint."""
        self.seconds, self.validation_seconds = state_dict["seconds"], state_dict["validation_seconds"]

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
        assert self._started is not None
        self.seconds += time.monotonic() - self._started
        self._started = None
