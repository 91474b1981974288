"""Ctrl-C and SIGTERM: training ends between two batches, with a checkpoint to resume from."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.exceptions import SIGTERMException

from dlproj.library_internals.lightning_internals import accumulates, announce_sigterm
from dlproj.training.ending import Ending
from dlproj.training.resuming import can_resume_here


class StopBySignal(Callback):
    """Ends training after the current batch on SIGINT or SIGTERM; a second Ctrl-C ends it at once.

    During validation, from which training cannot be resumed, a single process ends at once; the last checkpoint is then
    intact. Several processes learn of each other's signals when Lightning synchronises them before each batch, and end
    there together. Lightning 2.6's own handler broadcasts from within the signal handler, in the middle of any other
    communication: the processes may then wait for each other until they are killed, and leave no record.
    """

    def __init__(self, path: Path, ending: Ending | None = None) -> None:
        self.path = path  # of the checkpoint
        self.ending = ending or Ending()

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Replace Lightning's handlers; Lightning itself restores the earlier ones.

        Signals reach the main thread alone: a run in another thread ends with the process.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handler(trainer))

    def on_test_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Replace the handlers, or end here after a signal: a test has no state to keep."""
        if self.ending.received and trainer.world_size == 1:
            raise self._error()
        self.on_train_start(trainer, model)

    def _handler(self, trainer: pl.Trainer) -> Callable[[int, Any], None]:
        def handle(number: int, frame: Any) -> None:
            again = self.ending.received is not None
            self.ending.received = self.ending.received or signal.Signals(number)
            alone = trainer.world_size == 1
            if not alone or self.ending.received is signal.SIGTERM:
                announce_sigterm(trainer)
            impatient = again and number == signal.SIGINT
            if alone and (impatient or not (again or trainer.training)):
                raise self._error()

        return handle

    def _error(self) -> BaseException:
        return SIGTERMException() if self.ending.received is signal.SIGTERM else KeyboardInterrupt()

    def on_train_batch_end(self, trainer: pl.Trainer, model: pl.LightningModule, *args: Any) -> None:
        """End a single process, with a checkpoint if training can be resumed from it."""
        if self.ending.received and trainer.world_size == 1 and not accumulates(trainer):
            if can_resume_here(trainer):
                trainer.save_checkpoint(self.path)
            raise self._error()

    def on_exception(self, trainer: pl.Trainer, model: pl.LightningModule, exception: BaseException) -> None:
        """Save a checkpoint when several processes end together."""
        together = isinstance(exception, SIGTERMException) and trainer.world_size > 1 and trainer.training
        if together and can_resume_here(trainer):
            trainer.save_checkpoint(self.path)
