"""One run: seed → data → model → trainer → fit → test → record."""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from shlex import quote

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from dlproj.config.callbacks import Resume
from dlproj.config.checks import UserError
from dlproj.config.reference import distance, unmatched
from dlproj.config.root import Config, load
from dlproj.config.whole_files import write_whole
from dlproj.data.base import DataModule
from dlproj.distributed.processes import run_in_processes
from dlproj.launch import rank, started_by_torchrun
from dlproj.machine import git_commit, machine, peak_memory_bytes, reset_peak_gpu_memory, versions
from dlproj.models.classifier import Classifier
from dlproj.reports.pictures import Pictures
from dlproj.runs.inspection import Inspection
from dlproj.runs.lock import run_lock
from dlproj.runs.manifest import add, check, claim, holds_run, recover, run_files
from dlproj.runs.record import read_result
from dlproj.runs.summary import RunResult
from dlproj.training.callbacks import build_callbacks, checkpoint_path, diverged_at
from dlproj.training.checkpoints import remove_leftovers
from dlproj.training.earlier import Earlier, check_goes_on, earlier_run
from dlproj.training.monitors.inspector import inspectors
from dlproj.training.monitors.loggers import EpochTable, EpochTensorBoard, KeepTable, shortest
from dlproj.training.monitors.network_graph import NoteGraph
from dlproj.training.pruning import Prune, pruned_after
from dlproj.training.signals import StopBySignal
from dlproj.training.stopwatch import Stopwatch
from dlproj.training.trainer import build_trainer, prepare_process

_log = logging.getLogger(__name__)


def run(config: Config, folder: Path, overrides: Sequence[str] = (), resume: bool = False) -> RunResult:
    """Train in as many processes as the settings say, and write all results to `folder`.

    overrides: what the user typed, for the record. With resume, sweep.resume or callbacks.resume=auto, a completed run
    is left as it is and an interrupted one is resumed from its last checkpoint. Raises ConfigurationError or DataError,
    from whatever process; also if the folder holds another run, unless overwrite=true, or files that dlproj did not
    write.
    """
    config.trainer.check_launch(started_by_torchrun())
    config.trainer.check_machine()
    resume = resume or config.sweep.resume is not None or config.callbacks.resume is Resume.auto
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder) if rank() == 0 else nullcontext():
        recover(folder)
        earlier = earlier_run(folder, config) if resume and holds_run(folder) else None
        if earlier is None:
            check(folder, run_files(config.figures), config.overwrite)
            return _run(config, folder, overrides, None, config.overwrite)
        if earlier.done:
            return earlier.done.result
        return _run(config, folder, overrides, _last_checkpoint(folder, earlier), True)


def _last_checkpoint(folder: Path, earlier: Earlier) -> Path | None:
    """Return the checkpoint to resume from, or None: in a sweep, a failed run starts over."""
    path = checkpoint_path(folder, "last")
    if not earlier.goes_on or not path.exists():
        return None
    remove_leftovers(path.parent)
    return path


def resume_run(folder: Path) -> RunResult:
    """Resume the run in the folder with its own settings. Raises UserError if they are damaged."""
    return run(load(folder / "config.yaml"), folder, read_result(folder).overrides, resume=True)


def _run(config: Config, folder: Path, overrides: Sequence[str], resumed: Path | None, replace: bool) -> RunResult:
    arguments = (config, folder, overrides, resumed, replace)
    try:
        if config.trainer.devices == 1 or started_by_torchrun():
            return train(*arguments)
        return run_in_processes(config.trainer.devices, train, *arguments)
    except SystemExit as exit:
        if exit.code in (130, 143) and rank() == 0:
            print(f"interrupted: dlproj resume {quote(os.path.relpath(folder))} goes on", file=sys.stderr)
        raise


def train(
    config: Config, folder: Path, overrides: Sequence[str] = (), resumed: Path | None = None, replace: bool = False
) -> RunResult:
    """Train, test and record in this process, which may be one of several; resume from the checkpoint `resumed`.

    replace: True if an earlier run in the folder may be replaced. The folder is unchanged until the data is read.
    """
    prepare_process(config.trainer)
    with Pictures(config.figures, folder, wanted=rank() == 0) as pictures:
        return _train(config, folder, overrides, resumed, replace, pictures)


