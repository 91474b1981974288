"""Figures of a search: runs by setting and score, importance of settings, score against number of parameters."""

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
from dlproj.config.checks import better
from dlproj.reports.comparison_table import shown
from dlproj.reports.scales import in_order, scale
from dlproj.reports.style import COLORS, GREY, INK, SCALE, new_figure, short, styled
from dlproj.runs.comparison import Comparison, Scalar, score
from dlproj.runs.record import Run

FEWEST_RUNS = 4  # with fewer a table says more
MOST_AXES = 9

Facets = dict[str, list[Scalar]]  # by name, a value for each run, "" if the run has none


def facets(comparison: Comparison) -> Facets:
    """Varied settings except the seed; a list, such as the widths of layers, gives its length and each item."""
    columns: Facets = {}
    for key in comparison.settings:
        values = [_plain(value) for value in comparison.values(key)]
        if any(isinstance(value, list) for value in values):
            columns |= _of_lists(key, [value if isinstance(value, list) else [] for value in values])
        else:
            columns[key] = values
    return {name: values for name, values in columns.items() if len(set(values)) > 1}


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
    """Score of each run; NaN without one."""
    return [score(run, comparison.chooses) for run in comparison.runs]


def parallel_coordinates(comparison: Comparison) -> Figure:
    """A vertical axis for each varied setting and for the score, and a line through them for each run."""
    columns = dict(list(facets(comparison).items())[:MOST_AXES])
    values = scores(comparison)
    shade = Normalize(np.nanmin(values), np.nanmax(values))
    with styled():
        figure = new_figure(1.6 + 1.35 * len(columns), 3.8)
        axes = figure.add_axes((0.06, 0.1, 0.88, 0.68))
        heights = [_vertical_axis(axes, x, name, column) for x, (name, column) in enumerate(columns.items())]
        heights.append(_vertical_axis(axes, len(columns), comparison.chooses, values))
        for run in reversed(comparison.ranking()):  # the best run is drawn on top
            line = [(x, column[run]) for x, column in enumerate(heights) if math.isfinite(column[run])]
            color = SCALE(shade(values[run])) if math.isfinite(values[run]) else GREY
            axes.plot(*zip(*line, strict=True), color=color, linewidth=1.4, alpha=0.8)
        axes.set(xlim=(-0.3, len(columns) + 0.3), ylim=(-0.04, 1.04))
        axes.set_axis_off()
        return figure


def _vertical_axis(axes: Axes, x: int, name: str, values: Sequence[Scalar]) -> list[float]:
    """Draw an axis at `x`; returns the height of each value in [0, 1], NaN for a run without a value."""
    present = [value for value in values if value != "" and value == value]
    kind = scale(present)
    ordered = in_order(present)
    if kind == "categories":
        heights: Mapping[Scalar, float] = {value: _share(i, len(ordered) - 1) for i, value in enumerate(ordered)}
        ticks = [(value, heights[value]) for value in ordered[:: max(1, len(ordered) // 8)]]
    else:
        numbers = [math.log(value) if kind == "log" else float(value) for value in ordered]  # type: ignore[arg-type]
        low, high = min(numbers), max(numbers)
        heights = {value: _share(number - low, high - low) for value, number in zip(ordered, numbers, strict=True)}
        ticks = [(value, heights[value]) for value in (ordered if len(ordered) <= 6 else (ordered[0], ordered[-1]))]
    axes.axvline(x, color=INK, linewidth=0.8, alpha=0.6)
    axes.text(x, 1.1, short(name, 22), ha="center", fontsize=8, rotation=12)
    for value, height in ticks:
        axes.text(x + 0.03, height, _tick(name, value), fontsize=7, va="center")
    return [heights.get(value, math.nan) for value in values]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.5


def _tick(name: str, value: Scalar) -> str:
    if isinstance(value, str):
        return short(value, 12)
    return shown(name, value) if "/" in name else f"{value:.3g}"


def importance(comparison: Comparison) -> dict[str, float]:
    """Share of each setting in the variance of the scores, the largest first, by fANOVA (Hutter et al. 2014).

    Only settings that all runs have count. Empty if Optuna is not installed or there are too few runs.
    """
    columns = {name: column for name, column in facets(comparison).items() if "" not in column}
    values = scores(comparison)
    scored = [run for run, value in enumerate(values) if math.isfinite(value)]
    if find_spec("optuna") is None or len(columns) < 2 or len(scored) < FEWEST_RUNS:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    spaces = {name: _distribution(column) for name, column in columns.items()}
    for run in scored:
        params = {name: column[run] for name, column in columns.items()}
        study.add_trial(optuna.create_trial(params=params, distributions=spaces, value=values[run]))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    with suppress(RuntimeError):  # raised if all scores are equal
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
    """A bar for the importance of each setting."""
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
    """Indices of the Pareto-optimal runs by value and number of parameters, in ascending order of parameters."""
    sign = 1 if better(metric) == "min" else -1
    points = [(run.result.parameters, sign * value) for run, value in zip(runs, values, strict=True)]
    order = sorted((i for i, value in enumerate(values) if math.isfinite(value)), key=lambda j: points[j])
    front: list[int] = []
    for i in order:
        if not front or points[i][1] < points[front[-1]][1]:
            front.append(i)
    return front


def pareto(comparison: Comparison) -> Figure:
    """Score against number of parameters, one dot per run, and a line through the Pareto-optimal runs."""
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
        if not comparison.chooses.endswith("loss"):
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(axis="y")
        axes.legend(fontsize=8, loc="lower right")
        return figure
