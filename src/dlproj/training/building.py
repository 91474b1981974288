"""The data and the model from the seed of a run, with the weights that it starts from."""

from contextlib import suppress
from pathlib import Path

import pytorch_lightning as pl
import torch

from dlproj.config.checks import DataError
from dlproj.config.root import Config
from dlproj.data.base import DataModule
from dlproj.launch import rank
from dlproj.models.classifier import Classifier
from dlproj.runs.record import read_result
from dlproj.training.checkpoints import read_checkpoint
from dlproj.training.initial_weights import load_initial, prepare_like


def build_from_seed(
    config: Config, data: DataModule | None = None, resumed: Path | None = None
) -> tuple[DataModule, Classifier, dict[str, str]]:
    """Return the data, the model and the record of the weights of init_from, {} without.

    data: instead of that of the settings. resumed: the checkpoint of the run that will be resumed.
    """
    pl.seed_everything(config.seed, verbose=False)
    data = data or config.data.build(config.seed)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    record: dict[str, str] = {}
    if config.init_from:
        record = _prepare_again(resumed, data) if resumed else load_initial(Path(config.init_from), model, data)
    torch.manual_seed(config.seed + rank())  # weights are equal on all ranks, dropout differs
    return data, model, record


def _prepare_again(resumed: Path, data: DataModule) -> dict[str, str]:
    """Prepare inputs as before the run was stopped, and return its record: it has its own weights."""
    prepare_like(read_checkpoint(resumed, "delete it to start over"), data)
    with suppress(DataError):
        return read_result(resumed.parents[1]).init_from
    return {}
