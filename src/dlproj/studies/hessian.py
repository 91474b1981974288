"""What second derivatives cost: the gradient, a product with the Hessian, and the whole Hessian of one layer."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from dlproj.live_bytes import LiveBytes
from dlproj.machine import require_memory
from dlproj.results import formats
from dlproj.results.article import Article, Row, Section, Table
from dlproj.results.style import COLORS, INK, new_figure, styled
from dlproj.settings import LARGEST_SEED, whole_numbers
from dlproj.studies.parts.timing import ON_CLOCK, QUARTILES, error_bars, time_in_turns

_REPORTED = {"gradient": 0.998e-3, "hessian": 27.0e-3}  # seconds, of 10 inputs and 10 outputs
_REPORTED_UNITS = 10
_FLOAT32 = 4  # bytes
_AT_ONCE = 4  # Hessians that torch.func holds, measured 3.5 of 64 units
_IN_A_ROW = 3


def hessian(
    sizes: Annotated[str, typer.Option(help="inputs and outputs of the layer")] = "5,10,20,40,64,160,320,640,1280",
    largest: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="the largest of them whose whole Hessian is computed")
    ] = 64,
    batch: Annotated[int, typer.Option(min=1, max=1_000_000, help="samples whose mean loss it is")] = 16,
    turns: Annotated[int, typer.Option(min=1, max=1_000_000, help=f"of each, {_IN_A_ROW} timings a turn")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="of inputs, targets, weights and vector")] = 0,
) -> Article:
    """Time and memory of a layer's gradient, of its whole Hessian, and of a Hessian-vector product.

    The layer maps n inputs to the logits z = W x of n classes, whose loss is the mean cross-entropy over a batch. Its
    n² weights have n² first, but n⁴ second derivatives. A product with the Hessian needs none of them: H v is the
    derivative of the gradient along v, d/dr ∇L(W + r v) at r = 0, which forward differentiation of the backward pass
    gives for the price of a few gradients (Pearlmutter 1994). Here H is known in closed form, too: the mean over the
    batch of (diag p - p pᵀ) ⊗ x xᵀ with p = softmax z (Böhning 1992), symmetric and with no eigenvalue below zero.
    """
    units = sorted({*whole_numbers("--sizes", sizes), _REPORTED_UNITS})
    whole = max(count for count in units if count <= max(largest, _REPORTED_UNITS))
    require_memory(_AT_ONCE * _FLOAT32 * whole**4, f"the Hessian of {whole} × {whole} weights", "--largest")
    generator = torch.Generator().manual_seed(seed)
    with _forward_mode():
        exact = agreement(random_layer(_REPORTED_UNITS, batch, generator, torch.float64))
        layers = [random_layer(count, batch, generator) for count in units]
        works = {len(layer.weights): layer.works(max(largest, _REPORTED_UNITS)) for layer in layers}
        works[_REPORTED_UNITS]["hessian_by_rows"] = layers[units.index(_REPORTED_UNITS)].hessian_by_rows
        rows = measure(works, turns, seed)
    (reported,) = [row for row in rows if row["units"] == _REPORTED_UNITS]
    return Article(
        "hessian",
        "What a Hessian costs beside a gradient",
        f"one layer of n × n weights, {batch:,} samples, one thread",
        [
            Section("One layer", _ON_COST, {"cost": figure(rows)}, cost_table(rows)),
            Section("Reported", _ON_REPORTED, table=reported_table(reported)),
            Section("The same numbers", f"{_REPORTED_UNITS} × {_REPORTED_UNITS} weights, float64.", table=exact),
        ],
    )


_ON_COST = (
    "Median times in float32, with quartiles as bars, and the most bytes that torch holds at once beside weights and "
    f"samples. {ON_CLOCK} torch.func computes all n⁴ numbers of a whole Hessian side by side; beyond the largest size "
    "that was asked for, only what those numbers alone would take is shown. Below some hundred units, calls cost more "
    "than arithmetic."
)
_ON_REPORTED = (
    "Of another machine. What the ratio comes to depends on the way: torch.func computes all rows of the Hessian side "
    "by side, torch.autograd.functional.hessian one after another, a backward pass for each weight."
)


@contextmanager
def _forward_mode() -> Iterator[None]:
    """Within it torch is silent about what it does itself when it first differentiates forward."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        yield


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights (n, n), a vector of their shape, and the samples: inputs (B, n) and classes (B,)."""

    weights: Tensor
    vector: Tensor
    inputs: Tensor
    targets: Tensor

    def loss(self, weights: Tensor) -> Tensor:
        """The mean cross-entropy."""
        return functional.cross_entropy(self.inputs @ weights.T, self.targets)

    def gradient(self) -> Tensor:
        """∇L (n, n)."""
        return torch.func.grad(self.loss)(self.weights)

    def product(self) -> Tensor:
        """H v (n, n)."""
        return torch.func.jvp(torch.func.grad(self.loss), (self.weights,), (self.vector,))[1]

    def hessian(self) -> Tensor:
        """All second derivatives (n, n, n, n)."""
        return torch.func.hessian(self.loss)(self.weights)

    def hessian_by_rows(self) -> Tensor:
        """The same by torch.autograd, without torch.func: a backward pass for each weight."""
        found: Tensor = torch.autograd.functional.hessian(self.loss, self.weights)
        return found

    def works(self, largest: int) -> dict[str, Callable[[], Tensor]]:
        """What is compared, by its name; the whole Hessian of so many units at most."""
        whole = {"hessian": self.hessian} if len(self.weights) <= largest else {}
        return {"gradient": self.gradient, "product": self.product, **whole}

    def closed_form(self) -> Tensor:
        """The same by its formula."""
        shares = (self.inputs @ self.weights.T).softmax(1)
        logits = torch.diag_embed(shares) - shares[:, :, None] * shares[:, None, :]  # second derivatives by the logits
        return torch.einsum("bik,bj,bl->ijkl", logits, self.inputs, self.inputs) / len(self.inputs)


def random_layer(units: int, batch: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Layer:
    """Inputs and vector from N(0, 1), weights from N(0, 1/n), any class."""
    weights, vector = (torch.randn(units, units, generator=generator, dtype=dtype) for _ in range(2))
    inputs = torch.randn(batch, units, generator=generator, dtype=dtype)
    return Layer(weights / units**0.5, vector, inputs, torch.randint(units, (batch,), generator=generator))


def measure(works: Mapping[int, Mapping[str, Callable[[], Tensor]]], turns: int, seed: int) -> list[dict[str, Any]]:
    """Seconds and bytes of each layer's works, by its units."""
    flat = {(units, name): work for units, mine in works.items() for name, work in mine.items()}
    timings = time_in_turns(flat, turns, seed, "derivatives", _IN_A_ROW)
    found: dict[int, dict[str, Any]] = {
        units: {"units": units, "weights": units**2, "hessian_formula_bytes": _FLOAT32 * units**4} for units in works
    }
    for units, name in product(works, ("gradient", "product", "hessian", "hessian_by_rows")):
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
    columns = ("n", "gradient (ms)", "H v (ms)", "H (ms)", "H v / gradient", "H / gradient", "gradient (MB)",
               "H v (MB)", "H (MB)")  # fmt: skip
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


