"""The table of a comparison, the best settings, and the command that repeats them."""

import csv
import io
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from dlproj import formats
from dlproj.config.checks import COUNTED, DISTANCE
from dlproj.config.places import train_command
from dlproj.reports.reading import accuracy_interval
from dlproj.runs.comparison import (
    Comparison,
    Row,
    Scalar,
    Spread,
    Value,
    best_value,
    cells,
    fold_of,
    repeated_in,
    repetition,
    status,
    test_spread,
    validation_metrics,
)
from dlproj.runs.record import Run
from dlproj.runs.summary import RunResult

Cell = Value | Spread

_TESTED = ("test/accuracy", "test/loss")


def table(comparison: Comparison) -> list[Row]:
    """One row per run, the best first: the varied settings and the results, unrounded; None for missing values.

    Validation metrics are given at the tested epoch, at their best epoch and at the last epoch.
    """
    chooses = [] if comparison.chooses in COUNTED else [comparison.chooses]
    metrics = list(dict.fromkeys([*chooses, *validation_metrics(comparison.runs)]))
    counts = _further_counts(comparison)
    runs = [(comparison.runs[i], comparison.names[i]) for i in comparison.ranking()]
    return [{"run": name} | cells(run, comparison.varied) | _outcome(run, metrics, counts) for run, name in runs]


def _further_counts(comparison: Comparison) -> list[str]:
    """Optional columns: the peak memory if runs are ranked by it, and the distance from reported curves if known."""
    chooses = [comparison.chooses] if comparison.chooses == "peak_memory_bytes" else []
    distance = any(run.result.reference_distance is not None for run in comparison.runs)
    return chooses + [DISTANCE] * distance


def score_column(comparison: Comparison) -> str:
    """The column of table() that runs are ranked by."""
    return comparison.chooses if comparison.chooses in COUNTED else f"{comparison.chooses} tested"


def _outcome(run: Run, metrics: Sequence[str], counts: Sequence[str]) -> Row:
    result, ended = run.result, run.result.has_ended()
    last_epoch = max([*run.epochs, result.last_epoch])  # the summary of a killed run has none
    values: Row = {"status": status(result)}
    interval = accuracy_interval(result)
    low, high = interval[:2] if interval else (None, None)
    values |= {
        "test/accuracy": result.metrics.get("test/accuracy"),
        "test/accuracy low": low,
        "test/accuracy high": high,
    }
    values["test/loss"] = result.metrics.get("test/loss")
    values["tested_epoch"] = result.tested_epoch()
    for name in metrics:
        (top, top_epoch), tested = best_value(run, name), run.epochs.get(result.tested_epoch() or 0, {})
        values |= {f"{name} tested": tested.get(name), f"{name} best": top, f"{name} best epoch": top_epoch}
        values[f"{name} last"] = run.epochs.get(last_epoch, {}).get(name)
    return values | {
        "best_epoch": result.best_epoch,
        "last_epoch": last_epoch,
        "stop_reason": result.stop_reason,
        "seconds": result.seconds if ended else None,
        "samples_per_second": result.samples_per_second if ended else None,
        "parameters": result.parameters,
        **{name: getattr(result, name) if ended else None for name in counts},
        "folder": os.path.relpath(run.folder),
    }


def shown(column: str, value: Cell) -> str:
    """Format a cell for display, depending on its column."""
    if isinstance(value, Spread):
        return formats.mean_and_spread(column.split()[0], value.mean, value.deviation)
    if column == "seconds":
        return formats.duration(value)  # type: ignore[arg-type]
    if column in ("samples_per_second", "parameters"):
        return formats.count(value)  # type: ignore[arg-type]
    if "/" in column and not isinstance(value, str) and not column.endswith(" epoch"):
        return formats.metric(column.split()[0], value)
    if value is None or value == "":
        return formats.NONE
    return formats.rounded(value) if isinstance(value, float) else str(value)


_HEADINGS = {
    "tested_epoch": "tested epoch",
    "best_epoch": "best epoch",
    "last_epoch": "last epoch",
    "stop_reason": "stopped",
    "seconds": "time",
    "samples_per_second": "samples/s",
    "test/accuracy low": "95% low",
    "test/accuracy high": "95% high",
    "out-of-fold/accuracy": "out-of-fold accuracy",
    "out-of-fold/accuracy low": "95% low",
    "out-of-fold/accuracy high": "95% high",
    DISTANCE: "distance from the reported curves",
}


