"""The settings of several runs, `python train.py -m …`, as one of them sees them."""

import json
from dataclasses import dataclass, fields
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

from dlproj.config.checks import one_of, require
from dlproj.config.fields import check_ranges, setting

PRUNERS = ("none", "median", "successive_halving")


@dataclass(slots=True)
class TrialConfig:
    """The trial of a search that a run tries: where it reports each epoch and learns whether to go on."""

    number: int = setting(-1, "of the trial; below 0: the run is not a trial that can be pruned")
    storage: str = setting("", "of Optuna: a URL, or a journal's file")
    study: str = setting("", "its name in the storage")
    pruner: str = setting("none", "as hydra.sweeper.pruner")
    pruner_settings: Any = setting(None, "as hydra.sweeper.pruner_settings")
    monitor: str = setting("val/accuracy", "the metric that is reported after each epoch")

    def __post_init__(self) -> None:
        one_of("hydra.sweeper.pruner", self.pruner, PRUNERS)

    def overrides(self) -> list[str]:
        """The settings that differ, as overrides on the command line."""
        if self.pruner == "none":
            return []
        return [f"sweep.trial.{one.name}={_quoted(getattr(self, one.name))}" for one in fields(self)]


@dataclass(slots=True)
class SweepConfig:
    """Settings of several runs. They change no result of a run, but a search may end one early."""

    resume: str | None = setting(
        None, "the folder of an earlier sweep: what is done in it is kept, the rest runs there"
    )
    jobs: int | None = setting(None, "runs at once; unset: one for each core, or each GPU", "[1, inf)")
    trial: TrialConfig = setting(TrialConfig)

    def __post_init__(self) -> None:
        check_ranges(self, "sweep.")
        require(self.resume != "", "sweep.resume is empty: name the folder of a sweep, or leave it out")


def _quoted(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_quoted(one)}" for key, one in value.items()) + "}"
    return QuotedString(value, Quote.single).with_quotes() if isinstance(value, str) else json.dumps(value)
