"""Plain values that the template shows of several runs."""

import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

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
    group_styles,
    has_bars,
    heat_map,
    is_grid,
    logged,
    score_against,
)
from dlproj.reports.comparison_table import Cell, best, heading, repetitions, same_runs, score_column, shown, table
from dlproj.reports.out_of_fold import NOTE as OUT_OF_FOLD
from dlproj.reports.out_of_fold import out_of_fold
from dlproj.reports.reading import interval_words, training_words
from dlproj.reports.run_page import Page, confusion_page, drawn, run_summary
from dlproj.reports.style import GREY, MARKER_LETTERS, svg
from dlproj.reports.weights_figure import weights
from dlproj.runs.comparison import REPEATED, Comparison, Spread, Value, cells, compare, flat, repeated_in, status
from dlproj.runs.record import Damaged, Run, started

SPREAD = (
    "Mean ± sample standard deviation (n − 1) over the tested runs that differ in nothing but seed and fold; "
    "of a single run there is none."
)
_RUNS_NOTE = (
    "The best run stands first, by {column}; click a heading to sort. “tested” is the value at the epoch whose weights "
    "were tested, “best” the best over the epochs, of each metric by itself, “last” that of the last epoch. “95% low” "
    "and “95% high” are the ends of Wilson's interval of the test accuracy, from the number of its samples: runs whose "
    "intervals overlap may differ by chance alone."
)
_SHOWN_FIRST = ("train/loss", "val/loss", "train/accuracy", "val/accuracy")
_RUNS_READABLE = 12
_PANELS_READABLE = 6
_RUNS_CHOSEN = 300  # runs up to which curves of other metrics, 0.4 kB each, are drawn


def comparison_page(runs: Sequence[Run], damaged: Sequence[Damaged], output: Path | None = None) -> Page:
    """Values of report_comparison.html. output: where it will be, from which it links to the runs' own pages."""
    comparison = compare(runs)
    rows = table(comparison)
    return {
        "title": title(comparison),
        "subtitle": _subtitle(comparison),
        "best": _best(comparison),
        "same_runs": same_runs(comparison),
        "damaged": damaged,
        "repeated": _cells(repetitions(comparison)) if comparison.repeats else None,
        "spread_note": SPREAD,
        "out_of_fold": _out_of_fold(comparison),
        "table": _cells(rows),
        "places": [i + 1 for i in comparison.ranking()],
        "links": _links(comparison, output),
        "runs_note": _RUNS_NOTE.format(column=heading(score_column(comparison))),
        "curves": _curves(comparison),
        "legend": _legend(comparison),
        "search": _search(comparison),
        "chooses": comparison.chooses,
        "against": _against(comparison),
        "bars": drawn(bars(comparison), "Bars:") if has_bars(comparison) else [],
        "against_note": _left_out(len(_compared(comparison)), _PANELS_READABLE, "settings"),
        "weights": _weights(comparison),
        "pages": _pages(comparison),
        "shared": _shared(runs),
    }


def title(comparison: Comparison) -> str:
    """In words, with the name of the common parent folder without its stamp: "mlp: 6 runs that differ in seed"."""
    name = re.sub(r"^\d{8}-\d{6}-([0-9a-f]{6}-)?", "", _parent(comparison.runs).name) or "Comparison"
    varied = comparison.varied
    words = " and ".join(varied) if len(varied) < 3 else f"{len(varied)} settings"
    count = len(comparison.runs)
    return f"{name}: {count} run{'s' if count > 1 else ''}" + (f" that differ in {words}" if varied else "")


def _parent(runs: Sequence[Run]) -> Path:
    return Path(os.path.commonpath([run.folder.resolve().parent for run in runs]))


def _subtitle(comparison: Comparison) -> str:
    runs = comparison.runs
    ends = Counter(status(run.result) for run in runs)
    words = ", ".join(f"{count} {end}" for end, count in ends.items())
    varied = ", ".join(comparison.varied) or "nothing"
    first = min(started(run.folder) for run in runs)
    return f"{len(runs)} runs, {words} · what varies: {varied} · {first:%Y-%m-%d %H:%M} · {_parent(runs).name}"


def _links(comparison: Comparison, output: Path | None) -> list[str]:
    """The way from the page to each run's report.html, in the order of the table; "" where there is none."""
    if output is None:
        return [""] * len(comparison.runs)
    pages = [comparison.runs[i].folder.resolve() / "report.html" for i in comparison.ranking()]
    start = output.resolve().parent
    return [
        quote(os.fsencode(Path(os.path.relpath(page, start)).as_posix())) if page.exists() else "" for page in pages
    ]