def heading(column: str) -> str:
    """The displayed name of a column."""
    return _HEADINGS.get(column, column)


def repetitions(comparison: Comparison) -> list[dict[str, Cell]]:
    """One row per group of runs that differ only in seed or fold, the best first: settings, mean, spread of metrics."""
    rows: list[dict[str, Cell]] = []
    for group in (comparison.groups[i] for i in comparison.group_ranking()):
        tested = group.spread("test/accuracy")
        counts: dict[str, Cell] = {"tested": tested.size if tested else 0}
        if "data.fold" in comparison.varied:
            counts = {"folds": len(set(map(fold_of, group.repetitions)))} | counts
        if "seed" in comparison.varied or "data.fold" not in comparison.varied:
            counts = {"seeds": len({run.result.seed for run in group.repetitions})} | counts
        metrics = {name: group.spread(name) for name in _TESTED}
        if (column := score_column(comparison)) not in COUNTED:
            metrics[column] = group.score(comparison.chooses)
        rows.append({**group.settings, **counts, **metrics})
    return rows


def same_runs(comparison: Comparison) -> str:
    """A note on runs with the same settings, seed and fold; "" if there are none."""
    named = {id(run): name for run, name in zip(comparison.runs, comparison.names, strict=True)}
    alike = [
        [named[id(run)] for run in group.runs if repetition(run) == repetition(counted)]
        for group in comparison.groups
        for counted in group.repetitions
    ]
    what = "settings, seed and fold" if "data.fold" in comparison.varied else "settings and seed"
    notes = [
        f"{len(names)} runs of the same {what} count as one: {', '.join(names)}" for names in alike if len(names) > 1
    ]
    return "; ".join([*notes[:3], *([f"and {len(notes) - 3} more"] if len(notes) > 3 else [])])


@dataclass(frozen=True, slots=True)
class Best:
    """The best settings by validation; choosing by the test set would make it no longer a test."""

    runs: list[Run]  # the group's completed runs, one per seed and fold
    score: str  # validation score, in words
    tested: str  # test accuracy of these weights
    weights: str  # "best weights (epoch 7)"
    settings: dict[str, Scalar]  # the varied settings
    command: str  # trains the first of the runs again

    @property
    def words(self) -> str:
        """The scores in one line."""
        return f"{self.score}; test accuracy {self.tested}, of the {self.weights}"


def best(comparison: Comparison) -> Best | None:
    """The settings with the best mean score; None if no run has a score."""
    group = next((comparison.groups[i] for i in comparison.group_ranking()), None)
    if group is None or (spread := group.score(comparison.chooses)) is None:
        return None
    runs, every = group.scored(comparison.chooses), len(group.repetitions)
    first, alone = runs[0].result, len(runs) == 1
    what = repeated_in(group.repetitions)
    count = f"{len(runs)} of {every} {what}" if len(runs) < every else f"{every} {what}"  # the others are not completed
    mean = ("" if every == 1 else f", {count}") if alone else f", mean of {count}"
    return Best(
        runs,
        score=f"{comparison.chooses} {shown(comparison.chooses, spread.mean)}{mean}",
        tested=shown("test/accuracy", test_spread(runs, "test/accuracy")),
        weights=f"{first.tested_weights} weights" + (f" (epoch {first.tested_epoch()})" if alone else ""),
        settings=group.settings,
        command=command(first),
    )


def command(result: RunResult) -> str:
    """The command line that trains the run by itself."""
    swept = any(text.startswith(("+experiment=", "+search=")) for text in result.overrides)  # their files may set -m
    return shlex.join([*train_command().split(), *result.overrides, *(["hydra.mode=RUN"] if swept else [])])


def as_csv(rows: Sequence[Row]) -> str:
    """The table as CSV: fractions and unrounded numbers, an empty cell for a missing value."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of formatted cells."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(map(as_markdown_text, line))} |\n" for line in lines)


def as_markdown_text(text: str) -> str:
    """Escape a text for one line of Markdown, also inside a table's cell."""
    escaped = re.sub(r"([\\`*~|]|(?<![^\W_])_|_(?![^\W_])|\[(?=[^]]*\]\())", r"\\\1", text.replace("&", "&amp;"))
    return " ".join(escaped.replace("<", "&lt;").split())
