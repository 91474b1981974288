"""Early stopping, checkpoints and resuming: Lightning's callbacks, built from the settings."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint

from dlproj.config.callbacks import CallbacksConfig, EarlyStoppingConfig
from dlproj.config.targets import make
from dlproj.models.classifier import Classifier
from dlproj.training.ending import Ending
from dlproj.training.resuming import RankStates, StepCheckpoints


def build_callbacks(config: CallbacksConfig, folder: Path, ending: Ending | None = None) -> list[Callback]:
    """Build the callbacks; checkpoints are written to folder/checkpoints/{best,last}.ckpt.

    Raises ConfigurationError if one of callbacks.extra cannot be made.
    """
    stopping = config.early_stopping
    callbacks: list[Callback] = [_checkpoint(folder, "best", stopping), _checkpoint(folder, "last", None), RankStates()]
    if config.terminate_on_nan:
        callbacks.append(TerminateOnNaN(ending))
    if config.every_n_train_steps is not None:
        callbacks.append(StepCheckpoints(checkpoint_path(folder, "last"), config.every_n_train_steps))
    if stopping.patience is not None:
        # A non-finite loss counts as no improvement, as in Keras, instead of ending the run at once.
        callbacks.append(
            EarlyStopping(
                stopping.monitor, stopping.min_delta, stopping.patience, mode=stopping.direction(), check_finite=False
            )
        )
    return callbacks + [make(f"callbacks.extra.{name}", node, Callback) for name, node in config.extra.items()]


class TerminateOnNaN(Callback):
    """Ends training after an epoch in which a loss was NaN or infinite: the weights seldom recover from that.

    Keras's callback of this name checks each batch, for which the host would have to wait for the GPU.
    """

    def __init__(self, ending: Ending | None = None) -> None:
        self.ending = ending or Ending()
        self.where = ""  # once a loss was not finite, its step and epoch in words

    def state_dict(self) -> dict[str, Any]:
        """Keep where it happened, in case the run is killed afterwards."""
        return {"where": self.where}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore where it happened."""
        if where := state_dict["where"]:
            self._end(where)

    def on_train_epoch_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Stop training if a step of the epoch had a loss that was not finite."""
        assert isinstance(model, Classifier)
        if step := model.training_sums.first_not_finite():
            self._end(f"step {step} of epoch {trainer.current_epoch + 1}")
            trainer.should_stop = True

    def _end(self, where: str) -> None:
        self.where, self.ending.status = where, "diverged"
        way_out = "set optim.learning_rate lower, or callbacks.terminate_on_nan=false"
        self.ending.reason = f"the loss was not finite in {where}: {way_out}"


def checkpoint_path(folder: Path, which: str) -> Path:
    """Return the path of a run's checkpoint `best` or `last`."""
    return folder / "checkpoints" / f"{which}.ckpt"


class _MovableCheckpoint(ModelCheckpoint):
    """Keeps its best score even if the run's folder is moved or renamed."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Replace the saved paths by the current ones: Lightning drops the score if they differ."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: here(state_dict[name]) for name in paths if name in state_dict}
        models = {here(path): score for path, score in state_dict.get("best_k_models", {}).items()}
        super().load_state_dict(state_dict | moved | {"best_k_models": models, "dirpath": self.dirpath})


def _checkpoint(folder: Path, which: str, best: EarlyStoppingConfig | None) -> ModelCheckpoint:
    # Best and last need a callback each: with save_last, a monitored one writes last.ckpt only if the metric improves.
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
