"""Figures of several runs: curves on shared axes, test accuracy against the varied settings, weights."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dlproj import formats
from dlproj.reports.run_figures import epochs_axis, reported_line
from dlproj.reports.scales import in_order, scale
from dlproj.reports.style import COLORS, GREY, INK, SCALE, new_figure, short, styled
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


def curves(comparison: Comparison, metric: str) -> Figure:
    """A metric by epoch, one line per run, in the colour of its group; grey lines are drawn below.

    Reported curves are dashed with hollow marks, in the colour of their group, or INK if several groups share one.
    """
    marker = "o" if len(comparison.runs) <= _MARKED else ""
    with styled():
        figure, axes = _panel(metric)
        for group, color in zip(comparison.groups, group_colors(comparison), strict=True):
            for run in group.runs:
                _curve(axes, run, metric, color, marker, alone=len(group.repetitions) == 1)
        for curve, color in _reported(comparison, metric).items():
            reported_line(axes, dict(curve), color, "o")
        epochs_axis(axes)
        if metric.endswith(formats.PERCENTAGES):
            _percent(axes)
        return figure


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


def _curve(axes: Axes, run: Run, metric: str, color: str, marker: str, alone: bool) -> None:
    points = [(epoch, row[metric]) for epoch, row in sorted(run.epochs.items()) if metric in row]
    shape = marker if len(points) <= 20 else ""
    axes.plot(
        *zip(*points, strict=True),
        color=color,
        marker=shape,
        markersize=3.5,
        alpha=1 if alone else 0.7,
        zorder=2 if color == GREY else 3,
    )


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
        for value, color in zip(values, colors, strict=False):
            part = [group for group in groups if len(others) != 1 or group.settings[others[0]] == value]
            part.sort(key=lambda group: positions[group.settings[setting]])
            line = "-" if ordered and len(others) < 2 else "none"
            _points(axes, [positions[group.settings[setting]] for group in part], part, color, line, _word(value))
        axes.set_xlabel(setting)
        _percent(axes)
        if len(values) > 1:
            corner = 0 if len(groups) <= _SEARCHED else 3  # matplotlib's choice, or the lower left
            axes.legend(title=others[0], fontsize=8, title_fontsize=8, loc=corner)
        return figure


def _word(value: Scalar) -> str:
    return short(value if isinstance(value, str) else formats.setting(value), 20)


def _points(axes: Axes, x: Sequence[float], groups: Sequence[Group], color: str, line: str, label: str) -> None:
    """A dot per run, and the mean of each group with an error bar of one standard deviation."""
    spreads = [spread for group in groups if (spread := group.spread(SCORE))]
    for position, group in zip(x, groups, strict=True):
        if len(group.repetitions) > 1:
            scores = [run.result.metrics.get(SCORE, math.nan) for run in group.repetitions]
            axes.plot([position] * len(scores), scores, "o", color=color, markersize=3, alpha=0.5)
    bars = [math.nan if spread.deviation is None else spread.deviation for spread in spreads]
    axes.errorbar(
        x,
        [spread.mean for spread in spreads],
        bars,
        color=color,
        marker="o",
        markersize=5,
        capsize=3,
        linestyle=line,
        label=label,
    )


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


def bars(comparison: Comparison) -> Figure:
    """Test accuracy and training time: one bar per group, the first on top, with a mark for a reported figure."""
    groups = [group for group in comparison.groups if group.spread(SCORE)]
    with styled():
        figure = new_figure(10, 1.0 + 0.34 * len(groups))
        height = figure.get_size_inches()[1]
        box = (0.45 / height, 1 - 0.95 / height)
        accuracy, seconds = (figure.add_axes((left, box[0], 0.26, box[1])) for left in (0.32, 0.66))
        _bars(accuracy, groups, [group.spread(SCORE) for group in groups], SCORE)
        _bars(seconds, groups, [group.seconds() for group in groups], "seconds")
        accuracy.set_title("Test accuracy")
        accuracy.xaxis.set_major_formatter(PercentFormatter(1))
        seconds.set_title("Seconds of training")
        accuracy.set_yticks(
            range(len(groups)), [short(", ".join(comparison.label(group)), 46) for group in groups], fontsize=8
        )
        seconds.set_yticks(range(len(groups)), [""] * len(groups))
        marks = {
            label: mark
            for axes in (accuracy, seconds)
            for mark, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        if marks:
            figure.legend(marks.values(), marks, loc="upper left", fontsize=8)
        return figure


def _bars(axes: Axes, groups: Sequence[Group], spreads: Sequence[Spread | None], quantity: str) -> None:
    """Means with error bars of one standard deviation; a diamond marks the reported figure."""
    means = [spread.mean if spread else math.nan for spread in spreads]
    deviations = [spread.deviation if spread and spread.deviation else math.nan for spread in spreads]
    axes.barh(range(len(groups)), means, height=0.6, color=COLORS[0], xerr=deviations, error_kw={"capsize": 3})
    for row, mean in enumerate(means):
        axes.annotate(
            formats.quantity(quantity, mean), (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=8
        )
    reported = {row: figure for row, group in enumerate(groups) if (figure := _figure(group, quantity)) is not None}
    if reported:
        axes.plot(list(reported.values()), list(reported), "D", color=COLORS[1], markeredgecolor=INK, label="reported")
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.grid(axis="x")


def _figure(group: Group, quantity: str) -> float | None:
    """The figure that a document reports for the group; None without one."""
    return next((run.result.reference[quantity] for run in group.runs if quantity in run.result.reference), None)
