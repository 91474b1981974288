"""What second derivatives cost: the gradient, a product with the Hessian, and the whole Hessian of one layer."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import product
from multiprocessing import get_context
from timeit import timeit
from typing import Annotated, Any

import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dlproj import formats
from dlproj.clock import CPU, processor_clock
from dlproj.config.checks import LARGEST_SEED, whole_numbers
from dlproj.labs.studies.parts.second_derivatives import Problem, random_layer, random_network
from dlproj.labs.studies.parts.timing import ON_CLOCK, QUARTILES, error_bars, time_in_turns
from dlproj.live_bytes import LiveBytes
from dlproj.machine import require_memory
from dlproj.reports.article import Article, Section, Table
from dlproj.reports.style import COLORS, INK, new_figure, styled

_WIDTHS, _UNITS = (10, 10, 5), 10  # of the document's network, and of our layer that stands beside it
_REPORTED = {"gradient": 0.998e-3, "hessian_by_rows": 27.0e-3}  # seconds, mlp document
DOCUMENTS = " → ".join(map(str, _WIDTHS))
_FLOAT32 = 4  # bytes
_AT_ONCE = 4  # Hessians that torch.func holds, measured 3.5 of 64 units
_IN_A_ROW = 3


def hessian(
    sizes: Annotated[str, typer.Option(help="inputs and outputs of our layer")] = "5,10,20,40,64,160,320,640,1280",
    largest: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="the largest of them whose whole Hessian is computed")
    ] = 64,
    batch: Annotated[int, typer.Option(min=1, max=1_000_000, help="samples whose mean loss it is, of our layer")] = 16,
    turns: Annotated[int, typer.Option(min=1, max=1_000_000, help=f"of each, {_IN_A_ROW} timings a turn")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="of inputs, targets, weights and vector")] = 0,
) -> Article:
    """Time and memory of a layer's gradient, of its whole Hessian, and of a Hessian-vector product.

    n × n weights have n² first, but n⁴ second derivatives. The mlp document takes the first layer's weights W of a
    network 10 → 10 → 5 with ReLU, V max(W x + b, 0) + c, whose loss is the mean squared error of one sample. Where D
    are the active units, H = 2/5 D VᵀV D ⊗ x xᵀ. Ours beside it is a layer of logits z = W x of n classes, whose loss
    is the mean cross-entropy over a batch: H is the mean over the batch of (diag p - p pᵀ) ⊗ x xᵀ with p = softmax z
    (Böhning 1992). Both are symmetric and have no eigenvalue below zero.

    A product with the Hessian needs none of its numbers: H v is the derivative of the gradient along v,
    d/dr ∇L(W + r v) at r = 0, which forward differentiation of the backward pass gives for the price of a few gradients
    (Pearlmutter 1994).
    """
    units = sorted(set(whole_numbers("--sizes", sizes)))
    whole = max((count for count in units if count <= largest), default=0)
    require_memory(_AT_ONCE * _FLOAT32 * whole**4, f"the Hessian of {whole} × {whole} weights", "--largest")
    generator = torch.Generator().manual_seed(seed)
    with _forward_mode():
        exact = agreement(both(batch, generator, torch.float64))
        compared = [once_in_new_process(seed), *compare(both(batch, generator), turns, seed)]
        layers = [random_layer(count, batch, generator) for count in units]
        rows = measure({len(layer.weights): works_of(layer, largest) for layer in layers}, turns, seed)
    return Article(
        "hessian",
        "What a Hessian costs beside a gradient",
        f"{DOCUMENTS} with one sample; one layer of n × n weights with {batch:,}; one thread",
        [
            Section(f"The mlp document's network, {DOCUMENTS}", _ON_REPORTED, table=compared_table(compared)),
            Section("Our layer as it grows", _ON_COST, {"cost": figure(rows)}, cost_table(rows)),
            Section("The same numbers", "Of both networks, in float64.", table=exact),
        ],
    )


_ON_COST = (
    "Median times in float32, with quartiles as bars, and the most bytes that torch holds at once beside weights and "
    f"samples. {ON_CLOCK} torch.func computes all n⁴ numbers of a whole Hessian side by side; beyond the largest size "
    "that was asked for, only what those numbers alone would take is shown. Below some hundred units, calls cost more "
    "than arithmetic."
)
_ON_REPORTED = (
    "First as the document did it: the gradient by a backward pass, its forward pass outside the time; the Hessian row "
    "by row, a backward pass for each of the gradient's numbers (here with the forward pass and the gradient in its "
    "time). Then by torch.func, which computes all rows side by side, and a product with the Hessian; the forward pass "
    "is in both. All in float32; reported is another machine. What torch does for the first time takes longer, the "
    "short gradient many times as long: timed once, it makes the Hessian look cheaper. Our layer has another loss, so "
    "nothing is reported of it."
)


@contextmanager
def _forward_mode() -> Iterator[None]:
    """Within it torch is silent about what it does itself when it first differentiates forward."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        yield


