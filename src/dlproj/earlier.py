"""A run that stands in a folder already: whether there is more to do, and whether it can go on."""

import logging
from pathlib import Path
from typing import NamedTuple

from dlproj.config import Config, load
from dlproj.results import formats
from dlproj.results.manifest import shown_path
from dlproj.results.record import Run, read_result
from dlproj.results.summary import RunResult
from dlproj.settings import DataError, UserError, require
from dlproj.sweeps.records import completed, deciding, identity
from dlproj.training.callbacks import checkpoint_path

_log = logging.getLogger(__name__)
_LENGTH = "trainer.max_epochs"
_ABSENT = object()
_NAMED = 5  # settings in a message


class Earlier(NamedTuple):
    """A run that the folder holds, with the settings of the one that is asked for."""

    done: Run | None  # where there is nothing left to do
    goes_on: bool  # whether its last checkpoint is to be gone on from
    note: str = ""  # how it goes on, where that is not as it was begun


def earlier_run(folder: Path, config: Config) -> Earlier | None:
    """The run in the folder; None where it has other settings, and overwrite=true lets it go.

    It may have been shorter: a larger trainer.max_epochs has it go on where its schedule does not depend on that.
    Raises ConfigurationError, naming the settings that differ.
    """
    if not (folder / "config.yaml").exists():  # killed before it was written
        return Earlier(None, goes_on=False)
    before = load(folder / "config.yaml")
    was, now = (deciding(one.settings()) for one in (before, config))
    changed = [key for key in was | now if was.get(key, _ABSENT) != now.get(key, _ABSENT)]
    if not changed:
        goes_on = _was_interrupted(folder) or config.sweep.resume is None
        return Earlier(completed(folder, identity(config.settings())), goes_on)
    if changed == [_LENGTH] and before.trainer.max_epochs < config.trainer.max_epochs:
        return _made_longer(folder, config, before.trainer.max_epochs)
    # The settings of another choice say nothing more than the choice.
    words = [f"{key}={formats.setting(was[key])} (now {formats.setting(now[key])})" for key in changed
             if key in was and key in now]  # fmt: skip
    named = ", ".join(words[:_NAMED]) + (f" and {len(words) - _NAMED} more" if len(words) > _NAMED else "")
    otherwise = "set them so, name another folder, or replace the run with overwrite=true"
    require(config.overwrite, f"{shown_path(folder)} holds a run with {named}: {otherwise}")
    return None


def _made_longer(folder: Path, config: Config, epochs: int) -> Earlier:
    """Raises ConfigurationError unless training can go on as if it had been meant to be longer from the start."""
    shown, end = shown_path(folder), f"{_LENGTH}={epochs}"
    message = f"{shown} was trained for {end}, at which its learning rate ends: begin anew, and set scheduler=constant"
    require(config.scheduler.lengthens, f"{message} to go on later")
    result = read_result(folder)
    ended_by_itself = result.has_ended() and result.last_epoch < epochs
    require(not ended_by_itself, f"{shown} ended before {end} ({result.stop_reason}), and would again: begin anew")
    has_checkpoint = checkpoint_path(folder, "last").exists()
    require(has_checkpoint, f"{shown} has no checkpoints/last.ckpt to go on from: begin anew in another folder")
    return Earlier(None, True, f"{shown} goes on, to epoch {config.trainer.max_epochs} instead of {epochs}")


def _was_interrupted(folder: Path) -> bool:
    """Whether it did not fail: what did may fail again from where it was."""
    try:
        return read_result(folder).status in ("running", "interrupted")
    except UserError:
        return False


def check_goes_on(folder: Path, now: RunResult) -> None:
    """Compare the data of a run that goes on with what it was begun on. Raises DataError, naming the difference.

    Another version of the packages is told: the weights will not be the bits of a run that was never interrupted.
    """
    shown = shown_path(folder)
    try:
        before = read_result(folder)
    except UserError:  # the record is lost, and the checkpoint has all that training needs
        return
    if difference := _other_data(before, now):
        raise DataError(f"{shown} was begun on other data ({difference}): bring that back, or begin anew in another "
                        "folder or with overwrite=true")  # fmt: skip
    changed = [f"{name} {old} (now {now.versions.get(name)})" for name, old in before.versions.items()
               if old != now.versions.get(name)]  # fmt: skip
    if changed:
        _log.warning("%s was begun with %s: its figures may differ in the last digits", shown, ", ".join(changed))


def _other_data(before: RunResult, now: RunResult) -> str:
    """In words; empty where it is the same, or the record of an older version does not tell."""
    if before.classes and before.classes != now.classes:
        gone, new = (", ".join(sorted(set(one) - set(other))) for one, other in (
            (before.classes, now.classes), (now.classes, before.classes)))  # fmt: skip
        parts = [f"without class {new}" if new else "", f"with class {gone}" if gone else ""]
        return " and ".join(filter(None, parts)) or "its classes in another order"
    if not before.data_fingerprint or before.data_fingerprint == now.data_fingerprint:
        return ""
    counts = [f"{count} {split} samples (now {now.samples[split]})" for split, count in before.samples.items()
              if now.samples.get(split) != count]  # fmt: skip
    return ", ".join(counts) or "as many samples, but not the same ones"
