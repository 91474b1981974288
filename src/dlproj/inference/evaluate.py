"""A run evaluated again, on the data it was trained on or on other, as the test at the end of training does."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from pytorch_lightning.utilities.seed import isolate_rng

from dlproj.config.checks import DataError, one_line, one_of, require
from dlproj.config.conversion import typed
from dlproj.config.data import DataConfig, DataSpec, default_root
from dlproj.config.root import data_setting
from dlproj.config.schemas import SCHEMAS, settings_class
from dlproj.config.trainer import TrainerConfig
from dlproj.data.base import DataModule
from dlproj.data.batches import EvaluationBatches, Shard
from dlproj.data.data_files import data_root
from dlproj.inference.trained import LoadedRun
from dlproj.machine import machine
from dlproj.models.metrics import Evaluation, further_metrics
from dlproj.reports.classification import entries
from dlproj.runs.record import read_epochs
from dlproj.runs.summary import finite
from dlproj.training.batch_checks import check_evaluation
from dlproj.training.monitors.loggers import shortest
from dlproj.training.trainer import build_trainer

SPLITS = ("train", "val", "test")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The outcome of one pass through a split."""

    split: str
    weights: str  # "best", "last" or the checkpoint's file
    epoch: int
    samples: int
    metrics: dict[str, float]  # by the names that training gives them, such as test/accuracy
    confusion_matrix: list[list[int]]  # as in summary.json
    classes: list[str]
    recorded: dict[str, float | None]  # the same as training left them, None: not finite; empty where it left none
    evaluated_on: str  # the machine, and what it computed in another precision than set
    recorded_on: str  # the same of training; empty where it left none

    def equals_training(self) -> bool | None:
        """Whether all figures are the recorded ones to the digit; None where there are none."""
        pairs = [(finite(self.metrics[name]), finite(value)) for name, value in self.recorded.items()]
        return all(now == then for now, then in pairs) if pairs else None


def evaluate(
    trained: LoadedRun, split: str = "test", settings: Sequence[str] = (), progress: bool = False
) -> Evaluated:
    """Evaluate on one device with the run's own precision, batch size and limits.

    settings choose other data: `root=…` and the like below `data.`, a bare name another data set. What training has
    learnt of its data stays. Raises UserError where the model cannot classify that data.
    """
    one_of("--split", split, SPLITS)
    data = data_of(trained, settings)
    trained.model.further_metrics = further_metrics(trained.config.metrics, len(trained.model.classes))
    evaluation = _evaluation(trained, data, split, progress)
    with torch.inference_mode():  # of the penalties
        means = trained.model.compute_metrics(evaluation)
    metrics = {f"{split}/{name}": shortest(value) for name, value in means.items()}
    recorded = _recorded(trained, split) if data.fingerprint() == trained.summary.get("data_fingerprint") else {}
    confusion = evaluation.confusion_matrix()
    return Evaluated(
        split,
        trained.weights,
        trained.epoch,
        sum(count for _, _, count in entries(confusion, len(trained.model.classes))),
        metrics,
        confusion,
        list(trained.model.classes),
        {name: recorded[name] for name in metrics if name in recorded},
        _where(machine(), trained.config.fallbacks()),
        _where(trained.summary.get("machine", ""), trained.summary.get("fallbacks")),
    )


def _where(machine: Any, fallbacks: Any) -> str:
    """Both in one line, whatever a damaged record holds."""
    return one_line("; ".join(map(str, [machine, *(fallbacks if isinstance(fallbacks, list) else [])])))


def _evaluation(trained: LoadedRun, data: DataModule, split: str, progress: bool) -> Evaluation:
    """One pass; of a run of several processes, the parts that each of them had, one after the other.

    In other batches and added up in another order, the loss would differ in its last digit. What a pass in training
    mode changes is put back.
    """
    for fallback in trained.config.fallbacks():
        _log.warning("%s", fallback)
    if trained.config.model.eval_mode:
        return _pass(trained, data, split, progress)
    if trained.config.model.drops():
        _log.warning("model.eval_mode=false: dropout drops other units than in training, so the figures differ")
    statistics = {name: value.clone() for name, value in trained.model.named_buffers()}
    try:
        with isolate_rng():
            torch.manual_seed(trained.config.seed)  # the same units at each call
            return _pass(trained, data, split, progress)
    finally:
        for name, value in trained.model.named_buffers():
            value.copy_(statistics[name])


