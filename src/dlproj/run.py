"""One run: seed → data → model → trainer → fit → test → record."""

import os
import sys
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, Timer

from dlproj.config import Config
from dlproj.data.base import DataModule
from dlproj.models.classifier import Classifier
from dlproj.results.loggers import EpochTable, EpochTensorBoard, shortest
from dlproj.results.summary import RunResult, git_commit, machine, peak_memory_bytes, versions
from dlproj.settings import require
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.processes import launched_by_torchrun, rank, run_in_processes


def run(config: Config, folder: Path) -> RunResult:
    """Train in as many processes as the settings say, and leave everything in `folder`.

    Raises ConfigurationError or DataError, whatever the process in which it happens.
    """
    config.trainer.check_machine()
    devices = config.trainer.devices
    if launched_by_torchrun():
        started = int(os.environ["WORLD_SIZE"])
        require(started == devices, f"torchrun started {started} processes: set trainer=ddp trainer.devices={started}")
        return train(config, folder)
    if devices == 1:
        return train(config, folder)
    return run_in_processes(devices, train, config, folder)


def train(config: Config, folder: Path) -> RunResult:
    """Train, test and record in this process, which may be one of several."""
    config.trainer.prepare_process()
    pl.seed_everything(config.seed, verbose=False)
    data = config.data.build(config.seed)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    pl.seed_everything(config.seed + rank(), verbose=False)  # the same weights on all ranks, each its own dropout
    table, tensorboard = EpochTable(folder), EpochTensorBoard(folder)
    trainer = config.trainer.build(config.callbacks.build(folder), [tensorboard, table], folder)
    result = _begin(config, folder, model)
    try:
        trainer.fit(model, datamodule=data)
        result.tested_weights = _restore(config, folder, trainer, model)
        trainer.test(model, datamodule=data, verbose=False)
    except BaseException as error:
        _end_early(result, table, trainer, error)
        raise
    _complete(result, config, trainer, model, data, table)
    if trainer.is_global_zero:
        result.write()
        tensorboard.log_outcome(config.settings(), result.metrics, result.last_epoch)
    return result


def _begin(config: Config, folder: Path, model: Classifier) -> RunResult:
    """The record of a run that has not ended, written so that a run killed from outside leaves one."""
    result = RunResult(
        folder=str(folder),
        name=config.name,
        status="running",
        stop_reason="",
        seed=config.seed,
        monitor=config.callbacks.early_stopping.monitor,
        classes=list(model.classes),
        parameters=model.parameter_count(),
        versions=versions(),
        machine=machine(),
        git_commit=git_commit(),
    )
    if rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        config.save(folder / "config.yaml")
        result.write()
    return result


def _restore(config: Config, folder: Path, trainer: pl.Trainer, model: Classifier) -> str:
    """Give the model the weights to be tested; say which."""
    if not config.callbacks.early_stopping.restore_best:
        return "last"
    trainer.strategy.barrier("best checkpoint written")
    checkpoint = torch.load(checkpoint_path(folder, "best"), map_location=model.device, weights_only=True)
    model.load_state_dict(checkpoint["state_dict"])
    return "best"


def _end_early(result: RunResult, table: EpochTable, trainer: pl.Trainer, error: BaseException) -> None:
    interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
    result.status = "interrupted" if interrupted else "failed"
    result.stop_reason = "interrupted" if interrupted else f"{type(error).__name__}: {error}"
    result.last_epoch = len(table.rows)
    if trainer.is_global_zero:
        result.write()
    if interrupted:
        sys.exit(130)


def _complete(
    result: RunResult, config: Config, trainer: pl.Trainer, model: Classifier, data: DataModule, table: EpochTable
) -> None:
    timer = next(one for one in trainer.callbacks if isinstance(one, Timer))  # type: ignore[attr-defined]
    result.status = "completed"
    result.stop_reason = stop_reason(trainer, config.trainer.max_time)
    result.last_epoch = len(table.rows)
    result.best_epoch = best_epoch(table.rows, result.monitor, config.callbacks.early_stopping.direction())
    tested = {key: shortest(float(value)) for key, value in trainer.callback_metrics.items()}
    result.metrics = table.rows.get(result.last_epoch, {}) | tested
    result.confusion_matrix = model.test_confusion_matrix
    result.seconds = timer.time_elapsed("train")
    result.samples_per_second = model.samples_trained / (result.seconds - timer.time_elapsed("validate"))
    result.peak_memory_bytes, result.peak_gpu_memory_bytes = peak_memory_bytes()
    result.data_fingerprint = data.fingerprint()


def stop_reason(trainer: pl.Trainer, max_time: str | None) -> str:
    """Why training ended, in words."""
    for callback in trainer.early_stopping_callbacks:
        assert isinstance(callback, EarlyStopping)
        if callback.wait_count >= callback.patience:
            return f"early stopping: {callback.monitor} no better for {callback.patience} epochs"
    if trainer.current_epoch >= (trainer.max_epochs or 0):
        return f"reached max_epochs={trainer.max_epochs}"
    return f"reached max_time={max_time}"


def best_epoch(rows: dict[int, dict[str, float]], metric: str, mode: str) -> int | None:
    """The first epoch with the best value of a metric; NaN is never best."""
    values = {epoch: row[metric] for epoch, row in rows.items() if row.get(metric) == row.get(metric, float("nan"))}
    if not values:
        return None
    return min(values, key=lambda epoch: values[epoch] if mode == "min" else -values[epoch])
