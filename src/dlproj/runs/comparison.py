"""Comparison of runs: the settings that vary, groups of equal settings, their means, and the ranking."""

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from dlproj import formats
from dlproj.config.checks import COUNTED, DataError
from dlproj.config.metrics import better
from dlproj.config.schemas import SCHEMAS
from dlproj.config.whole_files import read_yaml
from dlproj.runs.record import Run
from dlproj.runs.summary import RunResult

Scalar = str | float
Value = str | int | float | None
Row = dict[str, Value]
# Settings that cannot change the trained weights.
WITHOUT_EFFECT = {
    "name",
    "data.root",
    "data.cache",
    "trainer.progress_bar",
    "trainer.profile",
    "figures",
    "logger",
    "metrics",
    "reference",
    "callbacks.resume",
    "callbacks.every_n_train_steps",
}
REPEATED = ("seed", "data.fold")  # runs that differ in nothing else repeat each other
_COMMON = "val/accuracy"  # all runs have it, whatever they monitor


class Spread(NamedTuple):
    """Mean over `size` runs and sample standard deviation (divided by size - 1); None for a single run."""

    mean: float
    deviation: float | None
    size: int


@dataclass(frozen=True, slots=True)
class Group:
    """Runs whose settings differ only in the seed and the fold."""

    settings: dict[str, Scalar]  # the varied settings except these: numbers or text; "" if a run lacks it
    runs: list[Run]

    @property
    def repetitions(self) -> list[Run]:
        """One run per seed and fold: the first completed one, else the first tested one, else the first."""
        found: dict[tuple[int, int | None], Run] = {}
        tested = sorted(self.runs, key=lambda run: run.result.tested_epoch() is None)
        for run in sorted(tested, key=lambda run: run.result.status != "completed"):
            found.setdefault(repetition(run), run)
        return list(found.values())

    def spread(self, metric: str) -> Spread | None:
        """Spread of a test metric over the repetitions with a finite value; None without any."""
        return test_spread(self.repetitions, metric)

    def seconds(self) -> Spread | None:
        """Spread of the training time over the repetitions that have ended; None without any."""
        return _spread([run.result.seconds for run in self.repetitions if run.result.has_ended()])

    def scored(self, metric: str) -> list[Run]:
        """The repetitions that have a score by this metric."""
        return [run for run in self.repetitions if math.isfinite(score(run, metric))]

    def score(self, metric: str) -> Spread | None:
        """Spread of the score over the repetitions that have one; None without any."""
        return _spread([score(run, metric) for run in self.scored(metric)])


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several runs, compared."""

    runs: list[Run]
    varied: list[str]  # dotted names of the settings that differ; the choice of a group is named by the group: optim
    names: list[str]  # of the runs: their folders, relative to their common parent
    groups: list[Group]  # in the order of their first runs
    chooses: str  # the metric that runs are ranked by; in a search, its objective

    @property
    def settings(self) -> list[str]:
        """The varied settings except seed and fold."""
        return [key for key in self.varied if key not in REPEATED]

    def label(self, group: Group) -> list[str]:
        """The group's settings with short names, such as `dropout=0.3`; settings that the group lacks are left out.

        A name is shortened to its last part unless another setting ends in the same.
        """
        last = Counter(key.rpartition(".")[2] for key in self.settings)
        short = {key: word if last[word := key.rpartition(".")[2]] == 1 else key for key in self.settings}
        words = {
            key: formats.rounded(value) if isinstance(value, float) else str(value)
            for key, value in group.settings.items()
        }
        return [f"{short[key]}={word}" for key, word in words.items() if word]

    def values(self, key: str) -> list[Any]:
        """The value of a setting in each run; None if a run lacks it."""
        return [effective(run.settings).get(key) for run in self.runs]

    @property
    def repeats(self) -> bool:
        """True if some runs differ only in seed or fold."""
        return any(len(group.repetitions) > 1 for group in self.groups)

    def ranking(self) -> list[int]:
        """Indices of the runs, the best first; runs without a score come last, in order."""
        return self._ranked([score(run, self.chooses) for run in self.runs])

    def group_ranking(self) -> list[int]:
        """Indices of the groups, ranked by their mean score."""
        scores = [group.score(self.chooses) for group in self.groups]
        return self._ranked([spread.mean if spread else math.nan for spread in scores])

    def _ranked(self, scores: Sequence[float]) -> list[int]:
        further = self.runs[0].settings.get("metrics") if self.runs else None
        sign = 1 if better(self.chooses, further) == "min" else -1
        return sorted(range(len(scores)), key=lambda i: sign * scores[i] if math.isfinite(scores[i]) else math.inf)


def compare(runs: Sequence[Run]) -> Comparison:
    """Find the settings that vary, and group runs that differ only in seed or fold."""
    varied = varied_settings([run.settings for run in runs])
    groups: dict[tuple[Scalar, ...], Group] = {}
    for run in runs:
        values = cells(run, varied)
        settings = {key: "" if value is None else value for key, value in values.items() if key not in REPEATED}
        groups.setdefault(tuple(settings.values()), Group(settings, [])).runs.append(run)
    return Comparison(list(runs), varied, _names(runs), list(groups.values()), _chooses(runs))


def folds_of(run: Run) -> int:
    """Number of folds of the run's data; 0 if it is not cross-validated."""
    folds = flat(run.settings).get("data.folds")
    return folds if isinstance(folds, int) else 0


def fold_of(run: Run) -> int | None:
    """The fold that the run is tested on, from 0; None if its data has none."""
    fold = flat(run.settings).get("data.fold")
    return fold if folds_of(run) and isinstance(fold, int) else None


