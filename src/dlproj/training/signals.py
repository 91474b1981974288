"""Ctrl-C and SIGTERM: training ends between two batches, with a checkpoint to go on from."""

import signal
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
    """Notes SIGINT and SIGTERM, and ends training after the batch it is in. A second Ctrl-C ends it at once.

    In validation, where no checkpoint leads on, one process ends at once; the last one written is then whole. Several
    processes learn of each other's signals in Lightning's exchange before each batch, and end there together.
    Lightning's own handler (2.6) broadcasts from within the signal's handler, amid whatever exchange each process has
    reached; they may then wait for each other until they are killed, and leave no record.
    """

    def __init__(self, path: Path, ending: Ending | None = None) -> None:
        self.path = path  # of the checkpoint
        self.ending = ending or Ending()

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Take the place of Lightning's handlers, which Lightning itself puts back to the ones before."""
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, self._noting(trainer))

    def on_test_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """A test is begun anew: nothing is to be kept of it."""
        if self.ending.received and trainer.world_size == 1:
            raise self._error()
        self.on_train_start(trainer, model)

    def _noting(self, trainer: pl.Trainer) -> Callable[[int, Any], None]:
        def note(number: int, frame: Any) -> None:
            again = self.ending.received is not None
            self.ending.received = self.ending.received or signal.Signals(number)
            alone = trainer.world_size == 1
            if not alone or self.ending.received is signal.SIGTERM:
                announce_sigterm(trainer)
            impatient = again and number == signal.SIGINT
            if alone and (impatient or not (again or trainer.training)):
                raise self._error()

        return note

    def _error(self) -> BaseException:
        return SIGTERMException() if self.ending.received is signal.SIGTERM else KeyboardInterrupt()

    def on_train_batch_end(self, trainer: pl.Trainer, model: pl.LightningModule, *args: Any) -> None:
        """End here, if this process is the only one."""
        if self.ending.received and trainer.world_size == 1 and not accumulates(trainer):
            if can_resume_here(trainer):
                trainer.save_checkpoint(self.path)
            raise self._error()

    def on_exception(self, trainer: pl.Trainer, model: pl.LightningModule, exception: BaseException) -> None:
        """Keep what all of several processes have reached together."""
        together = isinstance(exception, SIGTERMException) and trainer.world_size > 1 and trainer.training
        if together and can_resume_here(trainer):
            trainer.save_checkpoint(self.path)
