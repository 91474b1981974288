"""Stacked linear layers compute what one linear layer can, of no higher rank than their narrowest width."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Annotated

import torch
import typer
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from dlproj.config.checks import require, whole_numbers
from dlproj.labs.studies.parts.options import count, seed_option
from dlproj.labs.studies.parts.stacks import Layer, arrows, normal, outputs_of, random_layers
from dlproj.reports.article import Article, Column, Section, Table
from dlproj.reports.style import COLORS, GREY, INK, drawing

_AT, _REPORTED_VALUE = 5.0, 37.0  # mlp document
_NARROW, _REPORTED_RANKS = (3, 2, 3), {(3, 2, 3): 2, (3, 3): 3}  # mlp document


def linear_collapse(
    widths: Annotated[str, typer.Option(help="inputs, the width of each layer, outputs")] = "64,128,96,32,10",
    width: Annotated[int, count("inputs and outputs of the stack with a bottleneck", least=2)] = 64,
    bottleneck: Annotated[int, count("width between its two layers, below WIDTH")] = 8,
    samples: Annotated[int, count("random inputs on which the networks are compared")] = 1000,
    seed: Annotated[int, seed_option("of the weights, biases and inputs")] = 0,
) -> Article:
    """Linear layers in a row equal one linear layer; a narrow one among them lowers the rank.

    W₂(W₁x + b₁) + b₂ = (W₂W₁)x + (W₂b₁ + b₂), and so on for any number of layers (Goodfellow, Bengio & Courville 2016,
    6.1): depth without a nonlinearity adds parameters, but no function. As rank(W₂W₁) ≤ min(rank W₁, rank W₂), a stack
    through q units has at most rank q (6.3.3 there uses that to save parameters). An affine f has f(x) + f(-x) = 2 f(0)
    for every x, which tells what a ReLU between the layers adds (mlp document).
    """
    shape = parse_widths(widths)
    require(bottleneck < width, f"--bottleneck={bottleneck} is not narrower than --width={width}: set a smaller one")
    generator = torch.Generator().manual_seed(seed)
    layers = random_layers(shape, generator)
    inputs = normal(samples, shape[0], generator=generator)
    matrices: Mapping[tuple[int, ...], Tensor] = {
        sizes: collapse(random_layers(sizes, generator))[0]
        for sizes in (_NARROW, (3, 3), (width, bottleneck, width), (width, width))
    }
    return Article(
        "linear_collapse",
        "Stacked linear layers equal one",
        f"layers {arrows(shape)}, bottleneck {arrows((width, bottleneck, width))}, seed {seed}",
        [
            Section("By hand", f"Two affine maps of one number, at x = {_AT:g}.", table=scalar_table()),
            Section(
                "Random layers",
                f"{arrows(shape)} in float64, weights N(0, 1/inputs), biases N(0, 1), {samples:,} inputs N(0, 1). "
                "Whatever a single layer is, f(x) + f(-x) - 2 f(0) is 0; with a ReLU between the layers, the same "
                "weights need not give that. The figure shows the first output along a line x = t·u through zero.",
                {"along_a_line": along_a_line(layers, generator)},
                comparison(layers, inputs),
            ),
            Section(
                "A bottleneck lowers the rank",
                "Singular values of the one matrix that the layers collapse to. Those below the tolerance, the largest "
                "of them × width × 2.2e-16, are rounding errors of zero.",
                {"singular_values": singular_values(matrices[width, bottleneck, width], matrices[width, width])},
                ranks(matrices),
            ),
        ],
    )


def parse_widths(text: str) -> tuple[int, ...]:
    """Widths from "64,128,10". Raises ConfigurationError unless there are three or more, each 1 or more."""
    widths = tuple(whole_numbers("--widths", text, such_as="64,128,10"))
    require(len(widths) > 2, f"--widths={text} is a single layer: set three widths or more, such as 64,128,10")
    return widths


def collapse(layers: Sequence[Layer]) -> Layer:
    """The one layer that equals them all."""
    weights, biases = layers[0]
    for following, added in layers[1:]:
        weights, biases = following @ weights, following @ biases + added
    return weights, biases


def scalar_table() -> Table:
    """The document's 3(2x + 1) + 4 = 6x + 7, at one x."""
    layers = [_scalar_layer(2, 1), _scalar_layer(3, 4)]
    ((slope, offset),) = [(float(weights), float(biases)) for weights, biases in [collapse(layers)]]
    forms = {"3 (2x + 1) + 4": layers, f"{slope:g}x + {offset:g}": [_scalar_layer(slope, offset)]}
    at = torch.tensor([[_AT]], dtype=torch.float64)
    rows = [
        {"form": form, "x": _AT, "reported": _REPORTED_VALUE, "measured": float(outputs_of(same, at))}
        for form, same in forms.items()
    ]
    columns = [Column("form"), Column("reported", "g"), Column("measured", "g")]
    return Table.of(rows, columns, "by_hand")


