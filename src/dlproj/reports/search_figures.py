"""Figures of many runs over many settings: which values lead where, which settings matter, what accuracy costs."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dlproj import formats
from dlproj.config.metrics import better
from dlproj.reports.comparison_table import shown
from dlproj.reports.scales import in_order, scale
from dlproj.reports.style import COLORS, GREY, INK, SCALE, new_figure, short, styled
from dlproj.runs.comparison import Comparison, Scalar, score
from dlproj.runs.record import Run

FEWEST_RUNS = 4  # below it a table says more
MOST_AXES = 9

Facets = dict[str, list[Scalar]]  # by name a value for each run, "" where it has none


def facets(comparison: Comparison) -> Facets:
    """The settings that vary, without the seed; of a list, such as the layers' widths, its length and its items."""
    varying: Facets = {}
    for key in comparison.settings:
        values = [_plain(value) for value in comparison.values(key)]
        if any(isinstance(value, list) for value in values):
            varying |= _of_lists(key, [value if isinstance(value, list) else [] for value in values])
        else:
            varying[key] = values
    return {name: values for name, values in varying.items() if len(set(values)) > 1}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return value if all(isinstance(item, int | float) for item in value) else formats.setting(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return "" if value is None else value if number else formats.setting(value)


def _of_lists(key: str, values: Sequence[list[float]]) -> Facets:
    items = range(max(map(len, values)))
    lengths: Facets = {f"number of {key}": [len(value) for value in values]}
    return lengths | {f"{key}[{i}]": [value[i] if i < len(value) else "" for value in values] for i in items}


def scores(comparison: Comparison) -> list[float]:
    """The value by which each run is chosen; NaN where it has none."""
    return [score(run, comparison.chooses) for run in comparison.runs]


def parallel_coordinates(comparison: Comparison) -> Figure:
    """An axis for each setting that varies and one for the score, below one another, and a line a run through them."""
    rows = dict(list(facets(comparison).items())[:MOST_AXES])
    by_run = scores(comparison)
    shade = Normalize(np.nanmin(by_run), np.nanmax(by_run))
    height = 0.7 + 0.72 * len(rows)
    with styled():
        figure = new_figure(5.4, height)
        axes = figure.add_axes((0, 0, 1, 1))
        places = [_draw_axis(axes, y, name, values) for y, (name, values) in enumerate(rows.items())]
        places.append(_draw_axis(axes, len(rows), comparison.chooses, by_run))
        for run in reversed(comparison.ranking()):  # the best one lies on top
            line = [(row[run], y) for y, row in enumerate(places) if math.isfinite(row[run])]
            color = SCALE(shade(by_run[run])) if math.isfinite(by_run[run]) else GREY
            axes.plot(*zip(*line, strict=True), color=color, linewidth=1.4, alpha=0.8)
        axes.set(xlim=(-0.09, 1.09), ylim=(len(rows) + 0.45, -0.5))
        axes.set_axis_off()
        return figure


def _draw_axis(axes: Axes, y: int, name: str, values: Sequence[Scalar]) -> list[float]:
    """Draw a level axis at y; return the place of each value on it, in [0, 1], NaN for a run that has none."""
    present = [value for value in values if value != "" and value == value]
    kind = scale(present)
    ordered = in_order(present)
    if kind == "categories":
        spots: Mapping[Scalar, float] = {value: _share(i, len(ordered) - 1) for i, value in enumerate(ordered)}
    else:
        numbers = [math.log(value) if kind == "log" else float(value) for value in ordered]  # type: ignore[arg-type]
        low, high = min(numbers), max(numbers)
        spots = {value: _share(number - low, high - low) for value, number in zip(ordered, numbers, strict=True)}
    axes.plot([0, 1], [y, y], color=INK, linewidth=0.8, alpha=0.6)
    axes.text(-0.06, y - 0.2, short(name, 60), fontsize=8, weight="bold", va="bottom")
    for place, words in _readable({spots[value]: _tick(name, value) for value in ordered}).items():
        axes.text(place, y + 0.1, words, fontsize=7, ha="center", va="top")
    return [spots.get(value, math.nan) for value in values]


_LETTER = 0.0125  # width of a letter as a share of the axis


def _readable(ticks: Mapping[float, str]) -> dict[float, str]:
    """The ticks at both ends, and of the others those that cover none before."""
    kept: dict[float, str] = {}
    for place in sorted(ticks, key=lambda place: (place not in (min(ticks), max(ticks)), place)):
        room = [abs(place - other) - _LETTER * (len(ticks[place]) + len(kept[other])) / 2 for other in kept]
        if min(room, default=1.0) > _LETTER:
            kept[place] = ticks[place]
    return kept


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.5


def _tick(name: str, value: Scalar) -> str:
    if isinstance(value, str):
        return short(value, 12)
    return shown(name, value) if "/" in name else f"{value:.3g}"


def importance(comparison: Comparison) -> dict[str, float]:
    """The share of each setting in the differences of the scores, the largest first, by fANOVA (Hutter et al. 2014).

    Of settings that all runs have. Empty where Optuna, which computes it, is not installed, or where runs are too few.
    """
    columns = {name: values for name, values in facets(comparison).items() if "" not in values}
    by_run = scores(comparison)
    finite = [run for run, value in enumerate(by_run) if math.isfinite(value)]
    if find_spec("optuna") is None or len(columns) < 2 or len(finite) < FEWEST_RUNS:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    spaces = {name: _distribution(values) for name, values in columns.items()}
    for run in finite:
        params = {name: values[run] for name, values in columns.items()}
        study.add_trial(optuna.create_trial(params=params, distributions=spaces, value=by_run[run]))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    with suppress(RuntimeError):  # what it raises where the scores do not differ
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
    return {}


def _distribution(values: Sequence[Scalar]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    kind = scale(values)
    if kind == "categories":
        return CategoricalDistribution(in_order(values))
    numbers = [float(value) for value in values]
    return FloatDistribution(min(numbers), max(numbers), log=kind == "log")


def importance_bars(shares: Mapping[str, float]) -> Figure:
    """Draw a bar for the importance of each setting."""
    with styled():
        figure = new_figure(4.7, 3.1)
        axes = figure.add_axes((0.4, 0.16, 0.55, 0.73))
        axes.tick_params(labelsize=8)
        axes.barh([short(name, 24) for name in shares], list(shares.values()), color=COLORS[0])
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set_title("Importance")
        return figure


def undominated(runs: Sequence[Run], values: Sequence[float], metric: str) -> list[int]:
    """The indices of the Pareto front: no other run has as few parameters and a better value, or fewer and as good."""
    sign = 1 if better(metric) == "min" else -1
    points = [(run.result.parameters, sign * value) for run, value in zip(runs, values, strict=True)]
    order = sorted((i for i, value in enumerate(values) if math.isfinite(value)), key=lambda i: points[i])
    front: list[int] = []
    for i in order:
        if not front or points[i][1] < points[front[-1]][1]:
            front.append(i)
    return front


def pareto(comparison: Comparison) -> Figure:
    """The scores against the number of parameters, a dot a run, and a line through those that no other beats."""
    values = scores(comparison)
    sizes = [run.result.parameters for run in comparison.runs]
    front = undominated(comparison.runs, values, comparison.chooses)
    with styled():
        figure = new_figure(4.7, 3.1)
        axes = figure.add_axes((0.14, 0.17, 0.82, 0.72))
        axes.plot(sizes, values, "o", color=COLORS[0], markersize=4, alpha=0.6)
        best = [sizes[i] for i in front], [values[i] for i in front]
        axes.plot(*best, "o-", color=COLORS[1], drawstyle="steps-post", label="no other run beats these")
        axes.set_xscale("log" if max(sizes) >= 8 * min(sizes) else "linear")
        axes.set(xlabel="parameters", title=comparison.chooses)
        if comparison.chooses.endswith(formats.PERCENTAGES):
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(axis="y")
        axes.legend(fontsize=8, loc="lower right")
        return figure