def _pass(trained: LoadedRun, data: DataModule, split: str, progress: bool) -> Evaluation:
    config = trained.config.trainer
    trainer = build_trainer(_trainer(config, split, progress), [], trained.folder)
    data.place(trainer.strategy.root_device)
    parts = []
    for rank in range(config.data_shards()):
        shard = Shard(rank, config.data_shards())
        batches = EvaluationBatches(getattr(data, split), data.config.eval_batch_size, data.transform, shard)
        check_evaluation(trained.model, batches, trainer.limit_test_batches)
        try:
            trainer.test(trained.model, dataloaders=batches, verbose=False)
        except SystemExit as error:  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from error
        parts.append(trained.model.evaluation)
    for part in parts[1:]:
        parts[0].merge(part)
    return parts[0]


def _trainer(config: TrainerConfig, split: str, progress: bool) -> TrainerConfig:
    """The run's settings on this machine and one device."""
    precision = config.precision
    if precision == "16-mixed" and not config.uses_gpu():
        precision = "32-true"
        _log.warning("trained in 16-mixed, which needs a GPU: evaluated in 32-true")
    limits = {"val": config.limit_val_batches, "test": config.limit_test_batches}
    if config.evaluate_train:
        limits["train"] = config.limit_val_batches
    alone = config.on_one_device()
    return replace(alone, precision=precision, limit_test_batches=limits.get(split), progress_bar=progress)


def _recorded(trained: LoadedRun, split: str) -> dict[str, float | None]:
    """What training has written of this split with these weights."""
    if split == "test" and trained.weights == trained.summary.get("tested_weights"):
        return trained.summary
    if split in ("train", "val") and trained.weights in ("best", "last"):
        recorded_as = "train_eval/" if split == "train" else "val/"
        row = read_epochs(trained.folder).get(trained.epoch, {})
        return {name.replace(recorded_as, f"{split}/"): row[name] for name in row if name.startswith(recorded_as)}
    return {}


def data_of(trained: LoadedRun, settings: Sequence[str] = ()) -> DataModule:
    """The data that the settings name, the run's own without any, as the run's training has learnt to read it.

    Raises UserError where it is not there or the model cannot classify it.
    """
    config = other_data(trained.config.data, settings)
    if not settings:
        config = _where_it_is(config)
    _check_like_training(trained.data.spec, config)
    data = config.build(trained.config.seed)
    data.load_state_dict(trained.data_state)
    data.prepare_data()
    data.setup()
    return data


def other_data(config: DataConfig, settings: Sequence[str]) -> DataConfig:
    """The run's data with other settings, such as `root=/x`; a bare name such as `image_folder` is another data set.

    That one takes over from the run what both have, but for the root. Raises ConfigurationError.
    """
    changed = dict(data_setting(setting) for setting in settings if "=" in setting)
    names = [setting for setting in settings if "=" not in setting]
    for name in names:
        if "." not in name:
            one_of("--data", name, tuple(SCHEMAS["data"]))
    require(len(names) < 2, f"--data names {' and '.join(names)}: name one data set")
    cls = settings_class("data", names[0]) if names else type(config)
    kept = {field.name for field in fields(cls)} - ({"root"} if cls is not type(config) else set())
    shared = {field.name: getattr(config, field.name) for field in fields(config) if field.name in kept}
    return typed(cls, shared | changed, "data")


def _where_it_is(config: DataConfig) -> DataConfig:
    """The same data where this machine keeps data sets, if the folder of the training machine is not here.

    Images in a folder of one's own are looked for there alone, and made data is nowhere.
    """
    root, here = getattr(config, "root", ""), default_root()
    if config.own_files or not root or data_root(root).exists() or here == root:
        return config
    _log.warning("data.root=%s is not here: reading %s", root, here)
    changed: dict[str, Any] = {"root": here}
    return replace(config, **changed)


def _check_like_training(trained: DataSpec, config: DataConfig) -> None:
    """Raise DataError unless such data looks like the data that the model was trained on."""
    found = config.spec()
    if set(found.classes) != set(trained.classes):
        odd = sorted(set(found.classes) ^ set(trained.classes))
        raise DataError(
            f"the model tells {len(trained.classes)} classes apart, this data has {len(found.classes)}, "
            f"and {', '.join(odd[:5])} is on one side only: choose data with the same classes"
        )
    for name in ("kind", "shape", "vocabulary_size", "padding"):
        theirs, ours = _words(getattr(found, name)), _words(getattr(trained, name))
        if theirs != ours:
            hint = config.fitting(trained)
            raise DataError(f"the model was trained on data of {name} {ours}, this has {theirs}: {hint}")


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return " × ".join(map(str, value))
    return str(getattr(value, "name", value))
