"""A run that is already in the folder: is it complete, and can it be resumed?"""

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
from dlproj.training.continued_run import plan_of

_log = logging.getLogger(__name__)
_LENGTH = "trainer.max_epochs"
_ABSENT = object()
_NAMED = 5  # settings that a message names
_WAYS_OUT = "name another folder, or replace the run with overwrite=true"


class Earlier(NamedTuple):
    """A run in the folder with the requested settings."""

    done: Run | None  # the run, if it is complete
    goes_on: bool  # True if it is to be resumed from its last checkpoint


def earlier_run(folder: Path, config: Config) -> Earlier | None:
    """Return the run in the folder, or None if it has other settings and overwrite=true allows replacing it.

    A run with a smaller trainer.max_epochs is continued, if its learning-rate schedule does not depend on that.
    Raises ConfigurationError, naming the settings that differ, if overwrite is false.
    """
    if not (folder / "config.yaml").exists():  # killed before it was written
        return Earlier(None, goes_on=False)
    before = load(folder / "config.yaml")
    was, now = deciding(before.settings()), deciding(config.settings())
    changed = [key for key in was | now if was.get(key, _ABSENT) != now.get(key, _ABSENT)]
    if not changed:
        goes_on = _was_interrupted(folder) or config.sweep.resume is None
        return Earlier(completed(folder, config_fingerprint(config.settings())), goes_on)
    if changed == [_LENGTH] and before.trainer.max_epochs < config.trainer.max_epochs:
        obstacle = _cannot_be_longer(folder, config, before.trainer.max_epochs)
        require(not obstacle or config.overwrite, f"{shown_path(folder)} {obstacle}: {_WAYS_OUT}")
        return None if obstacle else Earlier(None, goes_on=True)
    # Settings that only one of the runs has follow from another choice that is named already.
    words = [
        f"{key}={formats.setting(was[key])} (now {formats.setting(now[key])})"
        for key in changed
        if key in was and key in now
    ]
    words = words or changed  # all are settings that one of the runs lacks
    named = ", ".join(words[:_NAMED]) + (f" and {len(words) - _NAMED} more" if len(words) > _NAMED else "")
    require(config.overwrite, f"{shown_path(folder)} holds a run with {named}: use its settings, {_WAYS_OUT}")
    return None


def _cannot_be_longer(folder: Path, config: Config, epochs: int) -> str:
    """Return why training cannot continue as if `epochs` had been larger from the start; "" if it can."""
    end = f"{_LENGTH}={epochs}"
    if not config.scheduler.lengthens:
        anew = f"dlproj resume {shown_path(folder)} {_LENGTH}={config.trainer.max_epochs} starts it anew"
        return f"cannot be made longer, as its learning-rate schedule ends at {end} ({anew})"
    if config.optim.swa_start is not None:
        return f"cannot be made longer, as optim.swa_start is a share of {end} (optim.ema_decay has no end)"
    result = read_result(folder)
    if result.has_ended() and (result.last_epoch < epochs or "max_steps" in result.stop_reason):
        return f"ended before {end} ({result.stop_reason}), and would again"
    return "" if checkpoint_path(folder, "last").exists() else "has no checkpoints/last.ckpt to resume from"


def _was_interrupted(folder: Path) -> bool:
    """True if the run was stopped from outside; a failed run may fail again if it is resumed."""
    try:
        return read_result(folder).status in ("running", "interrupted")
    except UserError:
        return False


def check_goes_on(folder: Path, config: Config, now: RunResult) -> None:
    """Check that a resumed run has the data that it was started on. Raises DataError, naming the difference.

    Also warns of changed package versions, with which the weights may differ in the last bits from those of an
    uninterrupted run, and of a changed number of epochs.
    """
    shown = shown_path(folder)
    try:
        before = read_result(folder)
        earlier = load(folder / "config.yaml")
        epochs = earlier.trainer.max_epochs
    except UserError:  # the record is lost, but the checkpoint has all that training needs
        return
    if difference := _other_data(before, now):
        raise DataError(f"{shown} was started on other data ({difference}): restore that, {_WAYS_OUT}")
    changed = [
        f"{name} {old} (now {now.versions.get(name)})"
        for name, old in before.versions.items()
        if old != now.versions.get(name)
    ]
    if changed:
        _log.warning("%s was started with %s: its figures may differ in the last digits", shown, ", ".join(changed))
    anew = plan_of(earlier)["schedule"] != plan_of(config)["schedule"]
    schedule = f"; its learning-rate schedule starts anew, at {config.optim.learning_rate:g}" if anew else ""
    instead = f" instead of {epochs}" if epochs != config.trainer.max_epochs else ""
    if instead or anew:
        _log.warning("%s continues to epoch %d%s%s", shown, config.trainer.max_epochs, instead, schedule)


def _other_data(before: RunResult, now: RunResult) -> str:
    """Describe how the data differs; "" if it is the same, or if the record of an older version does not tell."""
    if before.classes and before.classes != now.classes:
        gone = ", ".join(sorted(set(before.classes) - set(now.classes)))
        new = ", ".join(sorted(set(now.classes) - set(before.classes)))
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
