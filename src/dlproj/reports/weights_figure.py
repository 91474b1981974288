"""The weights of several runs side by side: densities at start and end."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlproj.reports.run_figures import histogram
from dlproj.reports.style import new_figure, short, styled
from dlproj.runs.inspection import Histogram
from dlproj.runs.record import Run


def weights(runs: Sequence[Run], titles: Sequence[str]) -> Figure:
    """Densities of each parameter's values at start and end: one row per parameter, one column per run, shared axes.

    With more than eight parameters, biases are left out and at most twelve parameters are shown.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.inspection.histograms))
    names = names if len(names) <= 8 else [name for name in names if not name.endswith("bias")][:12]
    lines = max(title.count("\n") for title in titles) + 1
    with styled():
        figure = new_figure(0.4 + 1.85 * len(runs), 0.8 + 0.16 * lines + 1.45 * len(names))
        width, height = figure.get_size_inches()
        grid = figure.subplots(len(names), len(runs), squeeze=False, sharex="row", sharey="row")
        top = 1 - (0.55 + 0.16 * lines) / height
        figure.subplots_adjust(0.2 / width, 0.3 / height, 1 - 0.2 / width, top, 0.12, 0.65)
        for row, name in zip(grid, names, strict=True):
            _weights_row(list(row), [run.inspection.histograms.get(name, {}) for run in runs], name)
        for axes, title in zip(grid[0], titles, strict=True):
            words = "\n".join(short(line, 26) for line in title.split("\n"))
            axes.annotate(words, (0, 1), (0, 20), "axes fraction", "offset points", fontsize=9, weight="bold")
        handles, labels = next(axes for axes in grid.flat if axes.patches).get_legend_handles_labels()
        ends = [label.partition(",")[0] for label in labels]  # without the epoch, which differs between runs
        figure.legend(handles, ends, ncols=2, loc="upper left", fontsize=8)
        return figure


def _weights_row(row: Sequence[Axes], parameters: Sequence[Mapping[int, Histogram]], name: str) -> None:
    limits = []
    for axes, epochs in zip(row, parameters, strict=True):
        if epochs:
            histogram(axes, "", epochs)
            limits.append((*axes.get_xlim(), axes.get_ylim()[1]))
        else:
            axes.set_axis_off()
    low, high, top = zip(*limits, strict=True)
    row[0].set(xlim=(min(low), max(high)), ylim=(0, max(top)))
    row[0].set_title(name, fontsize=8)
