"""The loss between two trained networks, or around one."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlproj.config.checks import require
from dlproj.experiments import composing, one_run
from dlproj.inference.trained import open_run
from dlproj.labs.studies.parts.options import count, seed_option
from dlproj.labs.studies.parts.weight_space import (
    Landscape,
    Weights,
    check_same_function,
    directions,
    landscapes_of,
    moved,
    norm,
    weights_of,
)
from dlproj.loop_progress import progress
from dlproj.reports.article import Article, Column, Section, Table
from dlproj.reports.style import COLORS, INK, SCALE, drawing
from dlproj.training.run import run as train

_SMALL = (
    "data=digits",
    "model.hidden=[32]",
    "trainer.max_epochs=60",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.progress_bar=false",
    "figures=none",
    "name=landscape",
)
_ON_LINE = 41
_LEVELS = 14


def loss_landscape(
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--run",
            metavar="FOLDER",
            help="a trained run, or two of one architecture by giving it twice; "
            "without any, two small networks are trained on the digits",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[int, count("of the test set, on which the loss is taken")] = 500,
    resolution: Annotated[int, count("points along each side of the plane", 2, 10_000)] = 31,
    seed: Annotated[int, seed_option("decides the random directions")] = 0,
) -> Article:
    """The test loss along a line and in a plane of weight space: L(θ + a u + b v), without penalties.

    Between two runs u = θ_B - θ_A: the line θ_A + a u passes from one (a = 0) to the other (a = 1). Where both were
    found from different starts, the loss between them often is higher than at both (Goodfellow, Vinyals & Saxe
    2015); its maximum less the mean of the ends is the barrier of Frankle et al. 2020, who take it of the error.
    Around one run u is random, and v always is. A random direction is given, row by row of each weight matrix, the
    norm of the weights there, and leaves biases as they are, so that the scale of a layer, which ReLU networks do
    not feel, does not decide how sharp a minimum looks (Li et al. 2018). v is made perpendicular to u; between two
    runs it is as long as u, so that the plane shows distances as they are. Statistics of batch normalisation belong
    to weights, so at each point they are taken anew, from training samples (Izmailov et al. 2018).
    """
    require(len(runs or []) <= 2, f"{len(runs or [])} runs are too many: give --run once or twice")
    with TemporaryDirectory() as made:
        trained = [open_run(folder) for folder in runs or _two_small_ones(Path(made))]
        landscapes = landscapes_of(trained, samples)
    check_same_function(landscapes[0], landscapes[-1])
    for run, landscape in zip(trained, landscapes, strict=True):
        loss, _ = landscape.at(weights_of(landscape))
        require(isfinite(loss), f"the loss of {run.folder} is {loss}: choose a run that has not diverged")
    view = _view(landscapes, seed, resolution)
    return _article([run.folder.name for run in trained], len(landscapes[0].targets), view)


def _two_small_ones(folder: Path) -> list[Path]:
    """The folders of two small networks, trained from different seeds."""
    with composing():
        configs = [one_run([*_SMALL, f"seed={seed}"]) for seed in (0, 1)]
    summary = logging.getLogger("pytorch_lightning.callbacks.model_summary")
    summary.disabled = True  # nobody has chosen these networks
    try:
        for config in progress(configs, "networks trained"):
            train(config, folder / f"seed-{config.seed}")
    finally:
        summary.disabled = False
    return [folder / f"seed-{config.seed}" for config in configs]


@dataclass(frozen=True, slots=True)
class View:
    """What is seen of a landscape: loss and accuracy along u, and in the plane of u and v."""

    names: Sequence[str]  # of what is at a = 0 and, between two runs, at a = 1
    lengths: tuple[float, float, float]  # Euclidean, of θ, u and v
    a: np.ndarray  # (41,), of the line
    line: np.ndarray  # (41, 2), loss and accuracy
    along: np.ndarray  # (R,), a of the plane
    across: np.ndarray  # (R,), b of the plane
    plane: np.ndarray  # (R, R, 2), rows by b

    def extreme(self, rank: int) -> dict[str, float]:
        """The point of the plane at which the loss is the lowest (rank 0) or the highest (rank -1)."""
        losses = self.plane[..., 0]
        row, column = np.unravel_index(np.argsort(losses, axis=None)[rank], losses.shape)
        return {
            "a": self.along[column],
            "b": self.across[row],
            "loss": losses[row, column],
            "accuracy": self.plane[row, column, 1],
        }

    def runs(self) -> np.ndarray:
        """Loss and accuracy of the run, or of the two (1 or 2, 2)."""
        return self.line[[np.abs(self.a - position).argmin() for position in range(len(self.names))]]

    def barriers(self) -> tuple[float, float]:
        """By how much the highest loss, and the highest error, between the two runs exceed the mean of theirs."""
        between, (loss, accuracy) = self.line[(self.a > -1e-9) & (self.a < 1 + 1e-9)], self.runs().mean(0)
        return float(between[:, 0].max() - loss), float(accuracy - between[:, 1].min())


def _view(landscapes: Sequence[Landscape], seed: int, resolution: int) -> View:
    landscape, weights = landscapes[0], [*map(weights_of, landscapes)]
    start = weights[0]
    u, v = directions(weights, seed)
    names = ("first", "second") if len(weights) == 2 else ("run",)
    low, high = (-0.5, 1.5) if len(weights) == 2 else (-1, 1)
    along, across = np.linspace(low, high, resolution), np.linspace(-1, 1, resolution)
    a = np.linspace(low, high, _ON_LINE)
    line = np.array(_row(landscape, start, u, a))
    plane = [_row(landscape, moved(start, (b, v)), u, along) for b in progress(across, "rows of the plane")]
    return View(names, (norm(start), norm(u), norm(v)), a, line, along, across, np.array(plane))


def _row(landscape: Landscape, start: Weights, u: Weights, along: np.ndarray) -> list[tuple[float, float]]:
    return [landscape.at(moved(start, (a, u))) for a in along]


def _article(folders: Sequence[str], samples: int, view: View) -> Article:
    between = len(view.names) == 2
    lengths = "θ has the length {:.3g}, u {:.3g} and v {:.3g}.".format(*view.lengths)
    on_line = (
        "a = 0 is the first run, 1 the second, dashed the mean of both; the highest loss between them is "
        "{:.4f} above that, the highest error {:.2%}.".format(*view.barriers())
        if between
        else "a = 0 is the run."
    )
    return Article(
        "loss_landscape",
        "The loss between two networks" if between else "The loss around a network",
        f"{' and '.join(folders)}, {samples:,} test samples",
        [
            Section("Along the line", on_line, {"line": line_figure(view)}, line_table(view)),
            Section(
                "In the plane",
                f"Lines of equal loss, on a logarithmic scale. {lengths}",
                {"plane": plane_figure(view)},
                plane_table(view),
            ),
        ],
    )


def line_table(view: View) -> Table:
    """Every fifth point for people, all of them for programs."""
    rows = [
        {"position": float(a), "loss": float(loss), "accuracy": float(accuracy)}
        for a, (loss, accuracy) in zip(view.a, view.line, strict=True)
    ]
    return replace(Table.of(rows[::5], [Column("a", ".2f", "position"), *_MEASURED], "line"), rows=rows)


_MEASURED = [Column("loss", ".4f"), Column("accuracy", ".2%")]


def plane_table(view: View) -> Table:
    """The lowest and the highest loss for people, all points for programs."""
    rows = [
        {"a": float(a), "b": float(b), "loss": float(loss), "accuracy": float(accuracy)}
        for b, losses in zip(view.across, view.plane, strict=True)
        for a, (loss, accuracy) in zip(view.along, losses, strict=True)
    ]
    extremes = [{"name": name, **view.extreme(rank)} for name, rank in (("lowest", 0), ("highest", -1))]
    columns = [Column("of the points drawn", value="name"), Column("a", ".2f"), Column("b", ".2f"), *_MEASURED]
    return replace(Table.of(extremes, columns, "plane"), rows=rows)


def line_figure(view: View) -> Figure:
    """Loss and accuracy over the position."""
    with drawing(9, 3.4) as drawn:
        for i, (axes, quantity) in enumerate(zip(drawn.subplots(1, 2), ("test loss", "test accuracy"), strict=True)):
            axes.plot(view.a, view.line[:, i], color=COLORS[i])
            axes.plot(range(len(view.names)), view.runs()[:, i], "o", color="white", markeredgecolor=INK)
            if len(view.names) == 2:
                axes.hlines(view.runs()[:, i].mean(), 0, 1, colors=INK, linestyles="--", linewidth=1)
            axes.set(xlabel="position a on the line", ylabel=quantity)
            axes.set_xticks(np.linspace(view.a[0], view.a[-1], 5))
            axes.grid()
        drawn.axes[1].yaxis.set_major_formatter("{x:.0%}")
        return drawn


def plane_figure(view: View) -> Figure:
    """Lines of equal loss, with the runs marked."""
    losses = np.ma.masked_invalid(view.plane[..., 0])
    low = max(losses.min(), 1e-6 * losses.max(), np.finfo(float).tiny)  # a logarithm has no place for a loss of 0
    with drawing(6.8, 5.4) as drawn:
        axes = drawn.add_subplot(aspect="equal")
        if losses.max() > 1.001 * low:
            levels = np.geomspace(low, losses.max(), _LEVELS)
            shades = axes.contourf(view.along, view.across, losses.clip(low), levels, norm="log", cmap=SCALE)
            lines = axes.contour(view.along, view.across, losses.clip(low), levels, colors=INK, linewidths=0.5)
            for label in axes.clabel(lines, levels[1:-1:2], fmt="%.2g", fontsize=8):
                x, y = label.get_position()
                label.set_visible(min(abs(x - a) for a in range(len(view.names))) > 0.3 or abs(y) > 0.25)
            drawn.colorbar(shades, label="test loss", format="%.2g", shrink=0.85)
        else:
            axes.set_title(f"test loss {losses.max():.4g} everywhere")
        _mark(axes, view.names)
        axes.set(xlabel="position a, along u", ylabel="position b, along v")
        return drawn


def _mark(axes: Axes, names: Sequence[str]) -> None:
    for a, name in enumerate(names):
        axes.plot(a, 0, "o", color="white", markeredgecolor=INK)
        axes.annotate(
            name,
            (a, 0),
            (0, 8),
            textcoords="offset points",
            ha="center",
            bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": INK, "pad": 0.2},
        )
