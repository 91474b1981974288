"""Early stopping, checkpoints and resuming: their settings, and Lightning's callbacks."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint

from dlproj.models.classifier import Classifier
from dlproj.settings import VALIDATION_METRICS, better, one_of, require, within
from dlproj.training.resuming import RankStates, StepCheckpoints


class Mode(Enum):
    """Which way a metric gets better."""

    auto = "auto"  # min for a loss, max for anything else
    min = "min"
    max = "max"


class Resume(Enum):
    """What a run does in a folder that holds one of the same settings."""

    never = "never"  # begin
    auto = "auto"  # go on from its last checkpoint; leave it as it is where it has ended


@dataclass(slots=True)
class EarlyStoppingConfig:
    """What "best" means, and when to stop for want of it. The best checkpoint follows the same metric."""

    monitor: str = "val/loss"
    mode: Mode = Mode.auto
    patience: int | None = None  # epochs without improvement after which training stops, 1 or more; unset: never
    min_delta: float = 0.0  # an improvement smaller than this does not count, 0 or more
    restore_best: bool = False  # test the weights of the best epoch instead of the last one's

    def __post_init__(self) -> None:
        key = "callbacks.early_stopping"
        one_of(f"{key}.monitor", self.monitor, VALIDATION_METRICS)
        within(f"{key}.patience", self.patience, "[1, inf)")
        within(f"{key}.min_delta", self.min_delta, "[0, inf)")

    def direction(self) -> str:
        """ "min" or "max"."""
        if self.mode is Mode.auto:
            return better(self.monitor)
        return self.mode.name


@dataclass(slots=True)
class CallbacksConfig:
    """What happens beside training."""

    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    every_n_train_steps: int | None = None  # write last.ckpt within epochs, too, after each so many optimizer steps
    terminate_on_nan: bool = True  # end the run after an epoch in which a loss was NaN or infinite
    resume: Resume = Resume.never

    def __post_init__(self) -> None:
        within("callbacks.every_n_train_steps", self.every_n_train_steps, "[1, inf)")

    def check_read(self) -> None:
        """Raise ConfigurationError for a setting that has no effect beside the others."""
        stopping = self.early_stopping
        message = f"callbacks.early_stopping.min_delta={stopping.min_delta} is not read without a patience"
        unread = stopping.patience is None and stopping.min_delta > 0
        require(not unread, f"{message}: set callbacks.early_stopping.patience, such as 5")

    def build(self, folder: Path) -> list[Callback]:
        """Lightning's callbacks; checkpoints go to folder/checkpoints/{best,last}.ckpt."""
        stopping = self.early_stopping
        callbacks: list[Callback] = [
            _checkpoint(folder, "best", stopping),
            _checkpoint(folder, "last", None),
            RankStates(),
        ]
        if self.terminate_on_nan:
            callbacks.append(TerminateOnNaN())
        if self.every_n_train_steps is not None:
            callbacks.append(StepCheckpoints(checkpoint_path(folder, "last"), self.every_n_train_steps))
        if stopping.patience is not None:
            # A loss that is not finite counts as no improvement, as in Keras, rather than ending the run at once.
            callbacks.append(
                EarlyStopping(
                    stopping.monitor,
                    stopping.min_delta,
                    stopping.patience,
                    mode=stopping.direction(),
                    check_finite=False,
                )
            )
        return callbacks


class TerminateOnNaN(Callback):
    """Ends training after an epoch in which a loss was NaN or infinite: the weights seldom come back from there.

    Keras's callback of this name looks at each batch, for which a GPU would have to wait.
    """

    def __init__(self) -> None:
        self.where = ""  # in words, once it has happened

    def state_dict(self) -> dict[str, Any]:
        """Where, for a run that is killed after it."""
        return {"where": self.where}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The same."""
        self.where = state_dict["where"]

    def on_train_epoch_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Look at the epoch's steps."""
        assert isinstance(model, Classifier)
        if step := model.training_sums.first_not_finite():
            self.where = f"step {step} of epoch {trainer.current_epoch + 1}"
            trainer.should_stop = True


def diverged_at(trainer: pl.Trainer) -> str:
    """Where TerminateOnNaN ended training; "" if it did not."""
    return next((one.where for one in trainer.callbacks if isinstance(one, TerminateOnNaN)), "")  # type: ignore[attr-defined]


def checkpoint_path(folder: Path, which: str) -> Path:
    """Where a run keeps its checkpoint `best` or `last`."""
    return folder / "checkpoints" / f"{which}.ckpt"


class _MovableCheckpoint(ModelCheckpoint):
    """Remembers its best score in a folder that was moved or renamed, too."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning forgets the score where the paths are others."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: here(state_dict[name]) for name in paths if name in state_dict}
        models = {here(path): score for path, score in state_dict.get("best_k_models", {}).items()}
        super().load_state_dict(state_dict | moved | {"best_k_models": models, "dirpath": self.dirpath})


def _checkpoint(folder: Path, which: str, best: EarlyStoppingConfig | None) -> ModelCheckpoint:
    # Two callbacks: save_last of a monitored one writes last.ckpt only when the best one improves.
    path = checkpoint_path(folder, which)
    return _MovableCheckpoint(
        dirpath=path.parent,
        filename=path.stem,
        monitor=best.monitor if best else None,
        mode=best.direction() if best else "min",
        every_n_epochs=1,
        save_on_train_epoch_end=best is None,
        enable_version_counter=False,
    )
