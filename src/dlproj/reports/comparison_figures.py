"""Figures of several runs: curves on shared axes, test accuracy against the varied settings, weights."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dlproj import formats
from dlproj.reports.run_figures import epochs_axis, reported_line, scale_loss
from dlproj.reports.scales import in_order, scale
from dlproj.reports.style import COLORS, GREY, INK, SCALE, layered, new_figure, short, styled
from dlproj.runs.comparison import Comparison, Group, Scalar, Spread
from dlproj.runs.record import Run

SCORE = "test/accuracy"
SHOWN = len(COLORS) - 1  # groups with a colour of their own
_SHADES = LinearSegmentedColormap.from_list("dlproj_shades", ["#dfeaf6", "#2a78b5", "#0b3a63"])
_MARKED = 100  # runs up to which each epoch has a dot: dots are most of a page's size
_SEARCHED = 100  # dots up to which matplotlib places the legend in less than a second
_MOST_BARS = 30
_SIZE = (4.7, 3.1)  # inches: two fit side by side on a screen, one on a phone


def group_colors(comparison: Comparison) -> list[str]:
    """A colour for each group: along a scale if only one numeric setting varies, else distinct colours.

    If there are more groups than colours, the best groups by validation have one and the others are GREY.
    """
    groups = comparison.groups
    if len(comparison.settings) == 1 and len(groups) > 2:
        values = [group.settings[comparison.settings[0]] for group in groups]
        if not any(isinstance(value, str) for value in values):
            return _along_scale([in_order(values).index(value) for value in values])
    best = sorted(comparison.group_ranking()[:SHOWN])
    return [COLORS[best.index(i)] if i in best else GREY for i in range(len(groups))]


def _along_scale(ranks: Sequence[int]) -> list[str]:
    return [to_hex(SCALE(rank / max(1, *ranks))) for rank in ranks]


def logged(runs: Sequence[Run]) -> list[str]:
    """Metrics logged by the runs, then those that only a document reports."""
    metrics = dict.fromkeys(name for run in runs for row in run.epochs.values() for name in row)
    return list(metrics | dict.fromkeys(name for run in runs for name in run.result.reference_curves))


def group_styles(comparison: Comparison) -> list[dict[str, Any]]:
    """Line style of each group: its colour and, unless grey, a marker and a width by which it shows below others."""
    colors = group_colors(comparison)
    drawn = [i for i, color in enumerate(colors) if color != GREY]
    grey = {"linewidth": 1.0, "marker": "", "zorder": 2}
    return [
        {"color": color} | (layered(drawn.index(i), len(drawn)) | {"zorder": 3} if i in drawn else grey)
        for i, color in enumerate(colors)
    ]


def curves(comparison: Comparison, metric: str) -> Figure:
    """A metric by epoch, one line per run, in the style of its group; grey lines are drawn below.

    Training and validation have the same vertical axis. Reported curves are dashed with hollow marks, in the colour of
    their group, or INK if several groups share one.
    """
    few = len(comparison.runs) <= _MARKED
    with styled():
        figure, axes = _panel(metric)
        for group, style in zip(comparison.groups, group_styles(comparison), strict=True):
            for run in group.runs:
                _curve(axes, run, metric, style | ({} if few else {"marker": ""}), alone=len(group.repetitions) == 1)
        for curve, color in _reported(comparison, metric).items():
            reported_line(axes, dict(curve), color, "o")
        epochs_axis(axes)
        _share_axis(axes, comparison, metric)
        if metric.endswith(formats.PERCENTAGES):
            _percent(axes)
        return figure


def _share_axis(axes: Axes, comparison: Comparison, metric: str) -> None:
    """Give the axis the range of the metric in training and validation, in all runs that have not diverged."""
    split, _, name = metric.partition("/")
    if split not in ("train", "val"):
        return
    both = [f"{split}/{name}" for split in ("train", "val")]
    rows = [row for run in comparison.runs if run.result.status != "diverged" for row in run.epochs.values()]
    curves = [run.result.reference_curves.get(one, {}) for run in comparison.runs for one in both]
    values = [row[one] for row in rows for one in both if one in row] + [v for curve in curves for v in curve.values()]
    finite = np.array([value for value in values if math.isfinite(value)])
    if not len(finite):
        return
    if name.endswith("loss"):
        scale_loss(axes, finite)
    if axes.get_yscale() == "log":
        axes.set_ylim(finite.min() / 1.1, finite.max() * 1.1)
    else:
        margin = 0.05 * (float(np.ptp(finite)) or 1.0)
        axes.set_ylim(finite.min() - margin, finite.max() + margin)


def _reported(comparison: Comparison, metric: str) -> dict[tuple[tuple[int, float], ...], str]:
    """The reported curves, each with the colour of its group, or INK if several groups share it."""
    colors: dict[tuple[tuple[int, float], ...], str] = {}
    for group, color in zip(comparison.groups, group_colors(comparison), strict=True):
        for curve in {tuple(sorted(run.result.reference_curves.get(metric, {}).items())) for run in group.runs}:
            colors[curve] = INK if curve in colors else color
    return colors


def _panel(title: str) -> tuple[Figure, Axes]:
    figure = new_figure(*_SIZE)
    axes = figure.add_axes((0.13, 0.16, 0.84, 0.73))
    axes.set_title(title)
    axes.grid(axis="y")
    return figure, axes


def _curve(axes: Axes, run: Run, metric: str, style: Mapping[str, Any], alone: bool) -> None:
    points = [(epoch, row[metric]) for epoch, row in sorted(run.epochs.items()) if metric in row]
    style = {**style, "alpha": 1 if alone else 0.7} | ({} if len(points) <= 20 else {"marker": ""})
    axes.plot(*zip(*points, strict=True), **style)


def _percent(axes: Axes) -> None:
    axes.set_ylim(top=min(axes.get_ylim()[1], 1.005))
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def score_against(comparison: Comparison, setting: str) -> Figure:
    """Test accuracy of each run against a setting; lines join means if it is numeric and at most one other varies.

    Error bars are the standard deviation over seeds; colours are the values of the other setting.
    """
    groups = [group for group in comparison.groups if group.spread(SCORE)]
    others = [key for key in comparison.settings if key != setting]
    values = in_order(group.settings[others[0]] if len(others) == 1 else "" for group in groups)
    colors = COLORS if len(values) <= len(COLORS) else _along_scale(range(len(values)))
    with styled():
        figure, axes = _panel("Test accuracy")
        positions = _positions(axes, in_order(group.settings[setting] for group in groups))
        ordered = not any(isinstance(value, str) for value in positions)
        for i, (value, color) in enumerate(zip(values, colors, strict=False)):
            part = [group for group in groups if len(others) != 1 or group.settings[others[0]] == value]
            part.sort(key=lambda group: positions[group.settings[setting]])
            line = "-" if ordered and len(others) < 2 else "none"
            style = {"color": color, "linestyle": line, "label": _word(value)} | layered(i, len(values))
            _points(axes, [positions[group.settings[setting]] for group in part], part, style)
        axes.set_xlabel(setting)
        _percent(axes)
        if len(values) > 1:
            corner = 0 if len(groups) <= _SEARCHED else 3  # matplotlib's choice, or the lower left
            axes.legend(title=others[0], fontsize=8, title_fontsize=8, loc=corner)
        return figure


def _word(value: Scalar) -> str:
    return short(value if isinstance(value, str) else formats.setting(value), 20)


def _points(axes: Axes, x: Sequence[float], groups: Sequence[Group], style: Mapping[str, Any]) -> None:
    """A dot per run, and the mean of each group with an error bar of one standard deviation."""
    spreads = [spread for group in groups if (spread := group.spread(SCORE))]
    for position, group in zip(x, groups, strict=True):
        if len(group.repetitions) > 1:
            scores = [run.result.metrics.get(SCORE, math.nan) for run in group.repetitions]
            axes.plot([position] * len(scores), scores, "o", color=style["color"], markersize=3, alpha=0.5)
    bars = [math.nan if spread.deviation is None else spread.deviation for spread in spreads]
    axes.errorbar(x, [spread.mean for spread in spreads], bars, capsize=3, **style)


def _positions(axes: Axes, values: Sequence[Scalar]) -> Mapping[Scalar, float]:
    """Set scale and ticks of the horizontal axis; returns the position of each value."""
    labels = [_word(value) for value in values]
    kind = scale(values)
    if kind == "categories":
        axes.set_xticks(range(len(values)), labels)
        axes.set_xlim(-0.5, len(values) - 0.5)
        return {value: i for i, value in enumerate(values)}
    axes.set_xscale(kind)
    axes.xaxis.set_major_formatter("{x:g}")
    numbers = list(map(float, values))
    if len(values) <= 7:
        axes.set_xticks(numbers, labels)
        axes.minorticks_off()
    return dict(zip(values, numbers, strict=True))


def is_grid(comparison: Comparison) -> bool:
    """True if the runs cover at least a quarter of all combinations of the varied settings."""
    cells = math.prod(len({group.settings[key] for group in comparison.groups}) for key in comparison.settings)
    return cells <= 4 * len(comparison.groups)


def heat_map(comparison: Comparison) -> Figure:
    """Mean test accuracy for each pair of values of the two varied settings; a dash if no run was tested."""
    down, across = comparison.settings
    rows, columns = (in_order(group.settings[key] for group in comparison.groups) for key in (down, across))
    table = np.full((len(rows), len(columns)), np.nan)
    for group in comparison.groups:
        cell = rows.index(group.settings[down]), columns.index(group.settings[across])
        table[cell] = spread.mean if (spread := group.spread(SCORE)) else np.nan
    with styled():
        figure = new_figure(_SIZE[0], max(_SIZE[1], 1 + 0.4 * len(rows)))
        axes = figure.add_axes((0.2, 0.18, 0.76, 0.71))
        axes.set_title("Test accuracy")
        axes.pcolormesh(np.ma.masked_invalid(table), cmap=_SHADES, edgecolors="none")
        axes.set_xticks(np.arange(len(columns)) + 0.5, [_word(value) for value in columns])
        axes.set_yticks(np.arange(len(rows)) + 0.5, [_word(value) for value in rows])
        axes.set(xlabel=across, ylabel=down)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        _cells(axes, table)
        return figure


def _cells(axes: Axes, table: np.ndarray) -> None:
    shade = Normalize(np.nanmin(table), np.nanmax(table))
    size = 9 if table.shape[1] <= 6 else 6.5
    for (row, column), score in np.ndenumerate(table):
        text, color = ("–", INK) if np.isnan(score) else (f"{score:.1%}", "white" if shade(score) > 0.4 else "black")
        axes.text(column + 0.5, row + 0.5, text, color=color, fontsize=size, ha="center", va="center")


def has_bars(comparison: Comparison) -> bool:
    """True if bars by name suit the groups: two or more were tested, not too many, on no single numeric axis."""
    tested = [group for group in comparison.groups if group.spread(SCORE)]
    one_axis = (
        len(comparison.settings) == 1 and scale([g.settings[comparison.settings[0]] for g in tested]) != "categories"
    )
    return 2 <= len(tested) <= _MOST_BARS and not one_axis


def bars(comparison: Comparison) -> dict[str, Figure]:
    """Test accuracy and training time by title: a bar per group, the first on top; a mark for a reported figure."""
    groups = [group for group in comparison.groups if group.spread(SCORE)]
    accuracy = _bars(comparison, groups, [group.spread(SCORE) for group in groups], SCORE, "Test accuracy")
    accuracy.axes[0].xaxis.set_major_formatter(PercentFormatter(1))
    seconds = _bars(comparison, groups, [group.seconds() for group in groups], "seconds", "Seconds of training")
    return {"Test accuracy": accuracy, "Seconds of training": seconds}


def _bars(
    comparison: Comparison, groups: Sequence[Group], spreads: Sequence[Spread | None], quantity: str, title: str
) -> Figure:
    """Means with error bars of one standard deviation, each below its settings; a diamond marks the reported figure."""
    means = [spread.mean if spread else math.nan for spread in spreads]
    deviations = [spread.deviation if spread and spread.deviation else math.nan for spread in spreads]
    reported = {
        row: value for row, group in enumerate(groups) if (value := _reported_value(group, quantity)) is not None
    }
    height = 1.2 + 0.48 * len(groups)
    with styled():
        figure = new_figure(5.4, height)
        axes = figure.add_axes((0.03, 0.45 / height, 0.82, 1 - 0.95 / height))
        axes.barh(range(len(groups)), means, height=0.36, color=COLORS[0], xerr=deviations, error_kw={"capsize": 3})
        for row, mean in enumerate(means):
            axes.annotate(
                formats.quantity(quantity, mean),
                (1.02, row),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8,
            )
        if reported:
            axes.plot(
                list(reported.values()), list(reported), "D", color=COLORS[1], markeredgecolor=INK, label="reported"
            )
            figure.legend(loc="upper right", fontsize=8)
        labels = [short(", ".join(comparison.label(group)), 64) for group in groups]
        axes.set_yticks([row - 0.38 for row in range(len(groups))], labels, fontsize=8, ha="left")
        axes.tick_params(axis="y", length=0, pad=-2)
        axes.set_ylim(len(groups) - 0.6, -0.7)
        axes.set_title(title)
        axes.grid(axis="x")
        return figure


def _reported_value(group: Group, quantity: str) -> float | None:
    """The figure that a document reports for the group; None without one."""
    return next((run.result.reference[quantity] for run in group.runs if quantity in run.result.reference), None)
