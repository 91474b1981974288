"""Figures of one run, drawn from plain data.

They are laid out by hand to save time at the end of every run: matplotlib's layout engines draw a figure twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter

from dlproj.config.checks import MOST_CLASSES_IN_ROWS
from dlproj.config.reference import Curves
from dlproj.reports.classification import Counts, class_scores, entries, most_confused
from dlproj.reports.style import COLORS, GRID, INK, layered, new_figure, plain_log, short, styled
from dlproj.runs.inspection import ByEpoch

Epochs = Mapping[int, Mapping[str, float]]  # a run's metrics by epoch, counted from 1
TRAIN, VAL = COLORS[0], COLORS[1]


def learning_curves(epochs: Epochs, best: int | None, reported: Curves | None = None) -> Figure:
    """Loss and accuracy of training and validation by epoch; penalties have a panel beside the loss without them.

    An evaluation of the training set after each epoch is a separate line. The best and the last epoch are marked.
    Reported curves are dashed with hollow marks; a reported loss includes the penalty, so the total loss gets a panel.
    """
    panels = _panels(epochs, reported or {})
    with styled():
        figure, grid = _side_by_side(len(panels))
        for axes, (metric, title) in zip(grid, panels.items(), strict=True):
            _curves(axes, epochs, metric, best, reported or {})
            axes.set_title(title)
        lines = _legend(grid)
        figure.legend(lines.values(), lines, ncols=len(lines), loc="upper left", columnspacing=1.5)
        return figure


def learning_panels(epochs: Epochs, best: int | None, reported: Curves | None = None) -> dict[str, Figure]:
    """The panels of learning_curves() by title, each a figure of its own, which a page can stack."""
    figures = {}
    for metric, title in _panels(epochs, reported or {}).items():
        with styled():
            figure = figures[title] = new_figure(5.4, 3.8)
            axes = figure.add_axes((0.125, 0.13, 0.85, 0.7))
            _curves(axes, epochs, metric, best, reported or {})
            lines = _legend([axes])
            if len(lines) > 3:  # in two rows
                axes.set_position((0.125, 0.13, 0.85, 0.64))
            figure.legend(lines.values(), lines, ncols=3, loc="upper left", columnspacing=1.5)
            axes.set_title(title)
    return figures


def _panels(epochs: Epochs, reported: Curves) -> dict[str, str]:
    """Titles of the panels by metric, accuracy last."""
    if not _has(epochs, "train/penalty"):
        return {"loss": "Loss", "accuracy": "Accuracy"}
    panels = {"data_loss": "Loss without the penalty", "penalty": "Penalty", "accuracy": "Accuracy"}
    with_penalty = any(metric.endswith("/loss") for metric in reported)
    return ({"loss": "Loss with the penalty"} if with_penalty else {}) | panels


def _side_by_side(count: int) -> tuple[Figure, list[Axes]]:
    """Up to three panels side by side, four in two rows."""
    rows, columns = (1, count) if count < 4 else (2, 2)
    figure = new_figure(4.8 * columns, 3.9 * rows)
    grid = figure.subplots(rows, columns)
    figure.subplots_adjust(0.14 / columns, 0.14 / rows, 0.99, 1 - 0.18 / rows, wspace=0.18, hspace=0.34)
    return figure, list(grid.flat)


def _legend(grid: Sequence[Axes]) -> dict[str, Artist]:
    """Lines of all panels by label, the first of each label; "reported" comes last."""
    lines: dict[str, Artist] = {}
    for axes in grid:
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True):
            lines.setdefault(label, line)
    return dict(sorted(lines.items(), key=lambda item: item[0] == "reported"))


def _has(epochs: Epochs, metric: str) -> bool:
    return any(metric in row for row in epochs.values())


_SPLITS = (("train", TRAIN, "o", "train"), ("train_eval", COLORS[5], "^", "train, evaluated"), ("val", VAL, "s", "val"))


_STEEP = 20  # highest loss / lowest loss


def _curves(axes: Axes, epochs: Epochs, metric: str, best: int | None, reported: Curves) -> None:
    for i, (split, color, marker, label) in enumerate(_SPLITS):
        if split != "train_eval" or _has(epochs, f"{split}/{metric}"):
            style = layered(i, len(_SPLITS)) | {"color": color, "marker": marker, "label": label}
            _line(axes, epochs, f"{split}/{metric}", style)
        reported_line(axes, reported.get(f"{split}/{metric}", {}), color, marker)
    epochs_axis(axes)
    axes.grid(axis="y")
    if metric.endswith("loss"):
        scale_loss(axes, np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines] or [np.ones(1)]))
    if metric == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    last = max(epochs, default=0)
    if best is not None:
        name = "best and last epoch" if best == last else "best epoch"
        axes.axvline(best, color=INK, linewidth=1, linestyle="--", label=f"{name}, {best}")
    if last and last != best:
        axes.axvline(last, color=INK, linewidth=1, linestyle=":", label=f"last epoch, {last}")


def scale_loss(axes: Axes, values: np.ndarray) -> None:
    """Make the axis of these losses logarithmic if a steep fall in the first epochs would flatten the rest."""
    finite = values[np.isfinite(values)]
    if len(finite) and finite.min() > 0 and finite.max() > _STEEP * finite.min():
        axes.set_yscale("log")
        plain_log(axes.yaxis, (1, 3))


def epochs_axis(axes: Axes) -> None:
    """Label the horizontal axis with epochs, as whole numbers."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))  # a single epoch gets no tick at 1.5


def _line(axes: Axes, epochs: Epochs, metric: str, style: Mapping[str, Any]) -> None:
    points = [(epoch, row[metric]) for epoch, row in sorted(epochs.items()) if metric in row]
    axes.plot(*zip(*points, strict=True), **{**style, "marker": style["marker"] if len(points) <= 40 else ""})


