"""Evaluation of a trained run, on its own or other data, like the test at the end of training."""

import logging
import math
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
from dlproj.config.user_code import UserCode
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
    """The result of evaluating a split."""

    split: str
    weights: str  # "best", "last" or the checkpoint's file
    epoch: int
    samples: int
    metrics: dict[str, float]  # by the same names as in training, such as test/accuracy
    confusion_matrix: list[list[int]]  # as in summary.json
    classes: list[str]
    recorded: dict[str, float | None]  # the same metrics as recorded in training, None if not finite; may be empty
    evaluated_on: str  # the machine, and what it computed in another precision than the setting's
    recorded_on: str  # the same for training; "" if not recorded

    def equals_training(self) -> bool | None:
        """True if all metrics equal the recorded ones to the last digit; None if none are recorded."""
        pairs = [(finite(self.metrics[name]), finite(value)) for name, value in self.recorded.items()]
        return all(value == recorded for value, recorded in pairs) if pairs else None

    def differing(self) -> list[str]:
        """The metrics that differ from the recorded ones by more than rounding.

        On the machine that trained, rounding is up to 1e-4 of the value; elsewhere 1e-3, or two samples.
        """
        relative, least = (1e-4, 1e-9) if self.evaluated_on == self.recorded_on else (1e-3, 2 / max(self.samples, 1))

        def near(value: float, recorded: Any) -> bool:  # of any kind in a damaged record
            both = math.isfinite(value) and isinstance(recorded, float | int)
            return both and math.isclose(value, recorded, rel_tol=relative, abs_tol=least)

        pairs = {name: (self.metrics[name], value) for name, value in self.recorded.items()}
        return [name for name, (a, b) in pairs.items() if finite(a) != finite(b) and not near(a, b)]


def evaluate(
    trained: LoadedRun, split: str = "test", settings: Sequence[str] = (), progress: bool = False
) -> Evaluated:
    """Evaluate a split on one device with the run's own precision, batch size and limits.

    settings: choose other data; `root=…` and the like set data.root etc., a bare name chooses another data set. State
    fitted to the training data is kept. Raises UserError if the data is missing or the model cannot classify it.
    """
    one_of("--split", split, SPLITS)
    data = data_of(trained, settings)
    trained.model.further_metrics = further_metrics(trained.config.metrics, len(trained.model.classes))
    evaluation = _evaluation(trained, data, split, progress)
    with torch.inference_mode():  # for the penalties
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
    """Join both in one line, whatever a damaged record holds."""
    return one_line("; ".join(map(str, [machine, *(fallbacks if isinstance(fallbacks, list) else [])])))


def _evaluation(trained: LoadedRun, data: DataModule, split: str, progress: bool) -> Evaluation:
    """Evaluate the split; for a run of several processes, each process's part in turn.

    With other batches or another order of addition, the loss would differ in its last digit. Buffers that a pass in
    training mode changes are restored.
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
            torch.manual_seed(trained.config.seed)  # dropout drops the same units at each call
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
        except SystemExit as error:  # raised by Lightning on Ctrl-C
            raise KeyboardInterrupt from error
        parts.append(trained.model.evaluation)
    for part in parts[1:]:
        parts[0].merge(part)
    return parts[0]


def _trainer(config: TrainerConfig, split: str, progress: bool) -> TrainerConfig:
    """Adapt the run's settings to this machine and one device."""
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
    """Return the metrics that training recorded for this split and these weights; may be empty."""
    if split == "test" and trained.weights == trained.summary.get("tested_weights"):
        return trained.summary
    if split in ("train", "val") and trained.weights in ("best", "last"):
        recorded_as = "train_eval/" if split == "train" else "val/"
        row = read_epochs(trained.folder).get(trained.epoch, {})
        return {name.replace(recorded_as, f"{split}/"): row[name] for name in row if name.startswith(recorded_as)}
    return {}


def data_of(trained: LoadedRun, settings: Sequence[str] = ()) -> DataModule:
    """Set up the data that the settings choose (by default the run's own), with the state fitted in training.

    Raises UserError if the data is missing or the model cannot classify it.
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
    """Change the run's data settings, as by `root=/x`; a bare name such as `image_folder` chooses another data set.

    A different data set takes over the settings that both have, except for the root. Raises ConfigurationError.
    """
    changed = dict(data_setting(setting) for setting in settings if "=" in setting)
    names = [setting for setting in settings if "=" not in setting]
    for name in names:
        if "." not in name:
            one_of("--data", name, tuple(SCHEMAS["data"]))
    require(len(names) < 2, f"--data names {' and '.join(names)}: name one data set")
    cls: type[DataConfig] = settings_class("data", names[0]) if names else type(config)
    kept = {field.name for field in fields(cls)} - ({"root"} if cls is not type(config) else set())
    shared = {field.name: getattr(config, field.name) for field in fields(config) if field.name in kept}
    other: DataConfig = typed(cls, shared | cls.replacing(changed), "data")
    if isinstance(other, UserCode):  # the run's own code has been allowed, with whatever arguments
        if cls is type(config) and "load" not in changed:
            other.allow()
        else:
            other.check_code()
    return other


def _where_it_is(config: DataConfig) -> DataConfig:
    """Replace data.root by this machine's default if the training machine's folder does not exist here.

    A user's own image folder is not replaced, and synthetic data has none.
    """
    root, here = getattr(config, "root", ""), default_root()
    if config.own_files or not root or data_root(root).exists() or here == root:
        return config
    _log.warning("data.root=%s does not exist: reading %s", root, here)
    changed: dict[str, Any] = {"root": here}
    return replace(config, **changed)


def _check_like_training(trained: DataSpec, config: DataConfig) -> None:
    """Raise DataError unless the data has the classes, kind and shape of the training data."""
    spec = config.spec_like(trained)
    if set(spec.classes) != set(trained.classes):
        odd = sorted(set(spec.classes) ^ set(trained.classes))
        raise DataError(
            f"the model has {len(trained.classes)} classes, this data has {len(spec.classes)}, "
            f"and only one of them has {', '.join(odd[:5])}{', …' * (len(odd) > 5)}: choose data with the same classes"
        )
    for name in ("kind", "shape", "vocabulary_size", "padding"):
        theirs, ours = _words(getattr(spec, name)), _words(getattr(trained, name))
        if theirs != ours:
            hint = config.fitting(trained)
            raise DataError(f"the model was trained on data of {name} {ours}, this has {theirs}: {hint}")


def _words(value: Any) -> str:
    if isinstance(value, tuple):
        return " × ".join(map(str, value))
    return str(getattr(value, "name", value))
