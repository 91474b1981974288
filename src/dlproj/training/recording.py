"""The record of a run: started once the data is read, and completed when the run ends in any way."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from dlproj.config.checks import UserError
from dlproj.config.reference import distance, unmatched
from dlproj.config.root import Config
from dlproj.config.user_code import code_in_words, copies
from dlproj.config.whole_files import write_whole
from dlproj.data.base import DataModule
from dlproj.loop_progress import inform
from dlproj.machine import machine, peak_memory_bytes, versions
from dlproj.models.classifier import Classifier
from dlproj.runs.manifest import CODE, add, claim, foreign, run_files
from dlproj.runs.summary import RunResult
from dlproj.training.code_record import git_commit, write_code_record
from dlproj.training.earlier import check_goes_on
from dlproj.training.ending import Ending
from dlproj.training.monitors.epoch_logger import EpochLogger
from dlproj.training.monitors.loggers import EpochTable, shortest
from dlproj.training.stopwatch import Stopwatch

_log = logging.getLogger(__name__)


def files_of(config: Config) -> dict[str, str]:
    """Names of the files that a run writes into its folder, as in its manifest."""
    return run_files(config.figures) | dict.fromkeys(copies(config), "")


def new_record(
    config: Config, folder: Path, overrides: Sequence[str], model: Classifier, initial: dict[str, str]
) -> RunResult:
    """Return the record of a run that has just started. initial: the record of the weights of init_from."""
    of_others = ("sweep.", "overwrite=")  # overrides that concern other runs
    settings = config.settings()
    return RunResult(
        folder=str(folder),
        name=config.name,
        status="running",
        stop_reason="",
        seed=config.seed,
        overrides=[one for one in overrides if not one.startswith(of_others)],
        monitor=config.callbacks.early_stopping.monitor,
        classes=list(model.classes),
        parameters=model.parameter_count(),
        init_from=initial,
        reference=config.reference.figures(settings),
        reference_curves=config.reference.curves_of(settings),
        versions=versions(),
        machine=machine(),
        fallbacks=config.fallbacks(),
        git_commit=git_commit(),
    )


class Begin(Callback):
    """Claims the folder for the run once the data is read, and writes the record of a started run.

    So invalid data leaves an earlier run as it was, and a run that is killed leaves a record.
    """

    def __init__(
        self,
        config: Config,
        result: RunResult,
        own: Sequence[Logger],
        others: Sequence[EpochLogger],
        resumed: bool,
        replace: bool,
    ) -> None:
        self.config = config
        self.result = result
        self.loggers = [*own, *others]  # they write to the folder as soon as the trainer has them
        self.others = others
        self.resumed = resumed
        self.replace = replace
        self.done = False

    def setup(self, trainer: pl.Trainer, model: pl.LightningModule, stage: str) -> None:
        """Begin the run. Lightning calls this after the data's setup, before training and again before the test."""
        if self.done:
            return
        if trainer.is_global_zero:
            self._begin(Path(self.result.folder), trainer.datamodule)  # type: ignore[attr-defined]
        trainer.loggers = self.loggers
        for logger in self.others:
            logger.log_hyperparams(self.config.settings())
        self.done = True

    def _begin(self, folder: Path, data: DataModule) -> None:
        self.result.samples = {split: len(getattr(data, split)) for split in ("train", "val", "test")}
        self.result.input_shape = list(data.spec.shape)
        self.result.columns = list(map(list, data.roles()))
        self.result.data_fingerprint = data.fingerprint()
        samples = _draw_samples(self.config) if self.config.figures.samples else {}
        self._claim(folder)
        self._record(folder)
        for fallback in self.result.fallbacks:
            _log.warning("%s", fallback)
        if code := code_in_words(self.config):
            inform(f"runs code of {code}")
        for name, content in samples.items():
            write_whole(folder / "figures" / name, content)

    def takes_free_folder(self) -> bool:
        """Write the record of a run whose data could not be read; return False if the folder holds another run."""
        folder = Path(self.result.folder)
        try:
            claim(folder, files_of(self.config), replace=False)
        except UserError:
            return False
        self._record(folder)
        return True

    def _record(self, folder: Path) -> None:
        self.result.write()  # first, since config.yaml marks the folder as a run's
        self.config.save(folder / "config.yaml")
        write_code_record(folder, self.result.git_commit)
        for name, content in copies(self.config).items():
            write_whole(folder / name, content)

    def _claim(self, folder: Path) -> None:
        names = files_of(self.config)
        if not self.resumed:
            claim(folder, names, self.replace)
            return
        check_goes_on(folder, self.config, self.result)
        of_the_user = {path.name for path in foreign(folder, CODE)}  # beside a run of an older version
        add(folder, {name: content for name, content in names.items() if name not in of_the_user})


