"""A warning if other programs take the cores that a run needs."""

import logging
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

_log = logging.getLogger(__name__)
_ENOUGH = 10.0  # seconds of training before the first warning
_MUCH = 0.2  # share of the time spent waiting


def seconds_without_core() -> float:
    """Return the seconds for which this thread was ready to run but had no core; 0 if the system does not tell.

    Linux counts them, in nanoseconds, as the second number of /proc/thread-self/schedstat.
    """
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class NoteContention(Callback):
    """Warns once, after an epoch, if training waits for other programs, and says what to set."""

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        self._began, self._waited = time.monotonic(), seconds_without_core()
        self._warned = False

    def on_train_epoch_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        passed, waited = time.monotonic() - self._began, seconds_without_core() - self._waited
        if self._warned or passed < _ENOUGH or waited < _MUCH * passed:
            return
        self._warned = True
        threads = torch.get_num_threads()
        way = f"set trainer.threads={threads - 1}" if threads > 1 else "run it when the machine has a core for it"
        _log.warning("other programs take the cores for %.0f%% of the time: %s", 100 * waited / passed, way)
