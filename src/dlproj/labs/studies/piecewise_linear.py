"""The linear pieces of a trained ReLU network, along a line and in a plane through test images."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from dlproj.config.checks import whole_numbers
from dlproj.config.layers import Activation
from dlproj.labs.studies.parts.linear_pieces import (
    DENSE,
    MOST,
    ROUNDING,
    STEPS,
    Curve,
    Pieces,
    Plane,
    at_most,
    patterns_at,
    pieces_along,
    plane_through,
    restricted,
    surely_possible,
)
from dlproj.labs.studies.parts.options import count, seed_option
from dlproj.labs.studies.parts.pieces_figures import line_figure, plane_figure
from dlproj.labs.studies.parts.relu_subject import Subject, accuracy, corners_of, of_digits, of_run, trained
from dlproj.labs.studies.parts.scratch import ScratchMLP
from dlproj.models.classifier import Classifier
from dlproj.reports.article import Article, Column, Section, Table

_INSIDE = np.linspace(0.1, 0.9, 5)  # where a piece is looked at, as shares of its length


def piecewise_linear(
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="a trained run, an MLP with ReLU; without it, a small one is trained on the digits",
            show_default=False,
        ),
    ] = None,
    images: Annotated[str, typer.Option(help="three of the test set, from 0; the line is between the first two")] = (
        "0,1,2"
    ),
    hidden: Annotated[str, typer.Option(help="units of each hidden layer; with --run, as the run has them")] = "32,32",
    epochs: Annotated[int, count("of training; with --run, of the sigmoid network's")] = 20,
    resolution: Annotated[int, count("points along each side of the plane's grid", 8, 10_000)] = 500,
    seed: Annotated[int, seed_option("decides weights and batches")] = 0,
) -> Article:
    """A ReLU network is continuous and linear in pieces: they are counted along a line and in a plane, and drawn.

    Where no hidden unit's sum z changes its sign, each max(z, 0) is z or 0 and the logits are affine in the input
    (Montúfar, Pascanu, Cho & Bengio 2014). Such inputs are an intersection of half-spaces, so a piece is convex.

    Along x(t) = A + t (B - A) the pieces are found exactly, layer by layer: inside a piece of the layers below, a
    unit's sum is p + q t, and where t = -p/q lies inside, the piece breaks. In the plane a unit's line of zeros cuts
    each piece of the layers below that it crosses, convex polygons, in two. A layer of n units parts d dimensions into
    at most C(n,0) + … + C(n,d) pieces (Zaslavsky 1975), each of which the next layer can part again; the 2014
    paper's theorem 4 says how many a network of such widths can have for sure. A sigmoid network bends everywhere.
    """
    indices = whole_numbers("--images", images, least=0, such_as="0,1,2")
    subject = of_run(run) if run else of_digits(whole_numbers("--hidden", hidden, such_as="32,32"), epochs, seed)
    corners = corners_of(subject.data, indices)
    sigmoid = trained(subject.data, subject.units(), Activation.sigmoid, epochs, seed)
    names = [f"{subject.class_of(index)} (test:{index})" for index in indices]
    plane = plane_through(subject.network, corners, resolution)
    line = Line(corners[0], corners[1])
    pieces = line.pieces(subject.network)
    return Article(
        "piecewise_linear",
        "The linear pieces of a ReLU network",
        f"{subject.name}, hidden layers of {', '.join(map(str, subject.units()))} units; "
        f"{', '.join(names)}; seed {seed}",
        [
            _line_section(subject, sigmoid, line, pieces, names),
            _plane_section(subject, plane, indices, names),
            _bounds_section(subject.units(), len(pieces), pieces_of(plane) or plane.count()),
            _sigmoid_section(subject, sigmoid, line, pieces),
        ],
    )


@dataclass(frozen=True, slots=True)
class Line:
    """From one input (inputs,), where t is 0, to another, where it is 1."""

    start: np.ndarray
    end: np.ndarray

    def pieces(self, network: ScratchMLP) -> Pieces:
        """The pieces of a ReLU network along the line."""
        return pieces_along(restricted(network, self.start, (self.end - self.start)[None]))

    def at(self, t: np.ndarray) -> np.ndarray:
        """The inputs (N, inputs) at t (N,)."""
        return self.start + t[:, None] * (self.end - self.start)

    def logits(self, model: Classifier) -> Curve:
        """The logits of the model itself."""

        @torch.inference_mode()
        def logits(t: np.ndarray) -> np.ndarray:
            return model(torch.from_numpy(self.at(t))).numpy()

        return logits

    def slopes(self, model: Classifier) -> Curve:
        """The logits' derivatives by t, by autograd of the model itself."""

        def slopes(t: np.ndarray) -> np.ndarray:
            inputs = torch.from_numpy(self.at(t)).requires_grad_()
            gradients = (torch.autograd.grad(logit.sum(), inputs, retain_graph=True)[0] for logit in model(inputs).T)
            return np.stack([gradient.numpy() @ (self.end - self.start) for gradient in gradients], axis=1)

        return slopes