def _draw_samples(config: Config) -> dict[str, str | bytes]:
    from dlproj.survey.survey import draw_samples  # imported here: slow, and needed only if samples are drawn

    return draw_samples(config.data, config.figures.samples, config.seed)


class RecordEarlyEnd(Callback):
    """Writes the record of a run that fails or is interrupted.

    A callback, because Lightning calls it before restoring the default signal handlers: a second SIGTERM, which a
    launcher sends when another rank has ended, would then kill the process before it has written anything.
    """

    def __init__(self, config: Config, result: RunResult, table: EpochTable, begin: Begin, ending: Ending) -> None:
        self.config = config
        self.result = result
        self.table = table
        self.begin = begin
        self.ending = ending

    def on_exception(self, trainer: pl.Trainer, model: pl.LightningModule, exception: BaseException) -> None:
        """Write the reason to summary.json, unless the folder belongs to another run."""
        if not (self.begin.done or (trainer.is_global_zero and self.begin.takes_free_folder())):
            return
        from_outside = trainer.received_sigterm or isinstance(exception, KeyboardInterrupt | SystemExit)
        self.result.status = "interrupted" if from_outside else "failed"
        reason = f"{type(exception).__name__}: {exception}"
        self.result.stop_reason = self.ending.signal_of(trainer, exception).name if from_outside else reason
        _record_epochs(self.config, self.result, self.table)
        if trainer.is_global_zero:
            self.result.write()


def complete(result: RunResult, config: Config, trainer: pl.Trainer, watch: Stopwatch, table: EpochTable) -> None:
    """Add the results of training and test."""
    model = trainer.lightning_module
    assert isinstance(model, Classifier)
    _record_epochs(config, result, table)
    for words in unmatched(result.reference_curves, table.rows) if trainer.is_global_zero else []:
        _log.warning("%s", words)
    result.metrics |= {key: shortest(float(value)) for key, value in trainer.callback_metrics.items()}
    result.steps = trainer.global_step
    result.confusion_matrix, result.class_weights = model.test_confusion_matrix, model.class_weights
    result.seconds = watch.seconds
    result.samples_per_second = model.samples_trained / (watch.seconds - watch.validation_seconds)
    result.peak_memory_bytes, result.peak_gpu_memory_bytes = peak_memory_bytes()


def _record_epochs(config: Config, result: RunResult, table: EpochTable) -> None:
    ended = {epoch: row for epoch, row in table.rows.items() if "train/loss" in row}  # the last one may be incomplete
    result.last_epoch = max(ended, default=0)
    result.best_epoch = best_epoch_of(config, ended)
    result.metrics = dict(ended.get(result.last_epoch, {}))
    result.reference_distance = distance(result.reference_curves, ended)


def best_epoch_of(config: Config, rows: dict[int, dict[str, float]]) -> int | None:
    """Return the first epoch with the best value of the metric that early stopping monitors."""
    stopping = config.callbacks.early_stopping
    return best_epoch(rows, stopping.monitor, stopping.direction())


def best_epoch(rows: dict[int, dict[str, float]], metric: str, mode: str) -> int | None:
    """Return the first epoch with the best value of a metric, ignoring NaN; None if there is none."""
    values = {epoch: row[metric] for epoch, row in rows.items() if row.get(metric) == row.get(metric, float("nan"))}
    if not values:
        return None
    return min(values, key=lambda epoch: values[epoch] if mode == "min" else -values[epoch])
