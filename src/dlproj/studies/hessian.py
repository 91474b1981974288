"""What second derivatives cost: the gradient, a product with the Hessian, and the whole Hessian of one layer."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from dlproj.live_bytes import LiveBytes
from dlproj.results import formats
from dlproj.results.article import Article, Row, Section, Table
from dlproj.results.style import COLORS, INK, new_figure, styled
from dlproj.settings import LARGEST_SEED, whole_numbers
from dlproj.studies.progress import progress
from dlproj.studies.timing import QUARTILES, error_bars, timed

_REPORTED = {"gradient": 0.998e-3, "hessian": 27.0e-3}  # seconds, of 10 inputs and 10 outputs
_REPORTED_UNITS = 10
_FLOAT32 = 4  # bytes


def hessian(
    sizes: Annotated[str, typer.Option(help="inputs and outputs of the layer")] = "5,10,20,40,64,160,320,640,1280",
    largest: Annotated[int, typer.Option(min=1, help="the largest of them whose whole Hessian is computed")] = 64,
    batch: Annotated[int, typer.Option(min=1, help="samples whose mean loss it is")] = 16,
    repetitions: Annotated[int, typer.Option(min=1, help="timed of each")] = 15,
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
    generator = torch.Generator().manual_seed(seed)
    with _forward_mode():
        exact = agreement(random_layer(_REPORTED_UNITS, batch, generator, torch.float64))
        row_by_row = timed(random_layer(_REPORTED_UNITS, batch, generator).hessian_by_rows, repetitions).median()
        rows = [
            measure(random_layer(count, batch, generator), repetitions, whole=count <= max(largest, _REPORTED_UNITS))
            for count in progress(units, "layers")
        ]
    (reported,) = [row for row in rows if row["units"] == _REPORTED_UNITS]
    return Article(
        "hessian",
        "What a Hessian costs beside a gradient",
        f"one layer of n × n weights, {batch:,} samples, one thread",
        [
            Section("One layer", _ON_COST, {"cost": figure(rows)}, cost_table(rows)),
            Section("Reported", _ON_REPORTED, table=reported_table(reported, row_by_row)),
            Section("The same numbers", f"{_REPORTED_UNITS} × {_REPORTED_UNITS} weights, float64.", table=exact),
        ],
    )


_ON_COST = (
    "Median times in float32, with quartiles as bars, and the most bytes that torch holds at once beside weights and "
    "samples. torch.func computes all n⁴ numbers of a whole Hessian side by side; beyond the largest size that was "
    "asked for, only what it would keep is shown. Below some hundred units, calls cost more than arithmetic."
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


def measure(layer: Layer, repetitions: int, whole: bool) -> dict[str, Any]:
    """Seconds and bytes; of the whole Hessian only where it is wanted."""
    work: dict[str, Callable[[], Tensor]] = {"gradient": layer.gradient, "product": layer.product}
    if whole:
        work["hessian"] = layer.hessian
    row: dict[str, Any] = {"units": len(layer.weights), "weights": layer.weights.numel(),
                           "hessian_formula_bytes": _FLOAT32 * layer.weights.numel() ** 2}  # fmt: skip
    for name in ("gradient", "product", "hessian"):
        found = timed(work[name], repetitions).row() if name in work else dict.fromkeys(QUARTILES)
        row |= {f"{name}_{part}": value for part, value in found.items()}
        row[f"{name}_bytes"] = peak_bytes(work[name]) if name in work else None
    return row


def peak_bytes(work: Callable[[], Tensor]) -> int:
    """The most that torch holds at once, the result among it."""
    with LiveBytes() as live:
        result = work()
    del result  # not before the count ends
    return live.peak


def cost_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Time and memory as the layer grows."""
    columns = ("n", "weights", "gradient (ms)", "H v (ms)", "in gradients", "H (ms)", "in gradients",
               "gradient (MB)", "H v (MB)", "H (MB)", "n⁴ numbers (MB)")  # fmt: skip
    return Table(columns, [_cells(row) for row in rows], "cost", rows)


def _cells(row: Mapping[str, Any]) -> list[str]:
    gradient, product, whole = (row[f"{name}_median_seconds"] for name in ("gradient", "product", "hessian"))
    return [
        f"{row['units']:,}",
        f"{row['weights']:,}",
        _milliseconds(gradient),
        _milliseconds(product),
        f"{product / gradient:.1f}",
        _milliseconds(whole),
        formats.NONE if whole is None else f"{whole / gradient:,.1f}",
        *(_megabytes(row[f"{name}_bytes"]) for name in ("gradient", "product", "hessian", "hessian_formula")),
    ]


def _milliseconds(seconds: float | None) -> str:
    return formats.NONE if seconds is None else f"{1e3 * seconds:,.3f}"


def _megabytes(count: int | None) -> str:
    return formats.NONE if count is None else f"{count / 1e6:,.{3 if count < 1e8 else 0}f}"


def reported_table(row: Mapping[str, Any], row_by_row: float) -> Table:
    """The document's layer; row_by_row: seconds of its Hessian by a backward pass for each weight."""
    seconds = {
        "gradient": (_REPORTED["gradient"], row["gradient_median_seconds"]),
        "Hessian, side by side": (_REPORTED["hessian"], row["hessian_median_seconds"]),
        "Hessian, row by row": (_REPORTED["hessian"], row_by_row),
    }
    rows: list[Row] = [{"of": name, "reported_seconds": reported, "median_seconds": found}
            for name, (reported, found) in seconds.items()]  # fmt: skip
    cells = [
        (name, _milliseconds(reported), _milliseconds(found), *_in_gradients(reported, found, seconds["gradient"]))
        for name, (reported, found) in seconds.items()
    ]
    columns = (f"{_REPORTED_UNITS} → {_REPORTED_UNITS}", "reported (ms)", "measured (ms)", "reported, in gradients",
               "measured, in gradients")  # fmt: skip
    return Table(columns, cells, "reported", rows)


def _in_gradients(reported: float, found: float, gradient: tuple[float, float]) -> tuple[str, str]:
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