def line_table(subject: Subject, line: Line, pieces: Pieces) -> Table:
    """The pieces, and what speaks for their number: patterns and slopes by the models' own forward passes."""
    middles = line.at(pieces.inside(np.array([0.5]))[:, 0])
    patterns = patterns_at(subject.network, middles)
    offset, change = deviations(subject.model, line, pieces)
    counts = {
        f"break points of layer {layer}": int((pieces.layers == layer).sum())
        for layer in range(1, len(subject.units()) + 1)
    }
    counts |= {
        "pieces": len(pieces),
        "different activation patterns at their midpoints": len(np.unique(patterns, axis=0)),
        "midpoints with the pattern that was worked out": int((patterns == pieces.patterns).all(1).sum()),
        "break points at which the logits' slope changes": pieces.bends(),
    }
    errors = {
        "largest distance of a logit from its piece's line": offset,
        "largest difference of slopes inside a piece": change,
    }
    rows = [{"quantity": name, "value": value} for name, value in (counts | errors).items()]
    columns = [
        Column("along the line", value="quantity"),
        Column("", value=lambda row: format(row["value"], ".1e" if row["quantity"] in errors else ",")),
    ]
    return Table.of(rows, columns, "line")


def deviations(model: Classifier, line: Line, pieces: Pieces) -> tuple[float, float]:
    """How far logits, and slopes by autograd, are from those of the pieces at most, at several t of each piece."""
    t = pieces.inside(_INSIDE)
    logits, slopes = (curve(t.ravel()).reshape(*t.shape, -1) for curve in (line.logits(model), line.slopes(model)))
    expected = pieces.offsets[:, None] + t[..., None] * pieces.slopes[:, None]
    return float(np.abs(logits - expected).max()), float(np.abs(slopes - pieces.slopes[:, None]).max())


def _line_section(subject: Subject, sigmoid: Classifier, line: Line, pieces: Pieces, names: Sequence[str]) -> Section:
    text = (
        f"From {names[0]} to {names[1]}. Top: the logits, coloured if they are the largest somewhere; "
        "thin lines are break points. Middle: the layer of the unit that breaks there. Bottom: the slope of the logit "
        "that is the largest at the start, a staircase with ReLU, a smooth curve for the network trained with sigmoid."
    )
    drawn = line_figure(
        line.logits(subject.model), line.slopes(sigmoid), pieces, len(subject.units()), subject.data.spec.classes, names
    )
    return Section("Along a line", text, {"line": drawn}, line_table(subject, line, pieces))