def both(batch: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> dict[str, Problem]:
    """The document's network, and our layer of as many weights."""
    return {
        DOCUMENTS: random_network(_WIDTHS, 1, generator, dtype),
        f"ours, {_UNITS} × {_UNITS}": random_layer(_UNITS, batch, generator, dtype),
    }


def compare(problems: Mapping[str, Problem], turns: int, seed: int) -> list[dict[str, Any]]:
    """Median seconds of each, in the document's way and in others."""
    works = {
        (name, way): work
        for name, problem in problems.items()
        for way, work in {
            "gradient": problem.backward(),
            "hessian_by_rows": problem.hessian_by_rows,
            "hessian": problem.hessian,
            "product": problem.product,
        }.items()
    }
    timings = time_in_turns(works, turns, seed, "networks", _IN_A_ROW)
    rows: list[dict[str, Any]] = [{"network": name, "timed": "median"} for name in problems]
    for row in rows:
        row |= {f"{way}_seconds": one.median() for (name, way), one in timings.items() if name == row["network"]}
    return rows


def once_in_new_process(seed: int) -> dict[str, Any]:
    """The document's two times, each of the first time that torch does this."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(once, seed).result()


def once(seed: int) -> dict[str, Any]:
    """A single time of the gradient, then of the Hessian, of the document's network."""
    network, clock = random_network(_WIDTHS, 1, torch.Generator().manual_seed(seed)), processor_clock(CPU)
    works = {"gradient": network.backward(), "hessian_by_rows": network.hessian_by_rows}
    seconds = {f"{way}_seconds": timeit(work, timer=clock, number=1) for way, work in works.items()}
    return {"network": DOCUMENTS, "timed": "once, in a new process", **seconds}


def compared_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The document's network as reported and measured, and ours."""
    reported = {f"{way}_seconds": seconds for way, seconds in _REPORTED.items()}
    rows = [{"network": DOCUMENTS, "timed": "reported", **reported}, *rows]
    ways = ("gradient_seconds", "hessian_by_rows_seconds", "hessian_seconds", "product_seconds")
    cells = [
        (
            str(row["network"]),
            str(row["timed"]),
            *(_milliseconds(row.get(way)) for way in ways),
            f"{row[ways[1]] / row[ways[0]]:,.1f}",
        )
        for row in rows
    ]
    columns = (
        "network",
        "timed",
        "gradient (ms)",
        "H by rows (ms)",
        "H side by side (ms)",
        "H v (ms)",
        "H by rows / gradient",
    )
    return Table(columns, cells, "reported", [dict.fromkeys(rows[-1]) | dict(row) for row in rows])


def works_of(problem: Problem, largest: int) -> dict[str, Callable[[], Tensor]]:
    """What is timed of a layer, by its name; the whole Hessian of so many units at most."""
    whole = {"hessian": problem.hessian} if len(problem.weights) <= largest else {}
    return {"gradient": problem.gradient, "product": problem.product, **whole}


def measure(works: Mapping[int, Mapping[str, Callable[[], Tensor]]], turns: int, seed: int) -> list[dict[str, Any]]:
    """Seconds and bytes of each layer's works, by its units."""
    flat = {(units, name): work for units, mine in works.items() for name, work in mine.items()}
    timings = time_in_turns(flat, turns, seed, "derivatives", _IN_A_ROW)
    found: dict[int, dict[str, Any]] = {
        units: {"units": units, "weights": units**2, "hessian_formula_bytes": _FLOAT32 * units**4} for units in works
    }
    for units, name in product(works, _LABELS):
        known = timings.get((units, name))
        row = known.row() if known else dict.fromkeys(QUARTILES)
        found[units] |= {f"{name}_{part}": value for part, value in row.items()}
        found[units][f"{name}_bytes"] = peak_bytes(works[units][name]) if known else None
    return list(found.values())


def peak_bytes(work: Callable[[], Tensor]) -> int:
    """The most that torch holds at once, the result among it."""
    with LiveBytes() as live:
        result = work()
    del result  # not before the count ends
    return live.peak


def cost_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Time and memory as the layer grows."""
    columns = (
        "n",
        "gradient (ms)",
        "H v (ms)",
        "H (ms)",
        "H v / gradient",
        "H / gradient",
        "gradient (MB)",
        "H v (MB)",
        "H (MB)",
    )
    return Table(columns, [_cells(row) for row in rows], "cost", rows)


def _cells(row: Mapping[str, Any]) -> list[str]:
    gradient, *others = seconds = [row[f"{name}_median_seconds"] for name in _LABELS]
    ratios = [formats.NONE if other is None else f"{other / gradient:,.1f}" for other in others]
    megabytes = [_megabytes(row[f"{name}_bytes"]) for name in ("gradient", "product")]
    return [f"{row['units']:,}", *map(_milliseconds, seconds), *ratios, *megabytes, _whole_megabytes(row)]


def _whole_megabytes(row: Mapping[str, Any]) -> str:
    computed = row["hessian_bytes"]
    return f"{_megabytes(row['hessian_formula_bytes'])} or more" if computed is None else _megabytes(computed)


def _milliseconds(seconds: float | None) -> str:
    return formats.NONE if seconds is None else f"{1e3 * seconds:,.3f}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.{3 if count < 1e8 else 0}f}"


def agreement(problems: Mapping[str, Problem]) -> Table:
    """The largest differences, and the smallest eigenvalue, of each."""
    rows: list[dict[str, Any]] = [{"network": name, **_differences(problem)} for name, problem in problems.items()]
    quantities = list(rows[0])[1:]
    cells = [(quantity, *(f"{row[quantity]:.1e}" for row in rows)) for quantity in quantities]
    return Table(("of", *problems), cells, "agreement", rows)


def _differences(problem: Problem) -> dict[str, float]:
    found = problem.hessian()
    matrix = found.reshape(problem.weights.numel(), -1)
    along = (matrix @ problem.vector.flatten()).reshape(problem.vector.shape)
    return {
        "largest |product - H v|": float((problem.product() - along).abs().max()),
        "largest |H - Hᵀ|": float((matrix - matrix.T).abs().max()),
        "largest |H - row by row|": float((found - problem.hessian_by_rows()).abs().max()),
        "largest |H - closed form|": float((found - problem.closed_form()).abs().max()),
        "largest |H|": float(found.abs().max()),
        "smallest eigenvalue of H": float(torch.linalg.eigvalsh(matrix).min()),
    }


def figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Time and memory by the layer's size."""
    with styled():
        drawn = new_figure(10, 4.2)
        drawn.set_layout_engine("constrained")
        times, memory = drawn.subplots(1, 2)
        for place, (name, label) in enumerate(_LABELS.items()):
            known = [row for row in rows if row[f"{name}_bytes"] is not None]
            style = {"color": COLORS[place], "marker": "os^"[place], "label": label}
            _times(times, name, known, style)
            memory.plot([row["units"] for row in known], [row[f"{name}_bytes"] / 1e6 for row in known], **style)
        formula = [row["hessian_formula_bytes"] / 1e6 for row in rows]
        memory.plot([row["units"] for row in rows], formula, "--", color=INK, label="n⁴ numbers of 4 bytes")
        times.set_ylabel("Time (ms)")
        memory.set_ylabel("Most held at once (MB)")
        for axes in (times, memory):
            _log_axes(axes)
        drawn.legend(*memory.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return drawn


_LABELS = {"gradient": "gradient", "product": "Hessian-vector product H v", "hessian": "whole Hessian H"}


def _times(axes: Axes, name: str, rows: Sequence[Mapping[str, Any]], style: Mapping[str, Any]) -> None:
    lower, middle, upper = ([1e3 * row[f"{name}_{part}"] for row in rows] for part in QUARTILES)
    axes.errorbar([row["units"] for row in rows], middle, error_bars(lower, middle, upper), capsize=3, **style)


def _log_axes(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.9g}")
        axis.set_minor_formatter("")
    axes.set_xlabel("Inputs and outputs of the layer, n")
    axes.grid()