def _train(
    config: Config, folder: Path, overrides: Sequence[str], resumed: Path | None, replace: bool, pictures: Pictures
) -> RunResult:
    pl.seed_everything(config.seed, verbose=False)
    data = config.data.build(config.seed)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    torch.manual_seed(config.seed + rank())  # weights are equal on all ranks, dropout differs
    reset_peak_gpu_memory()
    table, tensorboard = EpochTable(folder), EpochTensorBoard(folder)
    result = _new_record(config, folder, overrides, model)
    begin = Begin(config, result, [tensorboard, table], resumed is not None, replace)
    inspection = Inspection()
    callbacks = [
        begin,
        *build_callbacks(config.callbacks, folder),
        *inspectors(config.figures, inspection, tensorboard),
        *([NoteGraph(inspection, tensorboard, config.model.loss_words())] if config.figures.graph else []),
        KeepTable(table),
        RecordEarlyEnd(config, result, table, begin),
        StopBySignal(checkpoint_path(folder, "last")),
        *([Prune(config.sweep.trial)] if config.sweep.trial.number >= 0 else []),
    ]
    trainer = build_trainer(config.trainer, callbacks, folder)
    try:
        trainer.fit(model, datamodule=data, ckpt_path=resumed)
        # Read before the test, which restores the callbacks' state from the checkpoint, too.
        end = outcome(trainer), stop_reason(trainer, config.trainer.max_time)
        best = _best_epoch(config, table.rows)
        pictures.of_training(table.rows, best, inspection, result.reference_curves)
        if not pruned_after(trainer):
            restored = checkpoint_path(folder, "best") if config.callbacks.early_stopping.restore_best else None
            result.tested_weights = "best" if restored else "last"
            trainer.test(model, datamodule=data, ckpt_path=restored, verbose=False)
    except (KeyboardInterrupt, SystemExit) as error:
        sys.exit(128 + _signal(trainer, error))  # as shells expect of a process ended by a signal
    result.status, result.stop_reason = end
    _complete(result, config, trainer, model, table)
    if trainer.is_global_zero:
        _leave(result, config, inspection, tensorboard, pictures)
    return result


def _leave(
    result: RunResult, config: Config, inspection: Inspection, tensorboard: EpochTensorBoard, pictures: Pictures
) -> None:
    """Write the results, then the figures drawn from them. Once summary.json is written, the run is complete."""
    inspection.write(Path(result.folder))
    result.write()
    pictures.report()  # first, since it takes longest
    if result.confusion_matrix:
        pictures.of_test(result.confusion_matrix, result.classes, inspection)
    for path in pictures.finish():
        if path.suffix == ".png":
            tensorboard.log_png(f"figures/{path.stem}", path.read_bytes(), result.last_epoch)
    tensorboard.log_outcome(config.settings(), result.metrics, result.last_epoch)  # flushes all events to disk


def _new_record(config: Config, folder: Path, overrides: Sequence[str], model: Classifier) -> RunResult:
    """Return the record of a run that has just started."""
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

    def __init__(self, config: Config, result: RunResult, loggers: list[Logger], resumed: bool, replace: bool) -> None:
        self.config = config
        self.result = result
        self.loggers = loggers  # they write to the folder as soon as the trainer has them
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
        self.done = True

    def _begin(self, folder: Path, data: DataModule) -> None:
        self.result.samples = {split: len(getattr(data, split)) for split in ("train", "val", "test")}
        self.result.input_shape = list(data.spec.shape)
        self.result.data_fingerprint = data.fingerprint()
        samples = _draw_samples(self.config) if self.config.figures.samples else {}
        self._claim(folder)
        self._record(folder)
        for fallback in self.result.fallbacks:
            _log.warning("%s", fallback)
        for name, content in samples.items():
            write_whole(folder / "figures" / name, content)

    def takes_free_folder(self) -> bool:
        """Write the record of a run whose data could not be read; return False if the folder holds another run."""
        folder = Path(self.result.folder)
        try:
            claim(folder, run_files(self.config.figures), replace=False)
        except UserError:
            return False
        self._record(folder)
        return True

    def _record(self, folder: Path) -> None:
        self.result.write()  # first, since config.yaml marks the folder as a run's
        self.config.save(folder / "config.yaml")

    def _claim(self, folder: Path) -> None:
        names = run_files(self.config.figures)
        if not self.resumed:
            claim(folder, names, self.replace)
            return
        check_goes_on(folder, self.config, self.result)
        add(folder, names)


def _draw_samples(config: Config) -> dict[str, str | bytes]:
    from dlproj.survey.survey import draw_samples  # imported here: slow, and needed only if samples are drawn

    return draw_samples(config.data, config.figures.samples, config.seed)


