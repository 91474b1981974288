"""The loss between two trained networks, or around one."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.func import functional_call

from dlproj.experiments import composing, one_run
from dlproj.inference.evaluate import data_of
from dlproj.inference.trained import Trained, open_run
from dlproj.models.losses import scores
from dlproj.results.article import Article, Row, Section, Table
from dlproj.results.style import COLORS, INK, SCALE, new_figure, styled
from dlproj.run import run
from dlproj.settings import LARGEST_SEED, require
from dlproj.studies.progress import progress

Weights = dict[str, Tensor]
Measure = Callable[[Weights], tuple[float, float]]  # loss and accuracy
_SMALL = ("data=digits", "model.hidden=[32]", "trainer.max_epochs=60", "trainer.accelerator=cpu", "trainer.threads=1",
          "trainer.progress_bar=false", "figures=none", "name=landscape")  # fmt: skip
_LINE = torch.linspace(-0.5, 1.5, 41)


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
    samples: Annotated[int, typer.Option(min=1, help="of the test set, on which the loss is taken")] = 500,
    resolution: Annotated[int, typer.Option(min=2, help="points along each side of the plane")] = 31,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="decides the random directions")] = 0,
) -> Article:
    """The test loss along a line and in a plane of weight space: L(θ + a u + b v).

    Between two runs u = θ_B - θ_A: the line θ_A + a u passes from one (a = 0) to the other (a = 1), and where both were
    found from different starts there is a barrier between them (Goodfellow, Vinyals & Saxe 2015). Around one run u is
    random. v is random. A random direction is given, row by row of each weight matrix, the norm of the weights there,
    and leaves biases as they are, so that the scale of a layer, which ReLU networks do not feel, does not decide how
    sharp a minimum looks (Li et al. 2018).
    """
    with _opened(runs or []) as trained:
        start, measure = _weights(trained[0]), _measure(trained[0], samples)
        u = _towards(trained, start, seed)
        v = filter_normalised(start, seed + 1)
        line = [measure(moved(start, (float(a), u))) for a in _LINE]
        plane = _plane(start, u, v, measure, resolution)
        names = [one.folder.name for one in trained]
    return _article(names, line, plane)


@contextmanager
def _opened(folders: Sequence[Path]) -> Iterator[list[Trained]]:
    """One run or two, whose networks have the same weights. Raises UserError."""
    require(len(folders) <= 2, f"{len(folders)} runs are too many: give --run once or twice")
    with TemporaryDirectory() as made:
        trained = [open_run(folder) for folder in folders or _two_small_ones(Path(made))]
        shapes = [{name: value.shape for name, value in one.model.named_parameters()} for one in trained]
        require(shapes[0] == shapes[-1], "the two runs have other weights: choose runs of one architecture")
        yield trained


def _two_small_ones(folder: Path) -> list[Path]:
    """Trained from different seeds."""
    with composing():
        configs = [one_run([*_SMALL, f"seed={seed}"]) for seed in (0, 1)]
    summary = logging.getLogger("pytorch_lightning.callbacks.model_summary")
    summary.disabled = True  # nobody has chosen these networks
    try:
        for number, config in enumerate(configs):
            run(config, folder / f"seed-{number}")
    finally:
        summary.disabled = False
    return [folder / f"seed-{number}" for number in range(2)]


def _weights(trained: Trained) -> Weights:
    return {name: value.detach() for name, value in trained.model.named_parameters()}


def _measure(trained: Trained, samples: int) -> Measure:
    """The mean loss, without penalties, and the accuracy on the first test samples."""
    data, model = data_of(trained), trained.model
    inputs, targets = data.transform(data.test.inputs[:samples]), data.test.targets[:samples]

    @torch.inference_mode()
    def measure(weights: Weights) -> tuple[float, float]:
        logits = functional_call(model, weights, (inputs,))
        return float(model.loss(logits, targets)), float((scores(logits).argmax(1) == targets).double().mean())

    return measure


def _towards(trained: Sequence[Trained], start: Weights, seed: int) -> Weights:
    if len(trained) == 1:
        return filter_normalised(start, seed)
    return {name: value - start[name] for name, value in _weights(trained[1]).items()}


def filter_normalised(weights: Weights, seed: int) -> Weights:
    """A random direction, each row of which has the norm of that row of the weights; zero for vectors."""
    generator = torch.Generator().manual_seed(seed)
    return {name: _like(value, generator) if value.ndim > 1 else torch.zeros_like(value)
            for name, value in weights.items()}  # fmt: skip


def _like(weight: Tensor, generator: torch.Generator) -> Tensor:
    random = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    return random * (weight.norm(dim=1, keepdim=True) / random.norm(dim=1, keepdim=True))


def moved(start: Weights, *steps: tuple[float, Weights]) -> Weights:
    """start + Σ length · direction."""
    return {name: value + sum(length * direction[name] for length, direction in steps)
            for name, value in start.items()}  # fmt: skip


def _plane(start: Weights, u: Weights, v: Weights, measure: Measure, resolution: int) -> np.ndarray:
    """The loss (b, a) over a along u, as the line, and b along v from -1 to 1."""
    along, across = torch.linspace(-0.5, 1.5, resolution).tolist(), torch.linspace(-1, 1, resolution).tolist()
    rows = progress(across, "rows of the plane")
    return np.array([[measure(moved(start, (a, u), (b, v)))[0] for a in along] for b in rows])


def _article(names: Sequence[str], line: Sequence[tuple[float, float]], plane: np.ndarray) -> Article:
    between = len(names) == 2
    places = "0 is the first run, 1 the second" if between else "0 is the run"
    return Article(
        "loss_landscape",
        "The loss between two networks" if between else "The loss around a network",
        " and ".join(names),
        [
            Section("Along the line", f"Position a on the line; {places}.", {"line": line_figure(line)}, _table(line)),
            Section("In the plane", "Loss, on a logarithmic scale.", {"plane": plane_figure(plane, between)}),
        ],
    )


def _table(line: Sequence[tuple[float, float]]) -> Table:
    """Every fifth place for people, all of them for programs."""
    rows: list[Row] = [{"position": float(a), "loss": loss, "accuracy": accuracy}
                       for a, (loss, accuracy) in zip(_LINE, line, strict=True)]  # fmt: skip
    cells = [(f"{row['position']:.2f}", f"{row['loss']:.4f}", f"{row['accuracy']:.2%}") for row in rows[::5]]
    return Table(("position", "loss", "accuracy"), cells, "line", rows)


def line_figure(line: Sequence[tuple[float, float]]) -> Figure:
    """Loss and accuracy over the position."""
    with styled():
        drawn = new_figure(9, 3.4)
        drawn.set_layout_engine("constrained")
        for axes, values, label, color in zip(drawn.subplots(1, 2), zip(*line, strict=True),
                                              ("Test loss", "Test accuracy"), COLORS, strict=False):  # fmt: skip
            axes.plot(_LINE, values, color=color)
            axes.set(xlabel="Position a on the line", ylabel=label)
            axes.grid()
        drawn.axes[1].yaxis.set_major_formatter("{x:.0%}")
        return drawn


def plane_figure(plane: np.ndarray, between: bool) -> Figure:
    """Lines of equal loss, with the runs marked."""
    size = len(plane)
    with styled():
        drawn = new_figure(6.4, 4.6)
        drawn.set_layout_engine("constrained")
        axes = drawn.add_subplot()
        levels = np.geomspace(plane.min(), plane.max(), 14)
        shades = axes.contourf(
            np.linspace(-0.5, 1.5, size), np.linspace(-1, 1, size), plane, levels, norm="log", cmap=SCALE
        )
        axes.contour(shades, colors=INK, linewidths=0.5)
        _mark(axes, between)
        axes.set(xlabel="Position a", ylabel="Position b, across")
        drawn.colorbar(shades, label="Test loss", format="%.2g")
        return drawn


def _mark(axes: Axes, between: bool) -> None:
    for place, name in ((0, "first" if between else "run"), (1, "second"))[: 1 + between]:
        axes.plot(place, 0, "o", color="white", markeredgecolor=INK)
        axes.annotate(name, (place, 0), (0, 8), textcoords="offset points", ha="center",
                      bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": INK, "pad": 0.2})  # fmt: skip
