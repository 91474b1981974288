"""One run: seed → data → model → trainer → fit → test → record."""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from shlex import quote

import pytorch_lightning as pl

from dlproj.config.callbacks import Resume
from dlproj.config.checks import require
from dlproj.config.custom import check_torch_arguments
from dlproj.config.root import Config, load
from dlproj.config.user_code import UserCode, admit, read_copies
from dlproj.data.base import DataModule
from dlproj.distributed.processes import run_in_processes
from dlproj.launch import rank, started_by_torchrun
from dlproj.machine import reset_peak_gpu_memory
from dlproj.models.metrics import further_metrics
from dlproj.reports.pictures import Pictures
from dlproj.runs.lock import run_lock
from dlproj.runs.manifest import check, holds_run, recover
from dlproj.runs.record import read_result
from dlproj.runs.summary import RunResult
from dlproj.training.building import build_from_seed
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.checkpoints import remove_leftovers
from dlproj.training.continued_run import continued_config
from dlproj.training.earlier import Earlier, earlier_run
from dlproj.training.observers import Observers
from dlproj.training.recording import files_of, new_record
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
        data, model, initial = build_from_seed(config, resumed=resumed)
        reset_peak_gpu_memory()
        model.further_metrics = further_metrics(config.metrics, len(model.classes))
        result = new_record(config, folder, overrides, model, initial)
        observers = Observers(config, result, pictures)
        trainer = build_trainer(config.trainer, observers.callbacks(resumed is not None, replace), folder)
        try:
            trainer.fit(model, datamodule=data, ckpt_path=resumed)
            observers.end_training(trainer)
            if result.status != "pruned":
                _test(trainer, data, config, result)
        except (KeyboardInterrupt, SystemExit) as error:
            sys.exit(128 + observers.ending.signal_of(trainer, error))  # as shells expect
        observers.end_run(trainer)
    return result


def _test(trainer: pl.Trainer, data: DataModule, config: Config, result: RunResult) -> None:
    """Test the best weights if the settings restore them, else the last ones."""
    result.tested_weights = "best" if config.callbacks.early_stopping.restore_best else "last"
    best = checkpoint_path(Path(result.folder), "best") if result.tested_weights == "best" else None
    trainer.test(trainer.lightning_module, datamodule=data, ckpt_path=best, verbose=False)
