"""Keeps what the run predicts for each test sample, where that is a fold."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from dlproj.models.classifier import Classifier
from dlproj.models.losses import class_probabilities
from dlproj.models.metrics import gathered
from dlproj.runs.predictions import write_predictions


class KeepPredictions(Callback):
    """Writes the predictions of the test; with a limit of its batches, which leaves samples out, there is no file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_test_epoch_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        self._parts: list[tuple[Tensor, Tensor]] = []

    def on_test_batch_end(
        self, trainer: pl.Trainer, model: pl.LightningModule, logits: Any, batch: Any, *args: Any
    ) -> None:
        assert isinstance(model, Classifier)
        self._parts.append((batch[1], class_probabilities(logits, model.activation)))

    def on_test_epoch_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Gather the predictions of all processes, in the order of the test set."""
        assert isinstance(model, Classifier)
        group, data = model.execution.data_group, trainer.datamodule  # type: ignore[attr-defined]
        true, outputs = (gathered(torch.cat(parts), group).cpu() for parts in zip(*self._parts, strict=True))
        self._parts.clear()
        if trainer.is_global_zero and len(true) == len(data.test_indices):
            write_predictions(self.folder, model.classes, data.test_indices.numpy(), true.numpy(), outputs.numpy())
