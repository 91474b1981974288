"""A run that stands in a folder already: whether there is more to do, and whether it can go on."""

import logging
from pathlib import Path
from typing import NamedTuple

from dlproj import formats
from dlproj.config.checks import DataError, UserError, require
from dlproj.config.root import Config, load
from dlproj.runs.fingerprint import completed, config_fingerprint, deciding
from dlproj.runs.manifest import shown_path
from dlproj.runs.record import Run, read_result
from dlproj.runs.summary import RunResult
from dlproj.training.callbacks import checkpoint_path

_log = logging.getLogger(__name__)
_LENGTH = "trainer.max_epochs"
_ABSENT = object()
_NAMED = 5  # settings in a message
_WAYS_OUT = "name another folder, or replace the run with overwrite=true"


class Earlier(NamedTuple):
    """A run that the folder holds, with the settings of the one that is asked for."""

    done: Run | None  # where there is nothing left to do
    goes_on: bool  # whether its last checkpoint is to be gone on from


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
        return Earlier(completed(folder, config_fingerprint(config.settings())), goes_on)
    if changed == [_LENGTH] and before.trainer.max_epochs < config.trainer.max_epochs:
        obstacle = _cannot_be_longer(folder, config, before.trainer.max_epochs)
        require(not obstacle or config.overwrite, f"{shown_path(folder)} {obstacle}: {_WAYS_OUT}")
        return None if obstacle else Earlier(None, goes_on=True)
    # The settings of another choice say nothing more than the choice.
    words = [
        f"{key}={formats.setting(was[key])} (now {formats.setting(now[key])})"
        for key in changed
        if key in was and key in now
    ]
    named = ", ".join(words[:_NAMED]) + (f" and {len(words) - _NAMED} more" if len(words) > _NAMED else "")
    require(config.overwrite, f"{shown_path(folder)} holds a run with {named}: set them so, {_WAYS_OUT}")
    return None


def _cannot_be_longer(folder: Path, config: Config, epochs: int) -> str:
    """Why training cannot go on as if it had been meant to be longer from the start; empty where it can."""
    end = f"{_LENGTH}={epochs}"
    if not config.scheduler.lengthens:
        return f"cannot be made longer, as its learning-rate schedule ends at {end} (scheduler=constant has no end)"
    result = read_result(folder)
    if result.has_ended() and result.last_epoch < epochs:
        return f"ended before {end} ({result.stop_reason}), and would again"
    return "" if checkpoint_path(folder, "last").exists() else "has no checkpoints/last.ckpt to go on from"


def _was_interrupted(folder: Path) -> bool:
    """Whether it did not fail: what did may fail again from where it was."""
    try:
        return read_result(folder).status in ("running", "interrupted")
    except UserError:
        return False


def check_goes_on(folder: Path, config: Config, now: RunResult) -> None:
    """Compare the data of a run that goes on with what it was begun on. Raises DataError, naming the difference.

    Other versions of packages are named, too: the weights will not be the bits of a run that was never interrupted. So
    is another end.
    """
    shown = shown_path(folder)
    try:
        before = read_result(folder)
        epochs = load(folder / "config.yaml").trainer.max_epochs
    except UserError:  # the record is lost, and the checkpoint has all that training needs
        return
    if difference := _other_data(before, now):
        raise DataError(f"{shown} was begun on other data ({difference}): bring that back, {_WAYS_OUT}")
    changed = [
        f"{name} {old} (now {now.versions.get(name)})"
        for name, old in before.versions.items()
        if old != now.versions.get(name)
    ]
    if changed:
        _log.warning("%s was begun with %s: its figures may differ in the last digits", shown, ", ".join(changed))
    if epochs != config.trainer.max_epochs:
        _log.warning("%s goes on, to epoch %d instead of %d", shown, config.trainer.max_epochs, epochs)


def _other_data(before: RunResult, now: RunResult) -> str:
    """In words; empty where it is the same, or the record of an older version does not tell."""
    if before.classes and before.classes != now.classes:
        gone, new = (
            ", ".join(sorted(set(one) - set(other)))
            for one, other in ((before.classes, now.classes), (now.classes, before.classes))
        )
        parts = [f"missing classes: {gone}" if gone else "", f"new classes: {new}" if new else ""]
        return "; ".join(filter(None, parts)) or "its classes are in another order"
    if not before.data_fingerprint or before.data_fingerprint == now.data_fingerprint:
        return ""
    counts = [
        f"{count} {split} samples (now {now.samples[split]})"
        for split, count in before.samples.items()
        if now.samples.get(split) != count
    ]
    return ", ".join(counts) or "as many samples, but not the same ones"
