"""The weights of several runs on shared axes: densities at start and end."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from dlproj.reports.run_figures import central_range, density
from dlproj.reports.style import new_figure, styled
from dlproj.runs.record import Run


def weights(runs: Sequence[Run], colors: Sequence[str]) -> dict[str, Figure]:
    """Densities of each parameter's values by name: a line per run in its colour, dotted at start, solid at end.

    With more than eight parameters, biases are left out and at most twelve parameters are shown.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.inspection.histograms))
    names = names if len(names) <= 8 else [name for name in names if not name.endswith("bias")][:12]
    return {name: _weights(runs, colors, name) for name in names}


def _weights(runs: Sequence[Run], colors: Sequence[str], name: str) -> Figure:
    limits, top = [], 0.0
    with styled():
        figure = new_figure(2.9, 1.9)
        axes = figure.add_axes((0.04, 0.14, 0.92, 0.72))
        for run, color in zip(runs, colors, strict=True):
            epochs = run.inspection.histograms.get(name, {})
            for epoch in sorted(epochs):
                densities, edges = density(epochs[epoch])
                style = "-" if epoch else ":"
                axes.stairs(densities, edges, color=color, linestyle=style, linewidth=1.4 if epoch else 1.0)
                limits.append(central_range(epochs[epoch]))
                top = max(top, float(densities.max())) if epoch else top
        low, high = min(low for low, _ in limits), max(high for _, high in limits)
        margin = 0.05 * (high - low)
        axes.set(xlim=(low - margin, high + margin), ylim=(0, 1.1 * top or None), yticks=[])
        axes.set_title(name, fontsize=8)
        axes.tick_params(labelsize=8)
        axes.locator_params(axis="x", nbins=4)
        axes.spines["left"].set_visible(False)
        return figure