def _plane_section(subject: Subject, plane: Plane, indices: Sequence[int], names: Sequence[str]) -> Section:
    text = (
        "Each colour is a piece, in which the network is linear; dark lines part what is predicted, dotted is the line "
        "of the first figure. Distances are Euclidean, of the model's inputs. Cut out exactly, the window is parted by "
        "each unit's line of zeros in each piece of the layers below. Pieces are convex, so that a pattern of active "
        "units is one piece: as many as a grid's points show is a lower bound, which the exact count is never below."
    )
    images = [subject.data.shown(subject.data.test.inputs[index]) for index in indices]
    pictures = [image for image in images if isinstance(image, np.ndarray)]
    drawn = plane_figure(plane, pictures, names, subject.data.spec.classes)
    return Section("In a plane", text, {"plane": drawn}, plane_table(plane))


def plane_table(plane: Plane) -> Table:
    """The pieces, and those seen on ever finer grids."""
    rows = [{"by": "cutting", "pieces": pieces_of(plane)}]
    for every in (8, 4, 2, 1):
        points = -(-len(plane.along) // every)
        rows.append({"by": f"a grid of {points} × {points} points", "pieces": plane.count(every)})
    pieces = Column("pieces", value=lambda row: _large(row["pieces"]) if row["pieces"] else f"more than {MOST:,}")
    return Table.of(rows, [Column("by"), pieces], "plane")


def pieces_of(plane: Plane) -> int | None:
    """All pieces in the window; None: too many."""
    return None if plane.polygons is None else len(plane.polygons)


def _bounds_section(units: Sequence[int], on_line: int, in_plane: int) -> Section:
    text = (
        "Seen between the images and in the window. The bounds are for whole lines and planes, and for the best of all "
        "weights."
    )
    rows = [
        (where, seen, surely_possible(units, dimensions), at_most(units, dimensions))
        for where, seen, dimensions in (("line", on_line, 1), ("plane", in_plane, 2))
    ]
    columns = [
        Column("", value="where"),
        Column("pieces seen", _large),
        Column("possible for sure", _large, "surely_possible"),
        Column("at most", _large),
    ]
    return Section("Beside what is possible", text, table=Table.of_values(rows, columns, "bounds"))


def _large(count: int) -> str:
    return f"{count:,}" if count < 1e12 else f"{Decimal(count):.1e}"


def _sigmoid_section(subject: Subject, sigmoid: Classifier, line: Line, pieces: Pieces) -> Section:
    text = (
        "The same layers trained with sigmoid, from the same seed on the same batches. Chord: from end to end of each "
        "of the ReLU network's pieces, beside the logits at its midpoint. Second difference: the largest over the "
        f"logits of |f(t - h) - 2 f(t) + f(t + h)| with h = 1/{STEPS}."
    )
    models = {"ReLU": subject.model, "sigmoid": sigmoid}
    rows = [
        {"network": name, "test_accuracy": accuracy(model, subject.data), **curvature(line.logits(model), pieces)}
        for name, model in models.items()
    ]
    columns = [
        Column("network"),
        Column("test accuracy", ".2%"),
        Column("largest distance from a chord", ".1e", "largest_distance_from_chord"),
        Column("smallest second difference", ".1e"),
        Column(f"above {ROUNDING:g} of the largest logit", ".1%", "share_bent"),
    ]
    return Section("A sigmoid network has no pieces", text, table=Table.of(rows, columns, "sigmoid"))


def curvature(logits: Curve, pieces: Pieces) -> dict[str, float]:
    """How far the logits are from linear inside the pieces, and on equal steps of the whole line."""
    middles = logits(pieces.inside(np.array([0.5]))[:, 0])
    ends = logits(pieces.ends)
    chord = np.abs(middles - (ends[:-1] + ends[1:]) / 2).max()
    values = logits(DENSE)
    second = np.abs(np.diff(values, 2, axis=0)).max(1)
    return {
        "largest_distance_from_chord": float(chord),
        "smallest_second_difference": float(second.min()),
        "share_bent": float((second > ROUNDING * np.abs(values).max()).mean()),
    }
