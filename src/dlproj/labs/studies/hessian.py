"""What second derivatives cost: the gradient, a product with the Hessian, and the whole Hessian of one layer."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import product
from multiprocessing import get_context
from timeit import timeit
from typing import Annotated, Any

import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dlproj.clock import CPU, processor_clock
from dlproj.config.checks import whole_numbers
from dlproj.labs.studies.parts.options import count, seed_option
from dlproj.labs.studies.parts.second_derivatives import Problem, random_layer, random_network
from dlproj.labs.studies.parts.stacks import arrows
from dlproj.labs.studies.parts.timing import ON_CLOCK, QUARTILES, time_in_turns
from dlproj.labs.studies.parts.timing_figures import plot_quartiles
from dlproj.live_bytes import LiveBytes
from dlproj.machine import require_memory
from dlproj.reports.article import Article, Column, Section, Table
from dlproj.reports.style import COLORS, INK, drawing

_WIDTHS, _UNITS = (10, 10, 5), 10  # of the document's network, and of our layer that stands beside it
_REPORTED = {"gradient": 0.998e-3, "hessian_by_rows": 27.0e-3}  # seconds, mlp document
DOCUMENTS = arrows(_WIDTHS)
_FLOAT32 = 4  # bytes
_AT_ONCE = 4  # Hessians that torch.func holds, measured 3.5 of 64 units
_IN_A_ROW = 3


def hessian(
    sizes: Annotated[str, typer.Option(help="inputs and outputs of our layer")] = "5,10,20,40,64,160,320,640,1280",
    largest: Annotated[int, count("the largest of them whose whole Hessian is computed")] = 64,
    batch: Annotated[int, count("samples whose mean loss it is, of our layer")] = 16,
    turns: Annotated[int, count(f"of each, {_IN_A_ROW} timings a turn")] = 5,
    seed: Annotated[int, seed_option("of inputs, targets, weights and vector")] = 0,
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
    n = max((n for n in units if n <= largest), default=0)
    require_memory(_AT_ONCE * _FLOAT32 * n**4, f"the Hessian of {n} × {n} weights", "--largest")
    generator = torch.Generator().manual_seed(seed)
    with _forward_mode():
        exact = agreement(both(batch, generator, torch.float64))
        compared = [once_in_new_process(seed), *compare(both(batch, generator), turns, seed)]
        layers = [random_layer(n, batch, generator) for n in units]
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
        own = {way: seconds for (name, way), seconds in timings.items() if name == row["network"]}
        row |= {f"{way}_seconds": seconds.median() for way, seconds in own.items()}
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
    columns = [
        Column("network"),
        Column("timed"),
        Column("gradient (ms)", ",.3f", "gradient_seconds", 1e3),
        Column("H by rows (ms)", ",.3f", "hessian_by_rows_seconds", 1e3),
        Column("H side by side (ms)", ",.3f", "hessian_seconds", 1e3),
        Column("H v (ms)", ",.3f", "product_seconds", 1e3),
        Column("H by rows / gradient", ",.1f", lambda row: row["hessian_by_rows_seconds"] / row["gradient_seconds"]),
    ]
    return Table.of([dict.fromkeys(rows[-1]) | dict(row) for row in rows], columns, "reported")


def works_of(problem: Problem, largest: int) -> dict[str, Callable[[], Tensor]]:
    """What is timed of a layer, by its name; the Hessian only of `largest` units or fewer."""
    hessian = {"hessian": problem.hessian} if len(problem.weights) <= largest else {}
    return {"gradient": problem.gradient, "product": problem.product, **hessian}


def measure(works: Mapping[int, Mapping[str, Callable[[], Tensor]]], turns: int, seed: int) -> list[dict[str, Any]]:
    """Seconds and bytes of each layer's works, by its units."""
    flat = {(units, name): work for units, mine in works.items() for name, work in mine.items()}
    timings = time_in_turns(flat, turns, seed, "derivatives", _IN_A_ROW)
    rows: dict[int, dict[str, Any]] = {
        units: {"units": units, "weights": units**2, "hessian_formula_bytes": _FLOAT32 * units**4} for units in works
    }
    for units, name in product(works, _LABELS):
        known = timings.get((units, name))
        seconds = known.row() if known else dict.fromkeys(QUARTILES)
        rows[units] |= {f"{name}_{part}": value for part, value in seconds.items()}
        rows[units][f"{name}_bytes"] = peak_bytes(works[units][name]) if known else None
    return list(rows.values())


