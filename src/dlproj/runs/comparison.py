"""What differs between runs and what became of it: groups of equal settings, their means, and what chooses."""

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
    "trainer.progress_bar",
    "figures",
    "logger",
    "metrics",
    "reference",
    "callbacks.resume",
    "callbacks.every_n_train_steps",
}
_COMMON = "val/accuracy"  # what all runs have, whatever they monitor


class Spread(NamedTuple):
    """The mean of `size` runs and their sample standard deviation (divided by size - 1); of one run there is none."""

    mean: float
    deviation: float | None
    size: int


@dataclass(frozen=True, slots=True)
class Group:
    """Runs whose settings differ in nothing but the seed."""

    settings: dict[str, Scalar]  # the varied settings but the seed: numbers, else text; "" where there is none
    runs: list[Run]

    @property
    def repetitions(self) -> list[Run]:
        """A run for each seed: of those that share it, the first that is completed, or else that was tested."""
        by_seed: dict[int, Run] = {}
        tested = sorted(self.runs, key=lambda run: run.result.tested_epoch() is None)
        for run in sorted(tested, key=lambda run: run.result.status != "completed"):
            by_seed.setdefault(run.result.seed, run)
        return list(by_seed.values())

    def spread(self, metric: str) -> Spread | None:
        """Of a test metric, over the runs that were tested and came to a finite value; None without such a run."""
        return test_spread(self.repetitions, metric)

    def seconds(self) -> Spread | None:
        """Of the training of those runs; None without one that has ended."""
        return _spread([run.result.seconds for run in self.repetitions if run.result.has_ended()])

    def scored(self, metric: str) -> list[Run]:
        """The repetitions that have what chooses between runs."""
        return [run for run in self.repetitions if math.isfinite(score(run, metric))]

    def score(self, metric: str) -> Spread | None:
        """Of what chooses between runs, over those that have it; None without such a run."""
        return _spread([score(run, metric) for run in self.scored(metric)])


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several runs side by side."""

    runs: list[Run]
    varied: list[str]  # dotted names of the settings that differ, a choice of a group by the group's name: optim
    names: list[str]  # of the runs: their folders below the one that holds them all
    groups: list[Group]  # in the order of their first runs
    chooses: str  # the metric by which one is better than another; a search's objective

    @property
    def settings(self) -> list[str]:
        """The varied settings but the seed."""
        return [key for key in self.varied if key != "seed"]

    def label(self, group: Group) -> list[str]:
        """The group's settings as short as they can be told apart: `dropout=0.3`; those that it does not have left out.

        A choice keeps its name, and so does a setting whose last word another one shares.
        """
        last = Counter(key.rpartition(".")[2] for key in self.settings)
        short = {key: word if last[word := key.rpartition(".")[2]] == 1 else key for key in self.settings}
        words = {
            key: formats.rounded(value) if isinstance(value, float) else str(value)
            for key, value in group.settings.items()
        }
        return [f"{short[key]}={word}" for key, word in words.items() if word]

    def values(self, key: str) -> list[Any]:
        """What each run has of a setting; None where it has none."""
        return [flat(run.settings).get(key) for run in self.runs]

    @property
    def repeats(self) -> bool:
        """Whether some runs differ in nothing but the seed."""
        return any(len(group.repetitions) > 1 for group in self.groups)

    def ranking(self) -> list[int]:
        """The places of the runs, the best first; those without a score last, as they come."""
        return self._ranked([score(run, self.chooses) for run in self.runs])

    def group_ranking(self) -> list[int]:
        """The same of the groups, by their means."""
        scores = [group.score(self.chooses) for group in self.groups]
        return self._ranked([found.mean if found else math.nan for found in scores])

    def _ranked(self, scores: Sequence[float]) -> list[int]:
        further = self.runs[0].settings.get("metrics") if self.runs else None
        sign = 1 if better(self.chooses, further) == "min" else -1
        return sorted(range(len(scores)), key=lambda at: sign * scores[at] if math.isfinite(scores[at]) else math.inf)


def compare(runs: Sequence[Run]) -> Comparison:
    """Find what varies, and which runs repeat one another."""
    varied = varied_settings([run.settings for run in runs])
    groups: dict[tuple[Scalar, ...], Group] = {}
    for run in runs:
        settings = {key: "" if value is None else value for key, value in cells(run, varied).items() if key != "seed"}
        groups.setdefault(tuple(settings.values()), Group(settings, [])).runs.append(run)
    return Comparison(list(runs), varied, _names(runs), list(groups.values()), _chooses(runs))


def test_spread(runs: Sequence[Run], metric: str) -> Spread | None:
    """Mean and deviation of a test metric over the runs that have it; None without one."""
    return _spread([run.result.metrics.get(metric, math.nan) for run in runs])


def _spread(values: Sequence[float]) -> Spread | None:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    return Spread(fmean(finite), stdev(finite) if len(finite) > 1 else None, len(finite))


def _chooses(runs: Sequence[Run]) -> str:
    """The objective of the search that the runs are of, else what all of them monitor, else what they all have."""
    monitors = {run.result.monitor for run in runs if run.result.monitor}
    return _objective(runs) or (monitors.pop() if len(monitors) == 1 else _COMMON)


def _objective(runs: Sequence[Run]) -> str:
    """The first objective of the search in whose folder the runs lie, or up to two folders below it; "" if none."""
    if not runs:
        return ""
    above = _folder_above(runs)
    sweep = next((one for one in (above, *above.parents[:2]) if (one / "multirun.yaml").exists()), above)
    try:
        found = read_yaml(sweep / "multirun.yaml")["hydra"]["sweeper"]["objectives"][0]
    except (DataError, LookupError, TypeError):
        return ""
    return found if found in COUNTED or str(found).startswith(("val/", "train/")) else ""


def _folder_above(runs: Sequence[Run]) -> Path:
    return Path(os.path.commonpath([run.folder.resolve().parent for run in runs]))


def without_effect(settings: dict[str, Any]) -> set[str]:
    """Names of settings that decide nothing; of files of the user's own, where they lie does."""
    data = SCHEMAS["data"].get(settings.get("schema", {}).get("data", ""))
    return WITHOUT_EFFECT - ({"data.root"} if data is None or data.own_files else set())