def _best(comparison: Comparison) -> Page | None:
    """The best settings by validation, with their test score."""
    chosen = best(comparison)
    if chosen is None:
        return None
    count = len(chosen.runs)
    first = next(i for i, run in enumerate(comparison.runs) if run is chosen.runs[0])
    mean = f"mean test accuracy of {count} {repeated_in(chosen.runs)}" if count > 1 else "test accuracy"
    return {
        "score": chosen.tested,
        "label": f"{mean}, of the {chosen.weights}",
        "interval": "" if count > 1 else interval_words(chosen.runs[0].result),
        "place": first + 1,
        "name": "" if count > 1 else comparison.names[first],
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


def _legend(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Colour, marker as a letter, and words of each group that has a colour; then the others."""
    if not comparison.settings:
        return []
    colored = [
        (style["color"], MARKER_LETTERS[style["marker"]], ", ".join(comparison.label(group)))
        for style, group in zip(group_styles(comparison), comparison.groups, strict=True)
        if style["color"] != GREY
    ]
    rest = len(comparison.groups) - len(colored)
    return [*colored, *([(GREY, "", f"{rest} other{'s' * (rest > 1)}")] if rest else [])]


def _curves(comparison: Comparison) -> Page | None:
    """Figures of the metrics by name, and those that are shown first: training beside validation."""
    metrics = logged(comparison.runs)
    if not metrics:
        return None
    shown = [name for name in _SHOWN_FIRST if name in metrics] or metrics[:2]
    drawn = metrics if len(comparison.runs) <= _RUNS_CHOSEN else shown
    left_out = "" if drawn == metrics else f"Of more than {_RUNS_CHOSEN} runs no other metric is drawn."
    return {
        "shown": shown,
        "drawn": {name: Markup(svg(curves(comparison, name), f"{name} by epoch, all runs")) for name in drawn},
        "note": " ".join(filter(None, _curve_notes(comparison, left_out))),
    }


def _curve_notes(comparison: Comparison, left_out: str) -> list[str]:
    return [_colors_note(comparison), left_out, _reported_note(comparison.runs), training_words(comparison.runs)]


def _colors_note(comparison: Comparison) -> str:
    if GREY in group_colors(comparison):
        return f"In colour the {SHOWN} with the best {comparison.chooses}."
    return "Runs of one colour differ in seed or fold only." if comparison.repeats else ""


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
    figures = []
    axes = len(search_figures.facets(comparison))
    if axes > 1:
        figures.append(svg(search_figures.parallel_coordinates(comparison), "Settings and score of each run"))
        if shares := search_figures.importance(comparison):
            figures.append(svg(search_figures.importance_bars(shares), "How much each setting matters"))
    if len({run.result.parameters for run in comparison.runs}) > 2 and comparison.chooses not in COUNTED:
        words = f"{comparison.chooses} against the number of parameters"
        figures.append(svg(search_figures.pareto(comparison), words))
    if not figures:
        return None
    note = _left_out(axes, search_figures.MOST_AXES, "settings and items of lists")
    return {"figures": list(map(Markup, figures)), "note": note}


def _weights(comparison: Comparison) -> Page | None:
    """Densities of the first completed run of each group that has them, of as many groups as can be told apart."""
    styles = zip(comparison.groups, group_styles(comparison), strict=True)
    runs = [(group, group.repetitions[0], style["color"]) for group, style in styles if style["color"] != GREY]
    noted = [(group, run, color) for group, run, color in runs if run.inspection.histograms]
    noted = [one for one in noted if one[1].result.status == "completed"] or noted
    if not noted:
        return None
    noted = noted[:_PANELS_READABLE]
    names = [comparison.names[comparison.runs.index(run)] for _, run, _ in noted]
    legend = [
        (color, "", ", ".join(comparison.label(group)) or name)
        for (group, _, color), name in zip(noted, names, strict=True)
    ]
    figures = weights([run for _, run, _ in noted], [color for *_, color in noted])
    words = f"of the runs {', '.join(names)}" if len(names) > 1 else f"of run {names[0]}"
    note = (
        f"How the values of each parameter are distributed, {words}: solid lines at the end, dotted ones at the start."
    )
    return {"note": note, "legend": legend, "figures": drawn(figures, "Weights:")}


def _pages(comparison: Comparison) -> list[Page]:
    if len(comparison.runs) > _RUNS_READABLE:
        return []
    pages = [run_summary(run, name) for run, name in zip(comparison.runs, comparison.names, strict=True)]
    labels = {id(run): comparison.label(group) for group in comparison.groups for run in group.runs}
    repeated = [key for key in REPEATED if key in comparison.varied]
    for page, run in zip(pages, comparison.runs, strict=True):
        words = [f"{key.removeprefix('data.')}={value}" for key, value in cells(run, repeated).items()]
        page["label"] = ", ".join([*labels[id(run)], *words])
    return pages


def _out_of_fold(comparison: Comparison) -> Page | None:
    """Table of the out-of-fold accuracies, and the confusion matrices of those that are complete."""
    parts = out_of_fold(comparison)
    complete = [part for part in parts if part.predictions is not None]
    if not parts:
        return None
    matrices = [
        (", ".join(f"{key}={shown(key, value)}" for key, value in part.settings.items()), matrix)
        for part in complete[:_PANELS_READABLE]
        if (matrix := confusion_page(part.confusion_matrix(), part.classes))
    ]
    note = _left_out(len(complete), _PANELS_READABLE, "confusion matrices")
    return {"table": _cells([part.row() for part in parts]), "matrices": matrices, "note": f"{OUT_OF_FOLD} {note}"}


def _shared(runs: Sequence[Run]) -> list[tuple[str, str]]:
    first, *others = (flat(run.settings) for run in runs)
    everywhere = [key for key, value in first.items() if all(key in run and run[key] == value for run in others)]
    return [(key, formats.setting(first[key])) for key in everywhere]