def peak_bytes(work: Callable[[], Tensor]) -> int:
    """The most that torch holds at once, the result among it."""
    with LiveBytes() as live:
        result = work()
    del result  # not before the count ends
    return live.peak


def cost_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Time and memory as the layer grows."""
    symbols = {"gradient": "gradient", "product": "H v", "hessian": "H"}
    columns = [
        Column("n", ",", "units"),
        *(Column(f"{symbol} (ms)", ",.3f", f"{name}_median_seconds", 1e3) for name, symbol in symbols.items()),
        *(
            Column(f"{symbols[name]} / gradient", ",.1f", partial(_to_gradient, name))
            for name in ("product", "hessian")
        ),
        Column("gradient (MB)", _megabytes, "gradient_bytes"),
        Column("H v (MB)", _megabytes, "product_bytes"),
        Column("H (MB)", value=_hessian_megabytes),
    ]
    return Table.of(rows, columns, "cost")


def _to_gradient(name: str, row: Mapping[str, Any]) -> float | None:
    seconds = row[f"{name}_median_seconds"]
    return None if seconds is None else seconds / row["gradient_median_seconds"]


def _hessian_megabytes(row: Mapping[str, Any]) -> str:
    computed = row["hessian_bytes"]
    return f"{_megabytes(row['hessian_formula_bytes'])} or more" if computed is None else _megabytes(computed)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.{3 if count < 1e8 else 0}f}"


def agreement(problems: Mapping[str, Problem]) -> Table:
    """The largest differences, and the smallest eigenvalue, of each."""
    rows: list[dict[str, Any]] = [{"network": name, **_differences(problem)} for name, problem in problems.items()]
    quantities = list(rows[0])[1:]
    cells = [(quantity, *(f"{row[quantity]:.1e}" for row in rows)) for quantity in quantities]
    return Table(("of", *problems), cells, "agreement", rows)


def _differences(problem: Problem) -> dict[str, float]:
    hessian = problem.hessian()
    matrix = hessian.reshape(problem.weights.numel(), -1)
    along = (matrix @ problem.vector.flatten()).reshape(problem.vector.shape)
    return {
        "largest |product - H v|": float((problem.product() - along).abs().max()),
        "largest |H - Hᵀ|": float((matrix - matrix.T).abs().max()),
        "largest |H - row by row|": float((hessian - problem.hessian_by_rows()).abs().max()),
        "largest |H - closed form|": float((hessian - problem.closed_form()).abs().max()),
        "largest |H|": float(hessian.abs().max()),
        "smallest eigenvalue of H": float(torch.linalg.eigvalsh(matrix).min()),
    }


def figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Time and memory by the layer's size."""
    with drawing(10, 4.2) as drawn:
        times, memory = drawn.subplots(1, 2)
        for (name, label), color, marker in zip(_LABELS.items(), COLORS, "os^", strict=False):
            known = [row for row in rows if row[f"{name}_bytes"] is not None]
            units, style = [row["units"] for row in known], {"color": color, "marker": marker, "label": label}
            quartiles = [[1e3 * row[f"{name}_{part}"] for part in QUARTILES] for row in known]
            plot_quartiles(times, units, quartiles, **style)
            memory.plot(units, [row[f"{name}_bytes"] / 1e6 for row in known], **style)
        formula = [row["hessian_formula_bytes"] / 1e6 for row in rows]
        memory.plot([row["units"] for row in rows], formula, "--", color=INK, label="n⁴ numbers of 4 bytes")
        times.set_ylabel("Time (ms)")
        memory.set_ylabel("Most held at once (MB)")
        for axes in (times, memory):
            _log_axes(axes)
        drawn.legend(*memory.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return drawn


_LABELS = {"gradient": "gradient", "product": "Hessian-vector product H v", "hessian": "whole Hessian H"}


def _log_axes(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.9g}")
        axis.set_minor_formatter("")
    axes.set_xlabel("Inputs and outputs of the layer, n")
    axes.grid()
