"""State for resuming a run bit by bit: checkpoints within an epoch, and what Lightning's checkpoints lack."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from dlproj.config.checks import require
from dlproj.data.batches import TrainingBatches
from dlproj.distributed.layer_split import LayerSplit
from dlproj.library_internals.lightning_internals import accumulates
from dlproj.models.classifier import Classifier
from dlproj.training.fit_callback import FitCallback


class RankStates(FitCallback):
    """Saves each process's random generators, its position in the epoch, and the epoch's sums so far.

    With these, resumed training ends with the same bits as uninterrupted training, dropout included.
    """

    def __init__(self) -> None:
        self._resumed: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Gather the state of all ranks. Lightning calls this on each, and rank 0 writes."""
        assert isinstance(model, Classifier)
        state = {
            "random": _random_state(_devices(trainer)),
            "epoch": model.epoch_so_far(),
            "loader": _loader(trainer).state_dict(),
        }
        checkpoint["ranks"] = _gathered(state, trainer.world_size)
        checkpoint["should_stop"] = trainer.should_stop

    def resume(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep this rank's state until training starts."""
        ranks = checkpoint["ranks"]
        message = f"the run was started with {len(ranks)} processes, not {trainer.world_size}: set as many devices"
        require(len(ranks) == trainer.world_size, message)
        self._resumed = ranks[trainer.global_rank]
        trainer.should_stop = checkpoint["should_stop"]  # else a run killed during its test would train further

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        if self._resumed:
            assert isinstance(model, Classifier)
            _set_random_state(self._resumed["random"], _devices(trainer))
            model.resume_epoch(self._resumed["epoch"])
            # Lightning 2.6 does this only if no schedule has asked for the number of steps before.
            _loader(trainer).load_state_dict(self._resumed["loader"])
            self._resumed = None


def _loader(trainer: pl.Trainer) -> TrainingBatches:
    loader = trainer.train_dataloader
    assert isinstance(loader, TrainingBatches)
    return loader


def _gathered(state: dict[str, Any], world_size: int) -> list[dict[str, Any]]:
    if world_size == 1:
        return [state]
    states: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(states, state)
    return states


def _devices(trainer: pl.Trainer) -> list[torch.device]:
    strategy = trainer.strategy
    return strategy.devices if isinstance(strategy, LayerSplit) else [strategy.root_device]


def _random_state(devices: list[torch.device]) -> dict[str, Any]:
    """Return the state of all random generators that code may use, as plain containers and tensors."""
    numpy: Any = np.random.get_state(legacy=True)
    name, keys, *rest = numpy
    state = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": (name, keys.tolist(), *rest)}
    gpus = [device for device in devices if device.type == "cuda"]
    return state | {"cuda": {str(device): torch.cuda.get_rng_state(device) for device in gpus}}


def _set_random_state(state: dict[str, Any], devices: list[torch.device]) -> None:
    torch.set_rng_state(state["torch"])
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(tuple(state["numpy"]))
    for device in devices:
        if str(device) in state["cuda"]:
            torch.cuda.set_rng_state(state["cuda"][str(device)], device)


class StepCheckpoints(Callback):
    """Writes a checkpoint every `every_n_train_steps` optimizer steps, also within epochs."""

    def __init__(self, path: Path, every_n_train_steps: int) -> None:
        self.path = path
        self.every_n_train_steps = every_n_train_steps
        self._last = 0

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Count from the resumed step."""
        self._last = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, model: pl.LightningModule, *args: Any) -> None:
        """Write a checkpoint if this call, which may take many steps, has reached or passed a multiple."""
        passed = trainer.global_step // self.every_n_train_steps > self._last // self.every_n_train_steps
        self._last = trainer.global_step
        if passed and can_resume_here(trainer):
            trainer.save_checkpoint(self.path)


def can_resume_here(trainer: pl.Trainer) -> bool:
    """True if training can be resumed from a checkpoint written now, after a batch.

    It cannot if a validation is due, which Lightning would skip, or while gradients are accumulated.
    """
    epochs: Any = trainer.fit_loop.epoch_progress.current
    inside = epochs.ready > epochs.processed and trainer.fit_loop.epoch_loop.batch_idx >= 0
    return inside and not _validation_is_due(trainer) and not accumulates(trainer)  # checkpoints do not hold gradients


def _validation_is_due(trainer: pl.Trainer) -> bool:
    loop = trainer.fit_loop.epoch_loop
    interval = trainer.val_check_batch
    by_interval = isinstance(interval, int) and (loop.batch_idx + 1) % interval == 0
    return loop.batch_progress.is_last_batch or by_interval
