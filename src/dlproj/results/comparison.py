"""What differs between runs and what became of it: one table of all runs, and one with the mean over repetitions."""

import csv
import io
import math
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, NamedTuple

from dlproj.results import formats
from dlproj.results.record import Run
from dlproj.results.scales import Scalar
from dlproj.results.summary import RunResult
from dlproj.settings import better

Value = str | int | float | None
Row = dict[str, Value]

# They decide where a run stands, what is seen of it and what it is compared with, not what comes out.
WITHOUT_EFFECT = {"name", "data.root", "trainer.progress_bar", "figures", "reference",
                  "callbacks.resume", "callbacks.every_n_train_steps"}  # fmt: skip
_TESTED = ("test/accuracy", "test/loss")
CHOOSES = "val/accuracy"


class Spread(NamedTuple):
    """The mean of `size` runs and their sample standard deviation (divided by size - 1); of one run there is none."""

    mean: float
    deviation: float | None
    size: int


Cell = Value | Spread


@dataclass(frozen=True, slots=True)
class Group:
    """Runs whose settings differ in nothing but the seed."""

    settings: dict[str, Scalar]  # the varied settings but the seed: numbers, else text; "" where there is none
    runs: list[Run]

    def spread(self, metric: str) -> Spread | None:
        """Of a test metric, over the runs that were tested and came to a finite value; None without such a run."""
        values = [value for run in self.runs if math.isfinite(value := run.result.metrics.get(metric, math.nan))]
        if not values:
            return None
        return Spread(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several runs side by side."""

    runs: list[Run]
    varied: list[str]  # dotted names of the settings that differ, a choice of a group by the group's name: optim
    names: list[str]  # of the runs: their folders below the one that holds them all
    groups: list[Group]  # in the order of their first runs

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
        return [f"{short[key]}={shown(key, value)}" for key, value in group.settings.items() if value != ""]

    def values(self, key: str) -> list[Any]:
        """What each run has of a setting; None where it has none."""
        return [flat(run.settings).get(key) for run in self.runs]

    @property
    def repeats(self) -> bool:
        """Whether some runs differ in nothing but the seed."""
        return len(self.groups) < len(self.runs)


def compare(runs: Sequence[Run]) -> Comparison:
    """Find what varies, and which runs repeat one another."""
    varied = varied_settings([run.settings for run in runs])
    groups: dict[tuple[Scalar, ...], Group] = {}
    for run in runs:
        settings = {key: "" if value is None else value for key, value in _cells(run, varied).items() if key != "seed"}
        groups.setdefault(tuple(settings.values()), Group(settings, [])).runs.append(run)
    return Comparison(list(runs), varied, _names(runs), list(groups.values()))


def varied_settings(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Dotted names of the settings that have more than one value, in the order of config.yaml.

    One that only some runs have, as another optimizer or an older version lacks it, counts where those that have it
    differ. What decides nothing, such as the run's name, is left out.
    """
    values: dict[str, set[str]] = {}
    for one in settings:
        for key, value in flat(one).items():
            values.setdefault(key, set()).add(formats.setting(value))
    return [
        key for key, different in values.items() if len(different) > 1 and not {key, key.split(".")[0]} & WITHOUT_EFFECT
    ]


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names; the choices under `schema` by the name of their group: `optim`."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        below = "" if not prefix and key == "schema" else f"{prefix}{key}."
        found |= flat(value, below) if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def table(comparison: Comparison) -> list[Row]:
    """A row a run: the settings that vary and what came of them, unrounded; None is what the run does not have."""
    metrics = validation_metrics(comparison.runs)
    return [
        {"run": name} | _cells(run, comparison.varied) | _outcome(run, metrics)
        for run, name in zip(comparison.runs, comparison.names, strict=True)
    ]


def validation_metrics(runs: Sequence[Run]) -> list[str]:
    """The metrics by which the runs' best epochs were chosen, and the accuracy."""
    return list(dict.fromkeys([*(run.result.monitor for run in runs if run.result.monitor), "val/accuracy"]))


def best_value(run: Run, metric: str) -> float | None:
    """The best finite value of a metric over the epochs, by itself and not at the best epoch of another metric."""
    values = [row[metric] for row in run.epochs.values() if math.isfinite(row.get(metric, math.nan))]
    return (min if better(metric) == "min" else max)(values, default=None)


def status(result: RunResult) -> str:
    """The status in words: of a run without an end the folder cannot tell whether it goes on."""
    return "running or killed" if result.status == "running" else result.status


def _outcome(run: Run, metrics: Sequence[str]) -> Row:
    result, ended = run.result, run.result.has_ended()
    last_epoch = max([*run.epochs, result.last_epoch])  # of a run that was killed, the summary knows none
    values: Row = {"status": status(result)}
    values |= {name: result.metrics.get(name) for name in _TESTED}
    for name in metrics:
        values |= {f"{name} best": best_value(run, name), f"{name} last": run.epochs.get(last_epoch, {}).get(name)}
    return values | {
        "best_epoch": result.best_epoch,
        "last_epoch": last_epoch,
        "stop_reason": result.stop_reason,
        "seconds": result.seconds if ended else None,
        "samples_per_second": result.samples_per_second if ended else None,
        "parameters": result.parameters,
        "folder": os.path.relpath(run.folder),
    }


def _cells(run: Run, varied: Sequence[str]) -> Row:
    """Numbers stay numbers; None is a setting that the run's choices do not have, null one that is not set."""
    values = flat(run.settings)
    return {key: _cell(values[key]) if key in values else None for key in varied}


def _cell(value: Any) -> Value:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else formats.setting(value)


def _names(runs: Sequence[Run]) -> list[str]:
    folders = [run.folder.resolve() for run in runs]
    above = os.path.commonpath([folder.parent for folder in folders]) if folders else ""
    return [folder.relative_to(above).as_posix() for folder in folders]


def shown(column: str, value: Cell) -> str:
    """A cell as people read it."""
    if isinstance(value, Spread):
        return formats.mean_and_spread(column, value.mean, value.deviation)
    if column == "seconds":
        return formats.duration(value)  # type: ignore[arg-type]
    if column in ("samples_per_second", "parameters"):
        return formats.count(value)  # type: ignore[arg-type]
    if "/" in column and not isinstance(value, str):
        return formats.metric(column.split()[0], value)
    if value is None or value == "":
        return formats.NONE
    return formats.rounded(value) if isinstance(value, float) else str(value)


_HEADINGS = {
    "best_epoch": "best epoch",
    "last_epoch": "last epoch",
    "stop_reason": "stopped",
    "seconds": "time",
    "samples_per_second": "samples/s",
}


def heading(column: str) -> str:
    """A column's name as people read it."""
    return _HEADINGS.get(column, column)


def repetitions(comparison: Comparison) -> list[dict[str, Cell]]:
    """A row a group of runs that differ in the seed only: settings, mean and spread of the test metrics."""
    rows: list[dict[str, Cell]] = []
    for group in comparison.groups:
        tested = group.spread("test/accuracy")
        counts: dict[str, Cell] = {"runs": len(group.runs), "tested": tested.size if tested else 0}
        rows.append({**group.settings, **counts, **{name: group.spread(name) for name in _TESTED}})
    return rows


class Best(NamedTuple):
    """The best settings, by validation: test figures would be no longer a test of what they chose."""

    words: str  # how good they are
    command: str  # that trains the first of their runs again


def best(comparison: Comparison) -> Best | None:
    """The settings whose runs have the highest mean of each run's best val/accuracy; None where there is none."""
    scored = [(score, group) for group in comparison.groups if (score := _chosen_by(group)) is not None]
    if not scored:
        return None
    score, group = max(scored, key=lambda one: one[0])
    mean = f", mean of {len(group.runs)} seeds" if len(group.runs) > 1 else ""
    return Best(f"{CHOOSES} {formats.metric(CHOOSES, score)}{mean}", command(group.runs[0].result))


def _chosen_by(group: Group) -> float | None:
    values = [value for run in group.runs if (value := best_value(run, CHOOSES)) is not None]
    return fmean(values) if values else None


def command(result: RunResult) -> str:
    """The command line of the run, by itself."""
    swept = any(one.startswith(("+experiment=", "+search=")) for one in result.overrides)  # whose files may ask for -m
    return shlex.join(["python", "train.py", *result.overrides, *(["hydra.mode=RUN"] if swept else [])])


def as_csv(rows: Sequence[Row]) -> str:
    """The table for programs: fractions and unrounded numbers, an empty cell for what a run does not have."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells as people read them."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(map(_markdown, line))} |\n" for line in lines)


def _markdown(cell: str) -> str:
    return " ".join(cell.replace("|", "\\|").replace("<", "&lt;").split())