def reported_line(axes: Axes, curve: Mapping[int, float], color: str, marker: str) -> None:
    """Draw a document's curve, dashed with hollow marks, if it has any epoch."""
    if curve:
        axes.plot(
            *zip(*sorted(curve.items()), strict=True),
            color=color,
            linestyle="--",
            linewidth=1.2,
            marker=marker,
            markersize=5,
            markerfacecolor="none",
            label="reported",
        )


def confusion_matrix(counts: Counts, classes: Sequence[str]) -> Figure:
    """Test samples by true and predicted class, shaded by their share of the true class."""
    size = min(3.2 + 0.56 * len(classes), 14.0)
    with styled():
        figure = new_figure(size + 0.6, size)
        axes = figure.add_axes((1.5 / (size + 0.6), 0.9 / size, (size - 1.7) / (size + 0.6), (size - 1.7) / size))
        truths, guesses, numbers = np.array(entries(counts, len(classes)), dtype=int).reshape(-1, 3).T
        shares = numbers / np.bincount(truths, numbers, len(classes))[truths]
        if len(classes) <= MOST_CLASSES_IN_ROWS:
            _shade(axes, truths, guesses, shares, len(classes))
        else:  # cells would be smaller than a pixel, and most of them empty
            axes.scatter(guesses, truths, 4, shares, marker="s", linewidths=0, cmap="Blues", vmin=-0.5, vmax=1)
            axes.set(xlim=(-1, len(classes)), ylim=(-1, len(classes)))
        axes.invert_yaxis()
        _name_classes(axes, [short(name, 16) for name in classes] if len(classes) <= _MOST_CLASSES else [])
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.spines[:].set_visible(False)
        axes.set_title(f"Test samples, and their share of the true class\n{most_confused(counts, classes)}")
        if len(classes) <= 20:  # more would not be readable
            for cell in zip(truths, guesses, numbers, shares, strict=True):
                _number(axes, *cell)
        return figure


def _shade(axes: Axes, truths: np.ndarray, guesses: np.ndarray, shares: np.ndarray, classes: int) -> None:
    table = np.zeros((classes, classes))
    table[truths, guesses] = shares
    edges = np.arange(classes + 1) - 0.5
    axes.pcolormesh(edges, edges, table, cmap="Blues", vmin=0, vmax=1)


def _name_classes(axes: Axes, names: Sequence[str]) -> None:
    slanted: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    upright = max(map(len, names), default=0) <= 3
    axes.set_xticks(range(len(names)), names, fontsize=9, **({} if upright else slanted))
    axes.set_yticks(range(len(names)), names, fontsize=9)


def _number(axes: Axes, truth: int, guess: int, count: int, share: float) -> None:
    axes.text(
        guess,
        truth,
        f"{count:,}\n{share:.0%}" if share >= 0.01 else f"{count:,}",
        fontsize=8,
        ha="center",
        va="center",
        linespacing=1.1,
        color="white" if share > 0.5 else INK,
    )


_MOST_CLASSES = 40  # one line each


def per_class(counts: Counts, classes: Sequence[str]) -> Figure:
    """Precision, recall and F1 of each class, the best F1 on top; with many classes, only the lowest F1."""
    scores = sorted(zip(class_scores(counts, len(classes)), classes, strict=True), key=lambda pair: pair[0].f1)[
        :_MOST_CLASSES
    ]
    height = 1.3 + 0.3 * len(scores)
    with styled():
        figure = new_figure(7.2, height)
        axes = figure.add_axes((0.22, 0.6 / height, 0.75, 1 - 1.2 / height))
        rows = range(len(scores))
        axes.hlines(
            rows,
            [min(score.precision, score.recall) for score, _ in scores],
            [max(score.precision, score.recall) for score, _ in scores],
            color=GRID,
            linewidth=2,
        )
        for name, color, marker in (("precision", COLORS[0], ">"), ("recall", COLORS[1], "<"), ("f1", INK, "|")):
            values = [getattr(score, name) for score, _ in scores]
            axes.plot(values, rows, marker, color=color, markersize=8, label="F1" if name == "f1" else name)
        axes.set_yticks(rows, [f"{short(name, 18)} ({score.support:,})" for score, name in scores])
        axes.set_xlabel("share")
        axes.grid(axis="x")
        axes.legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1)
        some = f"the {_MOST_CLASSES} worst classes" if len(classes) > _MOST_CLASSES else "by class"
        axes.set_title(f"Test, {some} (samples)")
        return figure


def by_layer(values: Mapping[str, ByEpoch], label: str, share: bool = False) -> Figure:
    """One line per layer or parameter, by epoch; a share is in percent from 0, other values on a log axis."""
    columns = 2 if max(map(len, values), default=0) <= 24 else 1
    height = 3.2 + 0.2 * -(-len(values) // columns)
    with styled():
        figure = new_figure(5.4, height)
        axes = figure.add_axes((0.13, 1 - 2.7 / height, 0.84, 2.35 / height))
        for i, (layer, epochs) in enumerate(values.items()):
            style = layered(i, len(values))
            axes.plot(*zip(*sorted(epochs.items()), strict=True), color=COLORS[i % len(COLORS)], label=layer, **style)
        if share:
            axes.set_ylim(0, max(1.05 * axes.get_ylim()[1], 0.01))
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        elif any(value > 0 for epochs in values.values() for value in epochs.values()):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        epochs_axis(axes)
        axes.set_title(label)
        axes.grid(axis="y")
        figure.legend(loc="lower left", ncols=columns, fontsize=8)
        return figure
