"""What is shown while training: the layers, then a bar an epoch at a terminal, and elsewhere a line an epoch."""

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
from dlproj.models.classifier import Classifier
from dlproj.reports.terminal import print_table

_REFRESH_EVERY = 50  # batches: at every batch the bar costs more than a small network's arithmetic
_SHORTEST = 0.1  # seconds between two refreshes
_BAR = "{desc} {percentage:3.0f}%|{bar}| {remaining} left{postfix}"


def is_terminal() -> bool:
    """Whether standard output can show what moves."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


class Summary(Callback):
    """Prints each layer's weights and parameters as training begins."""

    def on_fit_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Once, in the first process."""
        if trainer.is_global_zero:
            print_table(["layer", "kind", "weights", "parameters"], layer_rows(model))


def layer_rows(model: nn.Module) -> list[list[str]]:
    """For each module that has parameters of its own: name, class, shapes and number; at the end the number of all."""
    rows = []
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own:
            shapes = ", ".join("×".join(map(str, one.shape)) for one in own)
            rows.append([name, type(module).__name__, shapes, _count(own)])
    return [*rows, ["all", "", "", _count(list(model.parameters()))]]


def _count(parameters: list[nn.Parameter]) -> str:
    total = sum(one.numel() for one in parameters)
    frozen = sum(one.numel() for one in parameters if not one.requires_grad)
    return f"{total:,}" + (f", {frozen:,} of them not trained" if frozen else "")


def _running(model: pl.LightningModule) -> dict[str, float]:
    """Loss and accuracy of the running epoch."""
    assert isinstance(model, Classifier)
    return model.running_metrics()


def _in_words(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {formats.metric(name, value)}" for name, value in values.items())


class ProgressBar(LightningProgressBar):
    """Prints a line an epoch: the means over its batches, and what the last validation found.

    At a terminal each epoch and each test has a bar meanwhile, which costs a step nothing between two refreshes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._bar: tqdm[Any] | None = None
        self._began = self._refreshed = 0.0

    def disable(self) -> None:
        """In the other processes, and where Lightning asks for it."""
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_epoch_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        self._began = time.monotonic()
        self._open(self._epoch(trainer), self._batches(trainer, int(self.total_train_batches)))

    @staticmethod
    def _epoch(trainer: pl.Trainer) -> str:
        """Epochs are counted from 1, as in everything else that people read."""
        return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"

    @staticmethod
    def _batches(trainer: pl.Trainer, calls: int) -> int:
        """Batches in so many calls of training_step."""
        loader = trainer.train_dataloader
        return loader.batches_in(calls) if isinstance(loader, TrainingBatches) else calls

    def _open(self, name: str, batches: int) -> None:
        self._close()
        if self._enabled and is_terminal():
            self._bar = tqdm(
                total=batches, desc=name, bar_format=_BAR, file=sys.stdout, dynamic_ncols=True, leave=False
            )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, model: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Redraw the bar if the call has passed a multiple of 50 batches, and not more than ten times a second."""
        if self._bar is None:
            return
        before, done = self._batches(trainer, batch_idx), self._batches(trainer, batch_idx + 1)
        now = time.monotonic()
        if done // _REFRESH_EVERY > before // _REFRESH_EVERY and now - self._refreshed >= _SHORTEST:
            self._refreshed = now
            self._bar.n = done
            self._bar.set_postfix_str(_in_words(_running(model)))

    def on_validation_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Say what the bar waits for."""
        if self._bar is not None and trainer.state.fn is TrainerFn.FITTING:
            self._bar.set_description_str(f"{self._epoch(trainer)}, validation")

    def on_train_epoch_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Put the epoch's line in the place of its bar."""
        self._close()
        if self._enabled:
            logged = trainer.callback_metrics
            validation = {key: float(logged[key]) for key in ("val/loss", "val/accuracy") if key in logged}
            words = _in_words(_running(model) | validation)
            seconds = formats.duration(time.monotonic() - self._began)
            print(f"{self._epoch(trainer)}: {words}, {seconds}", flush=True)

    def on_test_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        self._open("test", sum(int(one) for one in trainer.num_test_batches))

    def on_test_batch_end(self, *arguments: Any, **named: Any) -> None:
        if self._bar is not None:
            self._bar.update()

    def on_test_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Remove the bar: the table says what came of it."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, model: pl.LightningModule, exception: BaseException) -> None:
        """End the bar's line, so that what is said next begins one."""
        self._close()