class RecordEarlyEnd(Callback):
    """Writes the record of a run that fails or is interrupted.

    A callback, because Lightning calls it before restoring the default signal handlers: a second SIGTERM, which a
    launcher sends when another rank has ended, would then kill the process before it has written anything.
    """

    def __init__(self, config: Config, result: RunResult, table: EpochTable, begin: Begin) -> None:
        self.config = config
        self.result = result
        self.table = table
        self.begin = begin

    def on_exception(self, trainer: pl.Trainer, model: pl.LightningModule, exception: BaseException) -> None:
        """Write the reason to summary.json, unless the folder belongs to another run."""
        if not (self.begin.done or (trainer.is_global_zero and self.begin.takes_free_folder())):
            return
        from_outside = trainer.received_sigterm or isinstance(exception, KeyboardInterrupt | SystemExit)
        self.result.status = "interrupted" if from_outside else "failed"
        reason = f"{type(exception).__name__}: {exception}"
        self.result.stop_reason = _signal(trainer, exception).name if from_outside else reason
        _record_epochs(self.config, self.result, self.table)
        if trainer.is_global_zero:
            self.result.write()


def _signal(trainer: pl.Trainer, error: BaseException) -> signal.Signals:
    """Return the signal that ended the run; Lightning raises its own SystemExit on SIGTERM, a plain one on SIGINT."""
    if came := next((one.came for one in trainer.callbacks if isinstance(one, StopBySignal)), None):  # type: ignore[attr-defined]
        return came
    sigterm = trainer.received_sigterm or isinstance(error, SIGTERMException)
    return signal.SIGTERM if sigterm else signal.SIGINT


def _complete(result: RunResult, config: Config, trainer: pl.Trainer, model: Classifier, table: EpochTable) -> None:
    watch = next(one for one in trainer.callbacks if isinstance(one, Stopwatch))  # type: ignore[attr-defined]
    _record_epochs(config, result, table)
    for words in unmatched(result.reference_curves, table.rows) if trainer.is_global_zero else []:
        _log.warning("%s", words)
    result.metrics |= {key: shortest(float(value)) for key, value in trainer.callback_metrics.items()}
    result.steps = trainer.global_step
    result.confusion_matrix = model.test_confusion_matrix
    result.seconds = watch.seconds
    result.samples_per_second = model.samples_trained / (watch.seconds - watch.validation_seconds)
    result.peak_memory_bytes, result.peak_gpu_memory_bytes = peak_memory_bytes()


def _record_epochs(config: Config, result: RunResult, table: EpochTable) -> None:
    ended = {epoch: row for epoch, row in table.rows.items() if "train/loss" in row}  # the last one may be incomplete
    result.last_epoch = max(ended, default=0)
    result.best_epoch = _best_epoch(config, ended)
    result.metrics = dict(ended.get(result.last_epoch, {}))
    result.reference_distance = distance(result.reference_curves, ended)


def _best_epoch(config: Config, rows: dict[int, dict[str, float]]) -> int | None:
    stopping = config.callbacks.early_stopping
    return best_epoch(rows, stopping.monitor, stopping.direction())


def outcome(trainer: pl.Trainer) -> str:
    """Return the status of a run whose training has ended: completed, pruned or diverged."""
    return "pruned" if pruned_after(trainer) else "diverged" if diverged_at(trainer) else "completed"


def stop_reason(trainer: pl.Trainer, max_time: str | None) -> str:
    """Return why training ended, in words."""
    if epoch := pruned_after(trainer):
        return f"pruned after epoch {epoch}"
    if place := diverged_at(trainer):
        return f"the loss was not finite in {place}: set optim.learning_rate lower, or callbacks.terminate_on_nan=false"
    for callback in trainer.early_stopping_callbacks:
        assert isinstance(callback, EarlyStopping)
        if callback.wait_count >= callback.patience:
            return f"early stopping: {callback.monitor} no better for {callback.patience} epochs"
    if trainer.current_epoch >= (trainer.max_epochs or 0):
        return f"reached max_epochs={trainer.max_epochs}"
    return f"reached max_time={max_time}"


def best_epoch(rows: dict[int, dict[str, float]], metric: str, mode: str) -> int | None:
    """Return the first epoch with the best value of a metric, ignoring NaN; None if there is none."""
    values = {epoch: row[metric] for epoch, row in rows.items() if row.get(metric) == row.get(metric, float("nan"))}
    if not values:
        return None
    return min(values, key=lambda epoch: values[epoch] if mode == "min" else -values[epoch])
