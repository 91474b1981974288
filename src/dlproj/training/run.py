"""One run: seed → data → model → trainer → fit → test → record."""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from shlex import quote

import pytorch_lightning as pl
import torch

from dlproj.config.callbacks import Resume
from dlproj.config.checks import DataError, require
from dlproj.config.custom import check_torch_arguments
from dlproj.config.root import Config, load
from dlproj.config.user_code import UserCode, admit, read_copies
from dlproj.data.base import DataModule
from dlproj.distributed.processes import run_in_processes
from dlproj.launch import rank, started_by_torchrun
from dlproj.machine import reset_peak_gpu_memory
from dlproj.models.classifier import Classifier
from dlproj.models.metrics import further_metrics
from dlproj.reports.pictures import Pictures
from dlproj.runs.inspection import Inspection
from dlproj.runs.lock import run_lock
from dlproj.runs.manifest import check, holds_run, recover
from dlproj.runs.record import read_result
from dlproj.runs.summary import RunResult
from dlproj.training.averaging import AverageWeights
from dlproj.training.callbacks import build_callbacks, checkpoint_path
from dlproj.training.checkpoints import read_checkpoint, remove_leftovers
from dlproj.training.continued_run import continued_config
from dlproj.training.continuing import Plan
from dlproj.training.earlier import Earlier, earlier_run
from dlproj.training.ending import Ending
from dlproj.training.initial_weights import load_initial, prepare_like
from dlproj.training.monitors.epoch_logger import build_loggers
from dlproj.training.monitors.fold_predictions import KeepPredictions
from dlproj.training.monitors.inspector import inspectors
from dlproj.training.monitors.loggers import EpochTable, EpochTensorBoard, KeepTable
from dlproj.training.monitors.network_graph import NoteGraph
from dlproj.training.profile import Profile
from dlproj.training.pruning import Prune
from dlproj.training.recording import Begin, RecordEarlyEnd, best_epoch_of, complete, files_of, new_record
from dlproj.training.signals import StopBySignal
from dlproj.training.stopwatch import Stopwatch
from dlproj.training.trainer import build_trainer, prepare_process


def run(
    config: Config, folder: Path, overrides: Sequence[str] = (), resume: bool = False, continues: bool = False
) -> RunResult:
    """Train in as many processes as the settings say, and write all results to `folder`.

    overrides: what the user typed, for the record. With resume, sweep.resume or callbacks.resume=auto, a completed run
    is left as it is and an interrupted one is resumed from its last checkpoint. With continues, whatever run is in the
    folder goes on from there, with settings of continued_config(). Raises ConfigurationError or DataError,
    from whatever process; also if the folder holds another run, unless overwrite=true, or files that dlproj did not
    write.
    """
    message = "trainer=overfit and trainer=fast_dev_run leave no run: use them on the command line, dlproj train"
    require(config.trainer.keeps_run(), message)
    config.trainer.check_launch(started_by_torchrun())
    config.trainer.check_machine()
    resume = resume or config.sweep.resume is not None or config.callbacks.resume is Resume.auto
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder) if rank() == 0 else nullcontext():
        recover(folder)
        if continues:
            return _run(config, folder, overrides, checkpoint_path(folder, "last"), True)
        earlier = earlier_run(folder, config) if resume and holds_run(folder) else None
        if earlier is None:
            check(folder, files_of(config), config.overwrite)
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


def resume_run(folder: Path, changed: Sequence[str] = (), allow_code: bool = False) -> RunResult:
    """Resume the run in the folder with its own settings and code, or continue it with some settings changed.

    changed: overrides of settings that continued_config() allows, such as "trainer.max_epochs=20". allow_code: see
    open_run() in inference/trained.py. Raises UserError.
    """
    typed = read_result(folder).overrides
    config = continued_config(folder, changed, allow_code) if changed else load(folder / "config.yaml", allow_code)
    names = {text.partition("=")[0] for text in changed}
    new_code = "scheduler.target" in names
    if isinstance(config.scheduler, UserCode) and new_code:
        config.scheduler.check_code()
    elif isinstance(config.scheduler, UserCode):
        config.scheduler.allow()  # with arguments that may have been typed just now
    read_copies(config, folder, ["scheduler"] if new_code else [])
    check_torch_arguments(config.optim, config.scheduler, config.trainer.max_epochs)
    if not changed:
        return run(config, folder, typed, resume=True)
    kept = [text for text in typed if text.partition("=")[0] not in names]
    return run(config, folder, [*kept, *changed], continues=True)


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
    admit(config, folder)
    with Pictures(config.figures, folder, wanted=rank() == 0) as pictures:
        return _train(config, folder, overrides, resumed, replace, pictures)


