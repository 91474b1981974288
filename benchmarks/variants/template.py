"""Lightning as the common lightning-hydra-template uses it: torchmetrics objects logged at every step.

Progress bar, TensorBoard and checkpoints as they come; data as pairs from memory, or torchvision's own with ToTensor.
"""

import os
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.utils.data import DataLoader, Dataset, Subset
from torchmetrics import MeanMetric
from torchmetrics.classification import Accuracy

from benchmarks.cases import EVALUATION_BATCH, LEARNING_RATE, Case, Job
from benchmarks.pacer import Pacer, UnavailableError
from benchmarks.variants.lab import pairs
from benchmarks.variants.networks import classes, network, prepare_torch
from benchmarks.variants.pacing import Pacing

_TRAINING_IMAGES = 54_000  # of torchvision's 60,000; the last 6,000 are for validation


class TemplateModule(pl.LightningModule):
    """The template's MNISTLitModule with the case's network."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.net = network(case)
        self.criterion = nn.CrossEntropyLoss()
        self.train_loss, self.val_loss = MeanMetric(), MeanMetric()
        self.train_acc, self.val_acc = (Accuracy(task="multiclass", num_classes=classes(case)) for _ in range(2))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Loss, and both metrics logged."""
        return self._step(batch, "train", self.train_loss, self.train_acc)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Both metrics logged."""
        self._step(batch, "val", self.val_loss, self.val_acc)

    def _step(self, batch: tuple[Tensor, Tensor], split: str, mean_loss: Any, accuracy: Any) -> Tensor:
        inputs, targets = batch
        logits = self.net(inputs)
        loss = self.criterion(logits, targets)
        mean_loss(loss)
        accuracy(logits.argmax(dim=1), targets)
        self.log(f"{split}/loss", mean_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log(f"{split}/acc", accuracy, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Optimizer:
        """Adam as it comes."""
        return Adam(self.parameters(), lr=LEARNING_RATE)


def run(job: Job, pacer: Pacer) -> None:
    """Train as the pacer says."""
    prepare_torch(job)
    train, val = _torchvision() if job.variant == "template torchvision" else (pairs(job, "train"), pairs(job, "val"))
    held_out = DataLoader(val, EVALUATION_BATCH) if job.case.validation else None
    _trainer(job, pacer).fit(TemplateModule(job.case), DataLoader(train, job.case.batch_size, shuffle=True), held_out)


def _trainer(job: Job, pacer: Pacer) -> pl.Trainer:
    checkpoint = ModelCheckpoint(job.output, save_last=True)
    return pl.Trainer(
        accelerator="gpu" if job.device == "cuda" else "cpu",
        devices=1,
        max_epochs=-1,
        limit_train_batches=job.case.limit,
        callbacks=[checkpoint, Pacing(pacer, job.case.validation)],
        logger=TensorBoardLogger(job.output),
        default_root_dir=job.output,
        num_sanity_val_steps=0,
    )


def _torchvision() -> tuple[Dataset[Any], Dataset[Any]]:
    from torchvision.datasets import FashionMNIST
    from torchvision.transforms import ToTensor

    root = os.environ.get("DLPROJ_DATA_DIR") or "data"
    try:
        whole = FashionMNIST(root, train=True, download=False, transform=ToTensor())
    except RuntimeError as error:
        raise UnavailableError(f"{root} has no Fashion-MNIST: set DLPROJ_DATA_DIR") from error
    indices = range(len(whole))
    return Subset(whole, indices[:_TRAINING_IMAGES]), Subset(whole, indices[_TRAINING_IMAGES:])