def reported_table(row: Mapping[str, Any]) -> Table:
    """The document's layer."""
    seconds = {
        "gradient": (_REPORTED["gradient"], row["gradient_median_seconds"]),
        "Hessian, side by side": (_REPORTED["hessian"], row["hessian_median_seconds"]),
        "Hessian, row by row": (_REPORTED["hessian"], row["hessian_by_rows_median_seconds"]),
    }
    rows: list[Row] = [{"of": name, "reported_seconds": reported, "median_seconds": found}
            for name, (reported, found) in seconds.items()]  # fmt: skip
    cells = [
        (name, _milliseconds(reported), _milliseconds(found), *_over_gradient(reported, found, seconds["gradient"]))
        for name, (reported, found) in seconds.items()
    ]
    columns = (f"{_REPORTED_UNITS} → {_REPORTED_UNITS}", "reported (ms)", "measured (ms)", "reported / gradient",
               "measured / gradient")  # fmt: skip
    return Table(columns, cells, "reported", rows)


def _over_gradient(reported: float, found: float, gradient: tuple[float, float]) -> tuple[str, str]:
    return f"{reported / gradient[0]:.1f}", f"{found / gradient[1]:.1f}"


def agreement(layer: Layer) -> Table:
    """The largest differences, and the smallest eigenvalue."""
    found = layer.hessian()
    matrix = found.reshape(layer.weights.numel(), -1)
    along = (matrix @ layer.vector.flatten()).reshape(layer.vector.shape)
    values = {
        "largest |product - H v|": float((layer.product() - along).abs().max()),
        "largest |H - Hᵀ|": float((matrix - matrix.T).abs().max()),
        "largest |H - row by row|": float((found - layer.hessian_by_rows()).abs().max()),
        "largest |H - closed form|": float((found - layer.closed_form()).abs().max()),
        "largest |H|": float(found.abs().max()),
        "smallest eigenvalue of H": float(torch.linalg.eigvalsh(matrix).min()),
    }
    rows: list[Row] = [{"of": name, "value": value} for name, value in values.items()]
    return Table(("of", "value"), [(name, f"{value:.1e}") for name, value in values.items()], "agreement", rows)


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
