"""Plain values that the template shows of several runs."""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from dlproj import formats
from dlproj.config.checks import COUNTED
from dlproj.config.reference import unmatched
from dlproj.reports import search_figures
from dlproj.reports.comparison_figures import (
    SCORE,
    SHOWN,
    bars,
    curves,
    group_colors,
    has_bars,
    heat_map,
    is_grid,
    logged,
    score_against,
)
from dlproj.reports.comparison_table import Cell, best, heading, repetitions, same_runs, score_column, shown, table
from dlproj.reports.run_page import Page, run_summary
from dlproj.reports.style import GREY, svg
from dlproj.reports.weights_figure import weights
from dlproj.runs.comparison import Comparison, Spread, Value, compare, flat, status
from dlproj.runs.record import Damaged, Run

SPREAD = (
    "Mean ± sample standard deviation (n − 1) over the tested runs that differ in nothing but the seed; "
    "of a single run there is none."
)
_RUNS_NOTE = (
    "The best run stands first, by {column}; click a heading to sort. “tested” is the value at the epoch whose weights "
    "were tested, “best” the best over the epochs, of each metric by itself, “last” that of the last epoch."
)
_RUNS_READABLE = 12
_PANELS_READABLE = 6
_RUNS_CHOSEN = 300  # runs up to which curves of other metrics, 0.4 kB each, are drawn


def comparison_page(runs: Sequence[Run], damaged: Sequence[Damaged]) -> Page:
    """Values of report_comparison.html."""
    comparison = compare(runs)
    rows = table(comparison)
    return {
        "title": title(runs),
        "subtitle": _subtitle(comparison),
        "best": _best(comparison),
        "same_runs": same_runs(comparison),
        "damaged": damaged,
        "repeated": _cells(repetitions(comparison)) if comparison.repeats else None,
        "spread_note": SPREAD,
        "table": _cells(rows),
        "places": [i + 1 for i in comparison.ranking()],
        "runs_note": _RUNS_NOTE.format(column=heading(score_column(comparison))),
        "curves": _curves(comparison),
        "legend": _legend(comparison),
        "search": _search(comparison),
        "chooses": comparison.chooses,
        "against": _against(comparison),
        "bars": Markup(svg(bars(comparison), "Test accuracy and seconds") if has_bars(comparison) else ""),
        "against_note": _left_out(len(_compared(comparison)), _PANELS_READABLE, "settings"),
        "weights": _weights(comparison),
        "pages": _pages(comparison),
        "shared": _shared(runs),
    }


def title(runs: Sequence[Run]) -> str:
    """Name of the runs' common parent folder."""
    return os.path.basename(os.path.commonpath([run.folder.resolve().parent for run in runs])) or "Runs"


def _subtitle(comparison: Comparison) -> str:
    runs = comparison.runs
    ends = Counter(status(run.result) for run in runs)
    words = ", ".join(f"{count} {end}" for end, count in ends.items())
    varied = ", ".join(comparison.varied) or "nothing"
    return f"{len(runs)} runs, {words} · what varies: {varied}"


def _best(comparison: Comparison) -> Page | None:
    """The best settings by validation, with their test score."""
    chosen = best(comparison)
    if chosen is None:
        return None
    seeds = len(chosen.runs)
    first = next(i for i, run in enumerate(comparison.runs) if run is chosen.runs[0])
    mean = f"mean test accuracy of {seeds} seeds" if seeds > 1 else "test accuracy"
    return {
        "score": chosen.tested,
        "label": f"{mean}, of the {chosen.weights}",
        "place": first + 1,
        "name": "" if seeds > 1 else comparison.names[first],
        "facts": [(key, shown(key, value)) for key, value in chosen.settings.items()],
        "chosen": f"Best by {chosen.score}",
        "command": chosen.command,
    }


def _cells(rows: Sequence[Mapping[str, Cell]]) -> Page:
    """Headings, and for each cell its text and the number it is sorted by: "" if missing, None to sort by text."""
    return {
        "columns": [heading(key) for key in rows[0]],
        "rows": [[{"text": shown(key, value), "value": _number(value)} for key, value in row.items()] for row in rows],
    }


def _number(value: Cell) -> Value:
    if isinstance(value, Spread):
        return value.mean
    if isinstance(value, str):
        return None
    return "" if value is None or value != value else value


def _legend(comparison: Comparison) -> list[tuple[str, str]]:
    if not comparison.settings:
        return []
    colored = [
        (color, ", ".join(comparison.label(group)))
        for color, group in zip(group_colors(comparison), comparison.groups, strict=True)
        if color != GREY
    ]
    rest = len(comparison.groups) - len(colored)
    return [*colored, *([(GREY, f"{rest} other{'s' * (rest > 1)}")] if rest else [])]


