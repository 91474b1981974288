"""MLflow and Weights & Biases as loggers: what they are told is in the run's folder, which a process sends."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from dlproj.config.checks import one_of, require
from dlproj.trackers.live import Sender
from dlproj.trackers.sending import TRACKERS, check_installed


class TrackerLogger(Logger):
    """Has the run sent to a tracker when it begins, after each epoch, and whole at its end.

    The run goes on if the tracker's server is away or slow; Lightning's loggers for these trackers would wait.
    """

    def __init__(self, save_dir: str, tracker: str, **options: Any) -> None:
        """save_dir: the run's folder. Raises ConfigurationError if the tracker's package is not installed."""
        super().__init__()
        one_of("tracker", tracker, TRACKERS)
        check_installed(tracker)
        message = "tracking_uri would be kept with its password: set the environment variable MLFLOW_TRACKING_URI"
        require(not re.search(r"://[^/]*:[^/]*@", str(options.get("tracking_uri"))), message)
        self.folder, self.tracker, self.options = Path(save_dir), tracker, options
        self._sender: Sender | None = None

    @property
    def name(self) -> str:
        """The tracker's name."""
        return self.tracker

    @property
    def version(self) -> str:
        """Empty: the tracker gives the run an id."""
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Begin to send the run, whose record is in its folder by now."""
        self._sender = Sender(self.tracker, self.options, self.folder)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send the epoch, whose row is in metrics.csv by now. Raises UserError if the tracker is away."""
        if self._sender:
            self._sender.changed()

    def finalize(self, status: str) -> None:
        """Send the ended run, with its files. Raises UserError if the tracker is away."""
        sender, self._sender = self._sender, None
        if sender:
            sender.end(wait=status == "success")