def _train(
    config: Config, folder: Path, overrides: Sequence[str], resumed: Path | None, replace: bool, pictures: Pictures
) -> RunResult:
    pl.seed_everything(config.seed, verbose=False)
    data = config.data.build(config.seed)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    initial = _initial(config, folder, model, data, resumed) if config.init_from else {}
    torch.manual_seed(config.seed + rank())  # weights are equal on all ranks, dropout differs
    reset_peak_gpu_memory()
    model.further_metrics = further_metrics(config.metrics, len(model.classes))
    table = EpochTable(folder)
    tensorboard, loggers = build_loggers(config.logger, folder)
    result = new_record(config, folder, overrides, model)
    result.init_from = initial
    ending, watch = Ending(), Stopwatch()
    own = [table] if tensorboard.failed else [tensorboard, table]  # Lightning would open a file of events
    begin = Begin(config, result, own, loggers, resumed is not None, replace)
    inspection = Inspection()
    profile = Profile(watch, folder) if config.trainer.profile else None
    callbacks = [
        begin,
        *([AverageWeights(config.optim)] if config.optim.averages() else []),
        Plan(config, load(folder / "config.yaml", allow_code=True) if resumed else config),  # allowed in run()
        *build_callbacks(config.callbacks, folder, ending),
        *inspectors(config.figures, inspection, tensorboard),
        NoteGraph(inspection, tensorboard, config.model.loss_words(), config.figures.graph),
        KeepTable(table),
        RecordEarlyEnd(config, result, table, begin, ending),
        StopBySignal(checkpoint_path(folder, "last"), ending),
        *([KeepPredictions(folder)] if config.data.folds else []),
        *([Prune(config.sweep.trial, ending)] if config.sweep.trial.number >= 0 else []),
        *filter(None, [profile]),
        watch,
    ]
    trainer = build_trainer(config.trainer, callbacks, folder)
    try:
        trainer.fit(model, datamodule=data, ckpt_path=resumed)
        # Read before the test, which restores the callbacks' state from the checkpoint, too.
        end = ending.status, ending.reason_of(trainer, config.trainer.max_time)
        result.averaged = any(isinstance(one, AverageWeights) and one.count for one in callbacks)
        best = best_epoch_of(config, table.rows)
        pictures.of_training(table.rows, best, inspection, result.reference_curves)
        if ending.status != "pruned":
            restored = checkpoint_path(folder, "best") if config.callbacks.early_stopping.restore_best else None
            result.tested_weights = "best" if restored else "last"
            trainer.test(model, datamodule=data, ckpt_path=restored, verbose=False)
    except (KeyboardInterrupt, SystemExit) as error:
        sys.exit(128 + ending.signal_of(trainer, error))  # as shells expect of a process ended by a signal
    result.status, result.stop_reason = end
    complete(result, config, trainer, watch, table)
    result.profile = profile.parts(trainer) if profile else {}
    if trainer.is_global_zero:
        _leave(result, config, inspection, tensorboard, pictures)
        for logger in loggers:
            logger.complete(result.metrics, result.last_epoch)
    return result


def _initial(config: Config, folder: Path, model: Classifier, data: DataModule, resumed: Path | None) -> dict[str, str]:
    """Start from the weights of config.init_from. A resumed run has its own, but still prepares inputs as before."""
    if resumed is None:
        return load_initial(Path(str(config.init_from)), model, data)
    prepare_like(read_checkpoint(resumed, "delete it to start over"), data)
    with suppress(DataError):
        return read_result(folder).init_from
    return {}


def _leave(
    result: RunResult, config: Config, inspection: Inspection, tensorboard: EpochTensorBoard, pictures: Pictures
) -> None:
    """Write the results, then the figures drawn from them. Once summary.json is written, the run is complete."""
    inspection.write(Path(result.folder))
    result.write()
    pictures.of_folder()  # first, since it takes longest
    if result.confusion_matrix:
        pictures.of_test(result.confusion_matrix, result.classes, inspection)
    for path in pictures.finish():
        if path.suffix == ".png":
            tensorboard.log_png(f"figures/{path.stem}", path.read_bytes(), result.last_epoch)
    tensorboard.log_outcome(config.settings(), result.metrics, result.last_epoch)  # flushes all events to disk
