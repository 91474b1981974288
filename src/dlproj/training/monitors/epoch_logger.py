"""Any Lightning logger, called once per epoch; loggers.py has those for metrics.csv and TensorBoard."""

import logging
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from dlproj.config.checks import require
from dlproj.config.targets import make
from dlproj.training.monitors.loggers import EpochTensorBoard

_log = logging.getLogger(__name__)


def build_loggers(nodes: Mapping[str, Mapping[str, Any]], folder: Path) -> "tuple[EpochTensorBoard, list[EpochLogger]]":
    """Build TensorBoard's logger and the other loggers in the settings `logger`.

    A logger's save_dir, if it has one, defaults to the run's folder. If the settings do not name TensorBoard, its
    logger writes nothing. Raises ConfigurationError if a logger cannot be made.
    """
    made = {name: make(f"logger.{name}", _with_folder(node, folder), Logger) for name, node in nodes.items()}
    boards = [logger for logger in made.values() if isinstance(logger, EpochTensorBoard)]
    require(len(boards) < 2, "logger has TensorBoard two times: choose it once")
    others = [EpochLogger(name, logger) for name, logger in made.items() if logger not in boards]
    return boards[0] if boards else EpochTensorBoard(folder, writes=False), others


def _with_folder(node: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    try:
        takes_folder = "save_dir" in signature(resolve_name(node["_target_"])).parameters
    except Exception:  # make() will raise the error
        takes_folder = False
    return ({"save_dir": str(folder)} if takes_folder else {}) | dict(node)


class EpochLogger(Logger):
    """Passes another logger the settings, each epoch's metrics at once, with the epoch as step, and the test's.

    If the logger fails, a warning is logged and the logger is not called again; the run continues.
    """

    def __init__(self, name: str, inner: Logger) -> None:
        super().__init__()
        self.inner = inner
        self._name = name
        self._row: dict[str, float] = {}
        self._failed = False

    @property
    def name(self) -> str:
        """The logger's name in the settings."""
        return self._name

    @property
    def version(self) -> str:
        """Empty: a run has a single version."""
        return ""

    @property
    def experiment(self) -> Any:
        """The inner logger's experiment, for callbacks that use it."""
        return self.inner.experiment  # type: ignore[attr-defined]

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Collect metrics until the epoch's training metrics, which come last; complete() logs those of the test."""
        self._row |= {name: value for name, value in metrics.items() if not name.startswith(("test/", "epoch"))}
        if "train/loss" in metrics:
            row, self._row = self._row, {}
            self._attempt("log_metrics", row, int(metrics["epoch"]) + 1)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Log the settings."""
        self._attempt("log_hyperparams", params, *args, **kwargs)

    @rank_zero_only
    def save(self) -> None:
        """Write pending data."""
        self._attempt("save")

    @rank_zero_only
    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Pass checkpoints to loggers that upload them."""
        self._attempt("after_save_checkpoint", checkpoint_callback)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End a failed run; a successful one is ended by complete(), after its test."""
        if status != "success":
            self._attempt("finalize", status)

    def complete(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Log the metrics of the test at the last epoch, and end the run."""
        tested = {name: value for name, value in metrics.items() if name.startswith("test/")}
        if tested:
            self._attempt("log_metrics", tested, epoch)
        self._attempt("finalize", "success")

    def _attempt(self, method: str, *args: Any, **kwargs: Any) -> None:
        if self._failed:
            return
        try:
            getattr(self.inner, method)(*args, **kwargs)
        except Exception as error:  # a full disk or an unreachable server
            self._failed = True
            _log.warning("logger.%s logs nothing from here on: %s", self._name, " ".join(str(error).split()))