def _curves(comparison: Comparison) -> Page | None:
    """Figures of the metrics by name, and the two that are shown first."""
    metrics = logged(comparison.runs)
    if not metrics:
        return None
    shown = [name for name in ("val/loss", "val/accuracy") if name in metrics] or metrics[:2]
    drawn = metrics if len(comparison.runs) <= _RUNS_CHOSEN else shown
    left_out = "" if drawn == metrics else f"Of more than {_RUNS_CHOSEN} runs no other metric is drawn."
    return {
        "shown": shown,
        "drawn": {name: Markup(svg(curves(comparison, name), f"{name} by epoch, all runs")) for name in drawn},
        "note": " ".join(filter(None, [_colors_note(comparison), left_out, _reported_note(comparison.runs)])),
    }


def _colors_note(comparison: Comparison) -> str:
    if GREY in group_colors(comparison):
        return f"In colour the {SHOWN} with the best {comparison.chooses}."
    return "Runs of one colour differ in the seed only." if comparison.repeats else ""


def _reported_note(runs: Sequence[Run]) -> str:
    """A note on dashed curves, and on reported epochs or metrics that runs lack."""
    if not any(run.result.reference_curves for run in runs):
        return ""
    ended = [run for run in runs if run.result.status != "running"]
    alone = Counter(words for run in ended for words in unmatched(run.result.reference_curves, run.epochs))
    notes = [f"{words} ({count} run{'s' * (count > 1)})" for words, count in alone.most_common(3)]
    dashed = "Dashed, with hollow marks: as reported; where several settings have the same, in the text's colour."
    return " ".join([dashed, *(f"{note}." for note in notes)])


def _left_out(count: int, shown: int, what: str) -> str:
    return f"Of {count} {what} the first {shown} are drawn." if count > shown else ""


def _compared(comparison: Comparison) -> list[str]:
    """Settings that vary among the tested groups."""
    tested = [group for group in comparison.groups if group.spread(SCORE)]
    return [key for key in comparison.settings if len({group.settings[key] for group in tested}) > 1]


def _against(comparison: Comparison) -> list[Markup]:
    settings = _compared(comparison)
    drawn = [svg(score_against(comparison, key), f"Test accuracy against {key}") for key in settings[:_PANELS_READABLE]]
    if len(settings) == len(comparison.settings) == 2 and is_grid(comparison):
        drawn.append(svg(heat_map(comparison), f"Test accuracy by {settings[0]} and {settings[1]}"))
    return list(map(Markup, drawn))


def _search(comparison: Comparison) -> Page | None:
    """Figures of a search: runs by setting, importance of settings, score against size; None for too few runs."""
    if sum(map(math.isfinite, search_figures.scores(comparison))) < search_figures.FEWEST_RUNS:
        return None
    wide, narrow = [], []
    axes = len(search_figures.facets(comparison))
    if axes > 1:
        wide.append(svg(search_figures.parallel_coordinates(comparison), "Settings and score of each run"))
        if shares := search_figures.importance(comparison):
            narrow.append(svg(search_figures.importance_bars(shares), "How much each setting matters"))
    if len({run.result.parameters for run in comparison.runs}) > 2 and comparison.chooses not in COUNTED:
        words = f"{comparison.chooses} against the number of parameters"
        narrow.append(svg(search_figures.pareto(comparison), words))
    if not (wide or narrow):
        return None
    note = _left_out(axes, search_figures.MOST_AXES, "settings and items of lists")
    return {"wide": list(map(Markup, wide)), "narrow": list(map(Markup, narrow)), "note": note}


def _weights(comparison: Comparison) -> Page | None:
    """Histograms of the first run of each group that has them, as many as fit side by side."""
    noted = [group for group in comparison.groups if group.runs[0].inspection.histograms]
    if not noted:
        return None
    shown_groups = noted[:_PANELS_READABLE]
    runs = [group.runs[0] for group in shown_groups]
    names = [comparison.names[comparison.runs.index(run)] for run in runs]
    titles = ["\n".join(comparison.label(group)) or name for group, name in zip(shown_groups, names, strict=True)]
    note = f"The values of each parameter at the start and the end, on the same axes: {', '.join(names)}. "
    note += _left_out(len(noted), _PANELS_READABLE, "groups of runs")
    return {"note": note, "svg": Markup(svg(weights(runs, titles), "Weights of the runs"))}


def _pages(comparison: Comparison) -> list[Page]:
    if len(comparison.runs) > _RUNS_READABLE:
        return []
    pages = [run_summary(run, name) for run, name in zip(comparison.runs, comparison.names, strict=True)]
    labels = {id(run): comparison.label(group) for group in comparison.groups for run in group.runs}
    seeds = "seed" in comparison.varied
    for page, run in zip(pages, comparison.runs, strict=True):
        page["label"] = ", ".join([*labels[id(run)], *([f"seed={run.result.seed}"] if seeds else [])])
    return pages


def _shared(runs: Sequence[Run]) -> list[tuple[str, str]]:
    first, *others = (flat(run.settings) for run in runs)
    everywhere = [key for key, value in first.items() if all(key in run and run[key] == value for run in others)]
    return [(key, formats.setting(first[key])) for key in everywhere]
