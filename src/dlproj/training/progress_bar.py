"""Progress on standard output: the layers, then a line per epoch, and a bar during it on a terminal."""

import os
import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.callbacks import ProgressBar as LightningProgressBar
from pytorch_lightning.trainer.states import TrainerFn
from torch import nn
from tqdm import tqdm

from dlproj import formats
from dlproj.data.batches import TrainingBatches
from dlproj.loop_progress import is_notebook
from dlproj.models.classifier import Classifier
from dlproj.reports.terminal import print_table

_REFRESH_EVERY = 50  # batches: updating the bar at each would cost more than a small network's arithmetic
_SHORTEST = 0.1  # least seconds between two refreshes
_EVERY_UPDATE: dict[str, Any] = {"mininterval": 0, "miniters": 0, "smoothing": 0}
_IN_NOTEBOOK = {"ncols": 100, "delay": 1.0}  # s; short epochs leave nothing of a bar in its file
_BAR = "{desc} {percentage:3.0f}%|{bar}| {remaining} left{postfix}"


def is_terminal() -> bool:
    """True if standard output is a terminal that can redraw a line."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


class Summary(Callback):
    """Prints each layer's weight shapes and number of parameters when training starts."""

    def on_fit_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Print the table, on rank 0 only."""
        if trainer.is_global_zero:
            print_table(["layer", "kind", "weights", "parameters"], layer_rows(model))


def layer_rows(model: nn.Module) -> list[list[str]]:
    """List name, class, shapes and parameter count of each module with parameters of its own; then the total."""
    rows = []
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own:
            shapes = ", ".join("×".join(map(str, parameter.shape)) for parameter in own)
            rows.append([name, type(module).__name__, shapes, _count(own)])
    return [*rows, ["all", "", "", _count(list(model.parameters()))]]


def _count(parameters: list[nn.Parameter]) -> str:
    total = sum(parameter.numel() for parameter in parameters)
    frozen = sum(parameter.numel() for parameter in parameters if not parameter.requires_grad)
    return f"{total:,}" + (f", {frozen:,} of them not trained" if frozen else "")


def _running(model: pl.LightningModule) -> dict[str, float]:
    """Loss and accuracy of the current epoch so far."""
    assert isinstance(model, Classifier)
    return model.running_metrics()


def _in_words(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {formats.metric(name, value)}" for name, value in values.items())


class ProgressBar(LightningProgressBar):
    """Prints a line per epoch: the means over its batches and the metrics of the last validation.

    On a terminal or in a notebook, a bar shows the progress of each epoch and test; it costs a step nothing between
    two refreshes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._bar: tqdm[Any] | None = None
        self._began = self._refreshed = 0.0

    def disable(self) -> None:
        """Show no bar. Lightning calls this on all ranks but 0."""
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_epoch_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        self._began = time.monotonic()
        self._open(self._epoch(trainer), self._batches(trainer, int(self.total_train_batches)))

    @staticmethod
    def _epoch(trainer: pl.Trainer) -> str:
        """Epochs count from 1 in everything that users read."""
        return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"

    @staticmethod
    def _batches(trainer: pl.Trainer, calls: int) -> int:
        """Return the number of batches in `calls` calls of training_step."""
        loader = trainer.train_dataloader
        return loader.batches_in(calls) if isinstance(loader, TrainingBatches) else calls

    def _open(self, name: str, batches: int) -> None:
        self._close()
        here = is_notebook()
        if self._enabled and (here or is_terminal()):
            options = _EVERY_UPDATE | (_IN_NOTEBOOK if here else {"dynamic_ncols": True})
            self._bar = tqdm(total=batches, desc=name, bar_format=_BAR, file=sys.stdout, leave=False, **options)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, model: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Redraw the bar when a multiple of 50 batches is passed, at most ten times per second."""
        if self._bar is None:
            return
        before, done = self._batches(trainer, batch_idx), self._batches(trainer, batch_idx + 1)
        self._bar.n = done
        now = time.monotonic()
        if done // _REFRESH_EVERY > before // _REFRESH_EVERY and now - self._refreshed >= _SHORTEST:
            self._refreshed = now
            self._bar.set_postfix_str(_in_words(_running(model)), refresh=False)
            self._bar.update(0)

    def on_validation_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Show that the epoch is being validated."""
        if self._bar is not None and trainer.state.fn is TrainerFn.FITTING:
            self._bar.set_description_str(f"{self._epoch(trainer)}, validation", refresh=False)
            self._bar.update(0)

    def on_train_epoch_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Replace the epoch's bar by its line."""
        self._close()
        if self._enabled:
            logged = trainer.callback_metrics
            validation = {key: float(logged[key]) for key in ("val/loss", "val/accuracy") if key in logged}
            words = _in_words(_running(model) | validation)
            seconds = formats.duration(time.monotonic() - self._began)
            print(f"{self._epoch(trainer)}: {words}, {seconds}", flush=True)

    def on_test_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        self._open("test", sum(int(batches) for batches in trainer.num_test_batches))

    def on_test_batch_end(self, *arguments: Any, **named: Any) -> None:
        if self._bar is not None:
            self._bar.update()

    def on_test_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Remove the bar: the results are printed in a table."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, model: pl.LightningModule, exception: BaseException) -> None:
        """End the bar's line, so that later output starts on a new line."""
        self._close()
