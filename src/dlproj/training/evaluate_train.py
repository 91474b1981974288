"""Evaluation of the training set alongside the validation set."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from dlproj.data.base import DataModule


class EvaluateTrain(Callback):
    """Makes each validation also evaluate the training set, after the validation set.

    train/* are means over an epoch with changing weights and active dropout. train_eval/* are computed with the same
    weights as val/*, so their difference is the generalization gap. All training samples are evaluated, including those
    left out by limit_train_batches and data.drop_last, or the first limit_val_batches batches of them.
    """

    def setup(self, trainer: pl.Trainer, model: pl.LightningModule, stage: str) -> None:
        """Add the loader, before Lightning asks for the loaders."""
        _set(trainer, stage == "fit")

    def teardown(self, trainer: pl.Trainer, model: pl.LightningModule, stage: str) -> None:
        """Restore the data module."""
        _set(trainer, False)


def _set(trainer: pl.Trainer, evaluate_train: bool) -> None:
    data = trainer.datamodule  # type: ignore[attr-defined]
    if isinstance(data, DataModule):
        data.evaluate_train = evaluate_train
