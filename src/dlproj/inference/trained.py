"""Loading a run from its folder: the model with its weights, and the data module with its fitted state."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlproj.config.checks import DataError, UserError
from dlproj.config.root import Config, load
from dlproj.config.user_code import read_copies
from dlproj.config.whole_files import read_json
from dlproj.data.base import DataModule
from dlproj.models.classifier import Classifier
from dlproj.runs.choosing import existing_run
from dlproj.torch_files import is_whole
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.checkpoints import read_checkpoint
from dlproj.training.trainer import prepare_process

# Raised by data modules and models on a checkpoint that is not theirs.
_UNFIT = (ArithmeticError, AttributeError, DataError, LookupError, RuntimeError, StopIteration, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class LoadedRun:
    """A run loaded from its folder alone, on the CPU."""

    folder: Path
    config: Config
    summary: dict[str, Any]  # summary.json; empty if there is none
    weights: str  # "best", "last" or the checkpoint's file
    epoch: int  # after which the weights were saved, counted from 1
    model: Classifier  # in eval mode
    data: DataModule  # restored, but not set up: the training data need not exist
    data_state: dict[str, Any]  # the state that `data` was restored from

    def fallbacks(self) -> list[str]:
        """List, in words, what logits() computes in another precision than the run's because the CPU lacks that."""
        return self.config.model.fallbacks(self.config.trainer.precision)

    @torch.inference_mode()
    def logits(self, stored: Tensor) -> Tensor:
        """Compute the logits (N, outputs) of stored inputs (N, …) on the CPU, in the run's precision.

        16-mixed, which needs a GPU, is replaced by float32, as is what fallbacks() lists.
        """
        inputs = self.data.transform(stored)
        if inputs.is_floating_point():
            inputs = inputs.to(next(self.model.parameters()).dtype)
        mixed = self.config.trainer.precision == "bf16-mixed"
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            return self.model(inputs)


def open_run(folder: Path, checkpoint: str | None = None, allow_code: bool = False) -> LoadedRun:
    """Load a run, and set up this process like its training.

    checkpoint: "best", "last" or a file; by default the weights that were tested at the end of training. Raises
    UserError if there is no run or no checkpoint, or if the files do not belong together. allow_code: run code of the
    user's own that the run keeps, also if it has not been trained with here.
    """
    config = load(existing_run(folder) / "config.yaml", allow_code)
    read_copies(config, folder)
    summary = read_json(folder / "summary.json") if (folder / "summary.json").exists() else {}
    tested = summary.get("tested_weights")
    weights = checkpoint or (tested if tested in ("best", "last") else "last")
    path = _checkpoint_file(folder, weights, summary)
    prepare_process(config.trainer)
    content = read_checkpoint(path, "set --checkpoint to another one")
    data = config.data.build(config.seed)
    state = content.get(type(data).__qualname__)
    if not isinstance(state, dict):
        raise DataError(f"{path} is of an older version and lacks the state of the run's data: train again")
    try:
        data.load_state_dict(state)
        # Allocates nothing: damaged files may ask for any amount of memory.
        with torch.device("meta") if config.model.builds_on_meta else nullcontext():
            _check_shapes(config.model.build(data.spec, config.optim, config.scheduler), content["state_dict"])
        model = config.model.build(data.spec, config.optim, config.scheduler)
        _load_weights(model, content["state_dict"])
        epoch = content["epoch"] + 1
    except _UNFIT as error:
        raise DataError(
            f"{path} does not fit {folder / 'config.yaml'}: it is of another run or another version of "
            "dlproj; set --checkpoint to one of this run"
        ) from error
    return LoadedRun(folder, config, summary, weights, epoch, model.eval(), data, state)


def _checkpoint_file(folder: Path, weights: str, summary: dict[str, Any]) -> Path:
    path = checkpoint_path(folder, weights) if weights in ("best", "last") else Path(weights)
    if path.is_file():
        return path
    names = sorted(file.stem for file in (folder / "checkpoints").glob("*.ckpt"))
    if names:
        raise UserError(f"{path} is not a file: set --checkpoint to what the run has, {' or '.join(names)}")
    status = f" (its status: {summary['status']})" if "status" in summary else ""
    raise UserError(
        f"{path} is not a file and the run has no checkpoint{status}: train again, or set --checkpoint "
        "to a checkpoint file"
    )


def _check_shapes(model: Classifier, weights: dict[str, Tensor]) -> None:
    """Raise DataError unless the weights have the model's names and shapes, each stored in full."""
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    if shapes != {name: value.shape for name, value in weights.items() if is_whole(value)}:
        raise DataError("the weights have other names or shapes")


def _load_weights(model: Classifier, weights: dict[str, Tensor]) -> None:
    """Load the weights in the precision in which they were saved."""
    model.to(next(value.dtype for value in weights.values() if value.is_floating_point()))
    model.load_state_dict(weights)
