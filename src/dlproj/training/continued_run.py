"""Training a run on with some settings changed: which may change, checked without torch."""

from collections.abc import Sequence
from difflib import get_close_matches
from operator import attrgetter
from pathlib import Path
from typing import Any

from dlproj import formats
from dlproj.config.checks import ConfigurationError, one_of, require
from dlproj.config.conversion import plain
from dlproj.config.root import Config, from_settings, load, single_setting
from dlproj.config.schemas import SCHEMAS, settings_class
from dlproj.runs.manifest import shown_path
from dlproj.runs.record import read_result

LENGTH = (
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
    "callbacks.early_stopping.patience",
    "callbacks.early_stopping.min_delta",
)
_SCHEDULE = ("scheduler", "optim.learning_rate")  # and each scheduler.SETTING
_OTHERS = ("callbacks.every_n_train_steps", "trainer.progress_bar")


def continued_config(folder: Path, changed: Sequence[str], allow_code: bool = False) -> Config:
    """The settings of the run in the folder with these overrides, to train it on.

    allow_code: see load(). Raises UserError if one may not change, or if there is nothing left to train.
    """
    before = load(folder / "config.yaml", allow_code)
    settings = before.settings()
    pairs = [single_setting(text, "trainer.max_epochs=20") for text in changed]
    for name, value in sorted(pairs, key=lambda pair: "." in pair[0]):  # the choice of a schedule before its settings
        _check_may_change(name, value, folder)
        _set(settings, name, value)
    config = from_settings(settings)
    config.check_read()
    _check_goes_on(folder, config)
    _check_schedule(folder, before, config)
    return config


def plan_of(config: Config) -> dict[str, Any]:
    """What decides when training ends, and how the learning rate gets there, as plain containers."""
    schedule = [type(config.scheduler).__qualname__, plain(config.scheduler), config.optim.learning_rate]
    end = [] if config.scheduler.lengthens else [config.trainer.max_epochs, config.trainer.max_steps]
    return {"schedule": schedule + end, "length": list(attrgetter(*LENGTH)(config))}


def _check_may_change(name: str, value: Any, folder: Path) -> None:
    allowed = (*LENGTH, *_SCHEDULE, *_OTHERS)
    if name in allowed or name.startswith("scheduler."):
        return
    near = get_close_matches(name, allowed, n=1, cutoff=0.85)
    other = (
        f"dlproj train init_from={shown_path(folder)} {name}={formats.setting(value)} starts a new run from its weights"
    )
    way_out = f"did you mean {near[0]}?" if near else f"{', '.join(allowed)} and scheduler.… can; {other}"
    raise ConfigurationError(f"{name} cannot change while a run goes on: {way_out}")


def _set(settings: dict[str, Any], name: str, value: Any) -> None:
    if name == "scheduler":
        if "." not in str(value):
            one_of("scheduler", str(value), tuple(SCHEMAS["scheduler"]))
        settings["schema"]["scheduler"] = str(value)
        settings["scheduler"] = plain(settings_class("scheduler", str(value))())
        return
    *groups, last = name.split(".")
    for group in groups:
        require(isinstance(settings.get(group), dict), f"unknown setting {name}: {group} is no group of settings")
        settings = settings[group]
    settings[last] = value


def _check_goes_on(folder: Path, config: Config) -> None:
    result, shown, epochs = read_result(folder), shown_path(folder), config.trainer.max_epochs
    best = f"start anew with init_from={shown}/checkpoints/best.ckpt and a lower optim.learning_rate"
    require(result.status != "diverged", f"{shown} has weights that are not finite: {best}")
    done = f"{shown} has trained {result.last_epoch} epochs"
    require(result.last_epoch < epochs, f"{done}: set trainer.max_epochs above that, not {epochs}")
    steps, most = result.steps, config.trainer.max_steps
    require(
        most is None or steps < most, f"{shown} has trained {steps} steps: set trainer.max_steps above that, not {most}"
    )
    config.scheduler.check(config.optim.learning_rate, epochs - result.last_epoch)
    path = folder / "checkpoints/last.ckpt"
    require(path.is_file(), f"{shown_path(path)} is missing, which training would go on from: train anew")


def _check_schedule(folder: Path, before: Config, config: Config) -> None:
    """Raise ConfigurationError if what starts anew, or ends with training, cannot do so again."""
    anew = plan_of(config)["schedule"] != plan_of(before)["schedule"]
    message = "the schedule starts anew, without a warm-up: set scheduler.warmup_epochs=0"
    require(not anew or config.scheduler.warmup_epochs == 0, message)
    way_out = f"start a new run from its weights with init_from={shown_path(folder)}"
    require(config.optim.swa_start is None, f"optim.swa_start is a share of the whole training: {way_out}")