def _scalar_layer(slope: float, offset: float) -> Layer:
    return torch.tensor([[slope]], dtype=torch.float64), torch.tensor([offset], dtype=torch.float64)


def comparison(layers: Sequence[Layer], inputs: Tensor) -> Table:
    """The stack and the stack with ReLUs beside the single layer."""
    single = [collapse(layers)]
    networks: dict[str, tuple[Sequence[Layer], Callable[[Tensor], Tensor] | None]] = {
        "single layer": (single, None),
        "stack": (layers, None),
        "stack with ReLU between": (layers, torch.relu),
    }
    expected = outputs_of(single, inputs)
    values = []
    for name, (own, between) in networks.items():
        outputs, mirrored = outputs_of(own, inputs, between), outputs_of(own, -inputs, between)
        at_zero = outputs_of(own, torch.zeros_like(inputs[:1]), between)
        largest = (float(x.abs().max()) for x in (outputs - expected, outputs + mirrored - 2 * at_zero, outputs))
        values.append((name, parameters(own), *largest))
    columns = [
        Column("network"),
        Column("parameters", ","),
        Column("largest difference to the single layer", ".2g", "largest_difference_to_single"),
        Column("largest f(x) + f(-x) - 2 f(0)", ".2g", "largest_departure_from_affine"),
        Column("largest output", ".2g"),
    ]
    return Table.of_values(values, columns, "comparison")


def parameters(layers: Sequence[Layer]) -> int:
    """The number of weights and biases."""
    return sum(weights.numel() + biases.numel() for weights, biases in layers)


def ranks(matrices: Mapping[tuple[int, ...], Tensor]) -> Table:
    """By torch.linalg.matrix_rank, for each list of widths, beside the narrowest of them."""
    rows = []
    for widths, matrix in matrices.items():
        values, rank = torch.linalg.svdvals(matrix).tolist(), int(torch.linalg.matrix_rank(matrix))
        weights, dropped = sum(a * b for a, b in pairwise(widths)), values[rank] if rank < len(values) else None
        ranks = (_REPORTED_RANKS.get(widths), rank)
        rows.append((arrows(widths), weights, min(widths), *ranks, values[rank - 1], dropped))
    columns = [
        *map(Column, ("layers", "weights", "narrowest", "reported rank", "measured rank")),
        Column("smallest value kept", ".2g", "smallest_singular_value_kept"),
        Column("largest dropped", ".2g", "largest_singular_value_dropped"),
    ]
    return Table.of_values(rows, columns, "ranks")


def along_a_line(layers: Sequence[Layer], generator: torch.Generator) -> Figure:
    """The first output at t·u, u from N(0, 1)."""
    direction = normal(1, layers[0][0].shape[1], generator=generator)
    t = torch.linspace(-3, 3, 401, dtype=torch.float64)
    inputs = t[:, None] * direction
    with drawing(7, 3.6) as figure:
        axes = figure.add_subplot()
        axes.plot(t, outputs_of(layers, inputs)[:, 0], color=COLORS[1], linewidth=5, label="stack")
        axes.plot(t, outputs_of([collapse(layers)], inputs)[:, 0], "--", color=INK, label="single layer")
        bent = outputs_of(layers, inputs, torch.relu)[:, 0]
        axes.plot(t, bent, "-.", color=COLORS[0], linewidth=2, label="stack with ReLU between")
        axes.set(xlabel="t", ylabel="first output")
        axes.grid()
        figure.legend(loc="outside upper center", ncols=3)
        return figure


def singular_values(narrow: Tensor, full: Tensor) -> Figure:
    """Of a stack with a bottleneck and of a single matrix of the same inputs and outputs."""
    values = torch.linalg.svdvals(narrow)
    tolerance = float(values[0]) * max(narrow.shape) * torch.finfo(narrow.dtype).eps  # torch.linalg.matrix_rank's
    with drawing(7, 3.8) as figure:
        axes = figure.add_subplot(yscale="log", xlabel="number, the largest first", ylabel="singular value")
        numbers = range(1, len(values) + 1)
        axes.plot(numbers, torch.linalg.svdvals(full), "o-", color=COLORS[1], markersize=4, label="one full matrix")
        axes.plot(numbers, values, "s", color=COLORS[0], markersize=4, label="through the bottleneck")
        axes.axhline(tolerance, color=GREY, linestyle="--", label="tolerance of the rank")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid()
        figure.legend(loc="outside upper center", ncols=3)
        return figure
