"""The status of a run whose training has ended, and the reason."""

import signal
from dataclasses import dataclass

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.utilities.exceptions import SIGTERMException


@dataclass
class Ending:
    """Set by callbacks that end training early, and read by the run that created them."""

    status: str = "completed"  # or "diverged" or "pruned"
    reason: str = ""
    received: signal.Signals | None = None  # the first signal that asked the process to end

    def reason_of(self, trainer: pl.Trainer, max_time: str | None) -> str:
        """Return why training ended, in words."""
        if self.reason:
            return self.reason
        for callback in trainer.early_stopping_callbacks:
            assert isinstance(callback, EarlyStopping)
            if callback.wait_count >= callback.patience:
                return f"early stopping: {callback.monitor} no better for {callback.patience} epochs"
        if trainer.global_step >= trainer.max_steps > 0:
            return f"reached max_steps={trainer.max_steps}"
        if trainer.current_epoch >= (trainer.max_epochs or 0):
            return f"reached max_epochs={trainer.max_epochs}"
        return f"reached max_time={max_time}" if max_time else "stopped by a callback"

    def signal_of(self, trainer: pl.Trainer, error: BaseException) -> signal.Signals:
        """Return the signal that ended the run. Lightning raises its own SystemExit on SIGTERM, plain on SIGINT."""
        sigterm = trainer.received_sigterm or isinstance(error, SIGTERMException)
        return self.received or (signal.SIGTERM if sigterm else signal.SIGINT)
