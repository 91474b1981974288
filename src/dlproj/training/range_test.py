"""The learning-rate range test (Smith 2017): the steps of training, each at a higher rate than the one before."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from dlproj.config.checks import require
from dlproj.config.root import Config
from dlproj.config.scheduler import SchedulerConfig
from dlproj.config.trainer import TrainerConfig
from dlproj.data.base import DataModule
from dlproj.models.classifier import Classifier
from dlproj.models.metrics import TrainingSums
from dlproj.training.building import build_from_seed
from dlproj.training.rate_curve import LEAST_STEPS, RateCurve, first_diverged
from dlproj.training.trainer import build_trainer, prepare_process

if TYPE_CHECKING:
    from torch.optim import Optimizer


@dataclass(slots=True)
class RisingConfig(SchedulerConfig):
    """Multiply the rate by `factor` after each step."""

    factor: float = 1.0

    def build(self, optimizer: "Optimizer", epochs: float, steps: int) -> dict[str, Any]:
        from torch.optim.lr_scheduler import ExponentialLR

        return {"scheduler": ExponentialLR(optimizer, self.factor), "interval": "step"}


def range_test(config: Config, lowest: float = 1e-6, highest: float = 10.0, steps: int = 100) -> RateCurve:
    """Train from the run's seed on its batches, with rates from `lowest` to `highest`, and leave nothing behind.

    It ends early if the loss diverges. Raises UserError for settings of several processes, for fewer than 30 steps, or
    if it ends too early.
    """
    require(0 < lowest < highest < np.inf, f"the rates must rise from above 0: {lowest:g} is not below {highest:g}")
    require(steps >= LEAST_STEPS, f"{steps} steps tell nothing: try {LEAST_STEPS} at least")
    rates = np.geomspace(lowest, highest, steps)
    watch = _Losses(steps)
    rising = replace(config, scheduler=RisingConfig(factor=float(rates[1] / rates[0])))
    rising.optim = replace(config.optim, learning_rate=lowest)
    train_steps(rising, [watch], max_epochs=steps, cuda_graph=False)  # which would not tell the loss of each step
    return RateCurve.of(rates.tolist(), watch.means())


def train_steps(config: Config, callbacks: list[Callback], data: DataModule | None = None, **trainer: Any) -> None:
    """Train by the settings alone, without validation, test and files, until a callback stops it."""
    prepare_process(config.trainer)
    data, model, _ = build_from_seed(config, data)
    with TemporaryDirectory() as folder:
        build_trainer(_alone(config.trainer, **trainer), callbacks, Path(folder), checkpoints=False).fit(
            model, datamodule=data
        )


def _alone(config: TrainerConfig, **changed: Any) -> TrainerConfig:
    """The settings of training in one process, with nothing but its steps."""
    message = "find looks at one process: leave out trainer=, and multiply data.batch_size by the number of processes"
    require(config.processes() == 1, message)
    require(
        config.keeps_run(), "find takes steps of training itself: leave out trainer=overfit and trainer=fast_dev_run"
    )
    quiet = {
        "progress_bar": False,
        "max_time": None,
        "max_steps": None,
        "evaluate_train": False,
        "val_check_interval": None,
    }
    trainer = replace(config, **quiet | changed)
    trainer.limit_val_batches = 0
    return trainer


class _NotedSums(TrainingSums):
    """The sums of an epoch, which also hand on the loss of each batch."""

    def __init__(self, device: torch.device, note: Callable[[Tensor], None]) -> None:
        super().__init__(device)
        self._note = note

    def add(self, logits: Tensor, targets: Tensor, data_loss: Tensor, penalty: Tensor | None) -> None:
        super().add(logits, targets, data_loss, penalty)
        self._note(data_loss.detach() if penalty is None else (data_loss + penalty).detach())


class _Losses(Callback):
    """Keeps the loss of each batch, and stops after `steps` optimizer steps, or once the loss diverges."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._noted: list[tuple[int, Tensor]] = []  # the optimizer step of each batch, and its loss

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        assert isinstance(model, Classifier)
        model.training_sums = _NotedSums(model.device, lambda loss: self._noted.append((trainer.global_step, loss)))

    def on_train_batch_end(self, trainer: pl.Trainer, model: pl.LightningModule, *args: Any) -> None:
        if trainer.global_step >= self.steps or first_diverged(self.means()) is not None:
            trainer.should_stop = True

    def means(self) -> list[float]:
        """The mean loss of the batches of each step, in order."""
        if not self._noted:
            return []
        steps, losses = zip(*self._noted, strict=True)
        sums = np.bincount(steps, torch.stack(losses).double().cpu().numpy())
        return (sums / np.bincount(steps))[: self.steps].tolist()
