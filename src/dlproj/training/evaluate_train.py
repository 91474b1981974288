"""The training set evaluated as the validation set is."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from dlproj.data.base import DataModule


class EvaluateTrain(Callback):
    """Has the data module hand out the training set to each validation, after the validation set.

    train/* are means over an epoch in which the weights move and dropout is on. train_eval/* are of the same weights as
    val/*: the difference between them is the generalization gap. All training samples are read, whatever
    limit_train_batches and data.drop_last leave out, or the first limit_val_batches batches of them.
    """

    def setup(self, trainer: pl.Trainer, model: pl.LightningModule, stage: str) -> None:
        """Before Lightning asks for the loaders."""
        _set(trainer, stage == "fit")

    def teardown(self, trainer: pl.Trainer, model: pl.LightningModule, stage: str) -> None:
        """Leave the data module as it was."""
        _set(trainer, False)


def _set(trainer: pl.Trainer, evaluate_train: bool) -> None:
    data = trainer.datamodule  # type: ignore[attr-defined]
    if isinstance(data, DataModule):
        data.evaluate_train = evaluate_train