def repetition(run: Run) -> tuple[int, int | None]:
    """Seed and fold, which tell the runs of a group apart."""
    return run.result.seed, fold_of(run)


def repeated_in(runs: Sequence[Run]) -> str:
    """What runs of one group differ in, as a plural: seeds, folds, or runs if they differ in both."""
    seeds, folds = (len(set(values)) > 1 for values in zip(*map(repetition, runs), strict=True))
    return "runs" if seeds and folds else "folds" if folds else "seeds"


def test_spread(runs: Sequence[Run], metric: str) -> Spread | None:
    """Mean and deviation of a test metric over the runs that have it; None without one."""
    return _spread([run.result.metrics.get(metric, math.nan) for run in runs])


def _spread(values: Sequence[float]) -> Spread | None:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    return Spread(fmean(finite), stdev(finite) if len(finite) > 1 else None, len(finite))


def _chooses(runs: Sequence[Run]) -> str:
    """The objective of the runs' search, else the metric that all of them monitor, else val/accuracy."""
    monitors = {run.result.monitor for run in runs if run.result.monitor}
    return _objective(runs) or (monitors.pop() if len(monitors) == 1 else _COMMON)


def _objective(runs: Sequence[Run]) -> str:
    """The first objective of the search whose folder is at most two levels above the runs; "" without a search."""
    if not runs:
        return ""
    above = _folder_above(runs)
    sweep = next((folder for folder in (above, *above.parents[:2]) if (folder / "multirun.yaml").exists()), above)
    try:
        objective = read_yaml(sweep / "multirun.yaml")["hydra"]["sweeper"]["objectives"][0]
    except (DataError, LookupError, TypeError):
        return ""
    return objective if objective in COUNTED or str(objective).startswith(("val/", "train/")) else ""


def _folder_above(runs: Sequence[Run]) -> Path:
    return Path(os.path.commonpath([run.folder.resolve().parent for run in runs]))


def without_effect(settings: dict[str, Any]) -> set[str]:
    """Names of settings that cannot change the trained weights; data.root can for a user's own files."""
    data = SCHEMAS["data"].get(settings.get("schema", {}).get("data", ""))
    return WITHOUT_EFFECT - ({"data.root"} if data is None or data.own_files else set())


def varied_settings(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Dotted names of the settings that have more than one value, in the order of config.yaml.

    A setting that some runs lack, because of another optimizer or an older version, varies if the other runs differ in
    it. Settings that cannot change the trained weights, such as the run's name, are left out.
    """
    values: dict[str, set[str]] = {}
    ignored = set.intersection(*map(without_effect, settings)) if settings else set()
    for nested in settings:
        for key, value in effective(nested).items():
            if not {key, key.split(".")[0]} & ignored:
                values.setdefault(key, set()).add(formats.setting(value))
    return [key for key, different in values.items() if len(different) > 1]


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted names; the choices under `schema` get the name of their group: `optim`."""
    flattened: dict[str, Any] = {}
    for key, value in settings.items():
        below = "" if not prefix and key == "schema" else f"{prefix}{key}."
        flattened |= flat(value, below) if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flattened


def effective(settings: dict[str, Any]) -> dict[str, Any]:
    """flat(), without the settings that the run's model does not read."""
    values = flat(settings)
    model = SCHEMAS["model"].get(str(values.get("model")))
    ignored = {f"model.{name}" for name in model.no_effect} if model else set()
    return {key: value for key, value in values.items() if ".".join(key.split(".")[:2]) not in ignored}


def cells(run: Run, varied: Sequence[str]) -> Row:
    """The varied settings of a run; numbers stay numbers.

    None stands for a setting that the run lacks or its model does not read, "null" for one that is unset.
    """
    values = effective(run.settings)
    return {key: _cell(values[key]) if key in values else None for key in varied}


def _cell(value: Any) -> Value:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else formats.setting(value)


def validation_metrics(runs: Sequence[Run]) -> list[str]:
    """The metrics that the runs monitor, and val/accuracy."""
    return list(dict.fromkeys([*(run.result.monitor for run in runs if run.result.monitor), "val/accuracy"]))


class BestValue(NamedTuple):
    """Best value of a metric over the epochs, and the first epoch with it."""

    value: float | None
    epoch: int | None


def best_value(run: Run, metric: str) -> BestValue:
    """Best finite value of the metric over all epochs, whatever metric the run monitors."""
    sign = 1 if better(metric, run.settings.get("metrics")) == "min" else -1
    values = {epoch: row[metric] for epoch, row in run.epochs.items() if math.isfinite(row.get(metric, math.nan))}
    epoch = min(values, key=lambda epoch: (sign * values[epoch], epoch), default=None)
    return BestValue(None if epoch is None else values[epoch], epoch)


def at_tested_epoch(run: Run, metric: str) -> float:
    """A metric at the epoch of the tested weights, or an entry of COUNTED; NaN if the run lacks it."""
    if metric in COUNTED:
        count = getattr(run.result, metric)
        return math.nan if count is None else float(count)
    return run.epochs.get(run.result.tested_epoch() or 0, {}).get(metric, math.nan)


def score(run: Run, metric: str) -> float:
    """The metric of the tested weights, by which runs are ranked; NaN if the run is not completed."""
    return at_tested_epoch(run, metric) if run.result.status == "completed" else math.nan


def status(result: RunResult) -> str:
    """The status in words; the folder of an unfinished run cannot tell whether it is still running."""
    return "running or killed" if result.status == "running" else result.status


def _names(runs: Sequence[Run]) -> list[str]:
    folders = [run.folder.resolve() for run in runs]
    above = _folder_above(runs) if folders else ""
    return [folder.relative_to(above).as_posix() for folder in folders]
