"""Histograms of the weights of a run, and of several runs on shared axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlproj.reports.style import COLORS, INK, new_figure, styled
from dlproj.runs.inspection import Histogram
from dlproj.runs.record import Run


def weight_histograms(histograms: Mapping[str, Mapping[int, Histogram]]) -> Figure:
    """Densities of the values of each parameter: a line at the start, filled at the end. Needs a parameter."""
    columns = min(len(histograms), 4)
    rows = -(-len(histograms) // columns)
    with styled():
        figure = new_figure(2.5 * max(columns, 2) + 0.3, 2.1 * rows + 0.5)
        grid = figure.subplots(rows, columns, squeeze=False)
        inches = figure.get_size_inches()
        figure.subplots_adjust(0.3 / inches[0], 0.35 / inches[1], 1 - 0.2 / inches[0], 1 - 0.75 / inches[1], 0.15, 0.62)
        for axes in grid.flat[len(histograms) :]:
            axes.set_axis_off()
        for axes, (name, epochs) in zip(grid.flat, histograms.items(), strict=False):
            histogram(axes, name, epochs)
        figure.text(0.3 / inches[0], 1 - 0.28 / inches[1], "Values of the parameters", fontsize=11, va="center")
        figure.legend(*grid.flat[0].get_legend_handles_labels(), ncols=2, loc="upper right")
        return figure


def histogram_panels(histograms: Mapping[str, Mapping[int, Histogram]]) -> dict[str, Figure]:
    """The panels of weight_histograms() by parameter, each a figure of its own, which a page can stack."""
    figures = {}
    for name, epochs in histograms.items():
        with styled():
            figures[name], axes = _panel()
            histogram(axes, name, epochs)
    return figures


def _panel() -> tuple[Figure, Axes]:
    figure = new_figure(2.9, 1.9)
    return figure, figure.add_axes((0.04, 0.14, 0.92, 0.72))


def histogram(axes: Axes, name: str, epochs: Mapping[int, Histogram]) -> None:
    """Densities of one parameter's values: a line at the start, filled at the end.

    The axis leaves out a thousandth of the values on each side, so that outliers do not squeeze the rest.
    """
    last = max(epochs)
    filled: dict[str, Any] = {"fill": True, "color": COLORS[0], "alpha": 0.6}
    peaks = {}
    for epoch, style in ((last, filled), (0, {"color": INK, "linewidth": 1.2})):
        if epoch in epochs:
            densities, edges = density(epochs[epoch])
            axes.stairs(densities, edges, label=f"end, epoch {last}" if epoch else "start", **style)
            peaks[epoch] = float(densities.max())
    # Cut off the start's peak: biases that start at zero would dwarf the rest.
    _frame(axes, name, list(epochs.values()), min(max(peaks.values()), 4 * peaks[last]))


def _frame(axes: Axes, name: str, histograms: Sequence[Histogram], top: float) -> None:
    """Title and axes of a panel that shows these histograms, up to the density `top`."""
    axes.set_title(name, fontsize=8)
    axes.set_yticks([])
    axes.set_ylim(0, 1.1 * top)
    low, high = zip(*map(central_range, histograms), strict=True)
    margin = 0.05 * (max(high) - min(low))  # keeps tick labels at the edge apart from the next panel's
    axes.set_xlim(min(low) - margin, max(high) + margin)
    axes.tick_params(labelsize=8)
    axes.locator_params(axis="x", nbins=4)
    axes.spines["left"].set_visible(False)


_SHOWN_BINS = 50  # in the central range; more would be noise in a small panel


def density(histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
    """Density of the values (bins,) and the edges of the bins (bins + 1,), neighbouring bins merged."""
    width = (histogram.high - histogram.low) / len(histogram.counts)
    low, high = central_range(histogram)
    merged = max(1, round((high - low) / width / _SHOWN_BINS))
    counts = np.append(histogram.counts, np.zeros(-len(histogram.counts) % merged)).reshape(-1, merged).sum(1)
    edges = histogram.low + width * merged * np.arange(len(counts) + 1)
    return counts / (max(counts.sum(), 1) * width * merged), edges


def central_range(histogram: Histogram) -> tuple[float, float]:
    """Edges between which all values lie except a thousandth on each side."""
    shares = np.cumsum(histogram.counts) / max(sum(histogram.counts), 1)
    width = (histogram.high - histogram.low) / len(shares)
    first, last = np.searchsorted(shares, (0.001, 0.999))
    return histogram.low + width * first, histogram.low + width * (last + 1)


def weights(runs: Sequence[Run], colors: Sequence[str]) -> dict[str, Figure]:
    """Densities of each parameter's values by name: a line per run in its colour, dotted at start, solid at end.

    With more than eight parameters, biases are left out and at most twelve parameters are shown.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.inspection.histograms))
    names = names if len(names) <= 8 else [name for name in names if not name.endswith("bias")][:12]
    return {name: _overlaid(runs, colors, name) for name in names}


def _overlaid(runs: Sequence[Run], colors: Sequence[str], name: str) -> Figure:
    drawn, top = [], 0.0
    with styled():
        figure, axes = _panel()
        for run, color in zip(runs, colors, strict=True):
            for epoch, noted in sorted(run.inspection.histograms.get(name, {}).items()):
                densities, edges = density(noted)
                axes.stairs(densities, edges, color=color, linewidth=1.2, linestyle="-" if epoch else ":")
                drawn.append(noted)
                top = max(top, float(densities.max())) if epoch else top
        _frame(axes, name, drawn, top or 1.0)
        return figure