def varied_settings(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Dotted names of the settings that have more than one value, in the order of config.yaml.

    One that only some runs have, as another optimizer or an older version lacks it, counts where those that have it
    differ. What decides nothing, such as the run's name, is left out.
    """
    values: dict[str, set[str]] = {}
    ignored = set.intersection(*map(without_effect, settings)) if settings else set()
    for one in settings:
        for key, value in flat(one).items():
            if not {key, key.split(".")[0]} & ignored:
                values.setdefault(key, set()).add(formats.setting(value))
    return [key for key, different in values.items() if len(different) > 1]


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names; the choices under `schema` by the name of their group: `optim`."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        below = "" if not prefix and key == "schema" else f"{prefix}{key}."
        found |= flat(value, below) if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def cells(run: Run, varied: Sequence[str]) -> Row:
    """The varied settings of a run: numbers stay numbers.

    None is a setting that the run's choices do not have, null one that is not set.
    """
    values = flat(run.settings)
    return {key: _cell(values[key]) if key in values else None for key in varied}


def _cell(value: Any) -> Value:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else formats.setting(value)


def validation_metrics(runs: Sequence[Run]) -> list[str]:
    """The metrics by which the runs' best epochs were chosen, and the accuracy."""
    return list(dict.fromkeys([*(run.result.monitor for run in runs if run.result.monitor), "val/accuracy"]))


class BestValue(NamedTuple):
    """The best value of a metric over the epochs, and the first epoch that has it."""

    value: float | None
    epoch: int | None


def best_value(run: Run, metric: str) -> BestValue:
    """Of the finite ones, by itself and not at the best epoch of another metric."""
    sign = 1 if better(metric, run.settings.get("metrics")) == "min" else -1
    values = {epoch: row[metric] for epoch, row in run.epochs.items() if math.isfinite(row.get(metric, math.nan))}
    epoch = min(values, key=lambda epoch: (sign * values[epoch], epoch), default=None)
    return BestValue(None if epoch is None else values[epoch], epoch)


def at_tested_epoch(run: Run, metric: str) -> float:
    """A metric of the weights that were tested, so at their epoch, or a count; NaN where there is none."""
    if metric in COUNTED:
        count = getattr(run.result, metric)
        return math.nan if count is None else float(count)
    return run.epochs.get(run.result.tested_epoch() or 0, {}).get(metric, math.nan)


def score(run: Run, metric: str) -> float:
    """What a run is chosen by: its tested weights' value of the metric; NaN of a run that has not come to its end."""
    return at_tested_epoch(run, metric) if run.result.status == "completed" else math.nan


def status(result: RunResult) -> str:
    """The status in words: of a run without an end the folder cannot tell whether it goes on."""
    return "running or killed" if result.status == "running" else result.status


def _names(runs: Sequence[Run]) -> list[str]:
    folders = [run.folder.resolve() for run in runs]
    above = _folder_above(runs) if folders else ""
    return [folder.relative_to(above).as_posix() for folder in folders]
