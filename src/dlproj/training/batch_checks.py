"""Checks of the batches before a fit: each epoch is validated, and batch norm gets no batch of one sample."""

from typing import Any, NoReturn

import pytorch_lightning as pl
from torch import nn

from dlproj.config.checks import ConfigurationError, require
from dlproj.data.base import DataModule
from dlproj.data.batches import EvaluationBatches
from dlproj.models.classifier import Classifier


def check_interval(trainer: Any) -> None:
    """Raise ConfigurationError if trainer.val_check_interval is longer than an epoch."""
    interval, data = trainer.val_check_interval, trainer.datamodule
    if isinstance(interval, int) and isinstance(data, DataModule):
        batches, limit = data.train_dataloader().batches, trainer.limit_train_batches
        batches = min(batches, limit) if isinstance(limit, int) else batches
        message = f"trainer.val_check_interval={interval} is more than the {batches} training batches of an epoch"
        require(interval <= batches, f"{message}: set it lower or leave it unset")


def check_batch_norm(trainer: Any, model: pl.LightningModule) -> None:
    """Raise ConfigurationError if batch norm over the samples alone would get a batch of one."""
    if not _has_batch_norm(model) or not isinstance(trainer.datamodule, DataModule):
        return
    data, limit = trainer.datamodule.train_dataloader(), trainer.limit_train_batches
    samples, size = len(data.samples), data.batch_size
    if data.smallest(limit if isinstance(limit, int) else None) == 1:
        _refuse_batch_of_one(samples, size, "data.batch_size", ["data.drop_last=true"] * (1 < size < samples))
    if isinstance(model, Classifier):
        val = trainer.datamodule.val_dataloader()
        for batches in val if isinstance(val, list) else [val]:
            check_evaluation(model, batches, trainer.limit_val_batches)
        check_evaluation(model, trainer.datamodule.test_dataloader(), trainer.limit_test_batches)


def check_evaluation(model: Classifier, batches: EvaluationBatches, limit: int | float | None) -> None:
    """Raise ConfigurationError if batch norm evaluated in training mode would get a batch of one.

    limit: the number of batches evaluated; unless it is an integer, all.
    """
    samples, size = len(batches.samples), batches.batch_size
    last = samples % size == 1 and not (isinstance(limit, int) and limit <= samples // size)
    if not model.eval_mode and _has_batch_norm(model) and (size == 1 or last):
        _refuse_batch_of_one(samples, size, "data.eval_batch_size", ["model.eval_mode=true"])


def _has_batch_norm(model: nn.Module) -> bool:
    return any(isinstance(module, nn.BatchNorm1d | nn.SyncBatchNorm) for module in model.modules())


def _refuse_batch_of_one(samples: int, size: int, setting: str, ways: list[str]) -> NoReturn:
    other = next((other for other in range(size + 1, samples + 1) if samples % other != 1), None)
    ways = ways + [f"{setting}={other}"] * (other is not None)
    message = f"batch norm needs at least 2 samples a batch, and {samples:,} in batches of {size} leave a batch of 1"
    raise ConfigurationError(f"{message}: set {' or '.join(ways) or 'model.batch_norm=false'}")
