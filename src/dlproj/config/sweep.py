"""Settings of a sweep, `python train.py -m …`, as each of its runs sees them."""

import json
from dataclasses import dataclass, fields
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

from dlproj.config.checks import one_of, require
from dlproj.config.fields import check_ranges, setting

PRUNERS = ("none", "median", "successive_halving")


@dataclass(slots=True)
class TrialConfig:
    """The search trial that a run belongs to: where it reports each epoch and learns whether to continue."""

    number: int = setting(-1, "number of the trial; below 0: the run cannot be pruned")
    storage: str = setting("", "Optuna storage: a URL or a journal file")
    study: str = setting("", "name of the study in the storage")
    pruner: str = setting("none", "as hydra.sweeper.pruner")
    pruner_settings: Any = setting(None, "as hydra.sweeper.pruner_settings")
    monitor: str = setting("val/accuracy", "metric reported after each epoch")

    def __post_init__(self) -> None:
        one_of("hydra.sweeper.pruner", self.pruner, PRUNERS)

    def overrides(self) -> list[str]:
        """These settings as command-line overrides; none without a pruner."""
        if self.pruner == "none":
            return []
        return [f"sweep.trial.{field.name}={_quoted(getattr(self, field.name))}" for field in fields(self)]


@dataclass(slots=True)
class SweepConfig:
    """Settings of a sweep. They do not change the result of a run, except that a search may end it early."""

    resume: str | None = setting(None, "folder of an earlier sweep: its completed runs are kept, the others run there")
    jobs: int | None = setting(None, "runs at once; unset: one per core or GPU", "[1, inf)")
    trial: TrialConfig = setting(TrialConfig)

    def __post_init__(self) -> None:
        check_ranges(self, "sweep.")
        require(self.resume != "", "sweep.resume is empty: name the folder of a sweep, or leave it out")


def _quoted(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_quoted(entry)}" for key, entry in value.items()) + "}"
    return QuotedString(value, Quote.single).with_quotes() if isinstance(value, str) else json.dumps(value)
