"""Products of matrices whose widths are multiples of a power of two, and of some that are not."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, product
from statistics import median
from typing import Annotated, Any

import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dlproj.machine import machine
from dlproj.results import formats
from dlproj.results.article import Article, Section, Table
from dlproj.results.style import COLORS, GREY, INK, new_figure, styled
from dlproj.settings import LARGEST_SEED, whole_numbers
from dlproj.studies.progress import progress
from dlproj.studies.timing import CPU, QUARTILES, Timings, error_bars, seconds_of

_REPORTED = {1024: 35.40e-3, 1025: 36.42e-3, 1026: 34.62e-3, 1028: 36.99e-3, 1032: 33.55e-3}  # seconds, on a CPU
_TYPES = (torch.float32, torch.bfloat16)
_LEAST_REPETITIONS = 3
_LEAST_SECONDS = 1e-3  # of a timing: as many products in a row as it takes
_PROBED = 2**26  # numbers: more than caches hold

Product = Callable[[Tensor, Tensor, Tensor], Tensor]  # of two matrices, into a third
LAYOUTS: Mapping[str, Product] = {
    "NN": lambda a, b, out: torch.mm(a, b, out=out),
    "NT": lambda a, b, out: torch.mm(a, b.T, out=out),
    "TN": lambda a, b, out: torch.mm(a.T, b, out=out),
}


def matmul_alignment(
    sizes: Annotated[str, typer.Option(help="N of the N × N matrices")] = "1024,1025,1026,1028,1032",
    repetitions: Annotated[int, typer.Option(min=1, help="timed of each product, at most")] = 15,
    seconds: Annotated[
        float, typer.Option(min=0, help="for the repetitions of a product; a slow one has fewer, but 3")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="of the matrices")] = 0,
) -> Article:
    """Time of N × N products where N is a multiple of a power of two, and where it is not.

    A product takes 2 N³ floating-point operations on 3 N² numbers. Processors compute blocks of 8, 16 or more numbers,
    and a row whose length is no multiple of that begins between two blocks and ends inside one; NVIDIA's guide to
    matrix products asks for multiples of 16 bytes. The mlp document saw no clear effect on a CPU. Measured are
    A B (NN), A Bᵀ (NT) and Aᵀ B (TN) of matrices stored by rows, in float32 and bfloat16, on every device there is.

    A product of N has 2N / (3 bytes a number) operations a byte. Where that is far above the processor's operations a
    second over its memory's bytes a second, memory is not what it waits for (Williams, Waterman & Patterson 2009).
    """
    cases = measure(
        sorted(set(whole_numbers("--sizes", sizes))), repetitions, seconds, torch.Generator().manual_seed(seed)
    )
    rows = [case.row() for case in cases]
    memory = {device: memory_bytes_a_second(device) for device in devices()}
    kinds = groupby(cases, lambda case: (case.device, case.dtype))
    rates = [rate(list(group), memory[device]) for (device, _), group in kinds]
    return Article(
        "matmul_alignment",
        "Matrix products of even and uneven sizes",
        f"{machine()}, {torch.get_num_threads()} threads",
        [
            Section("Products", _ON_PRODUCTS, {"products": figure(rows, rates)}, products_table(rows)),
            Section("Is there an effect?", _ON_EFFECT, table=effect_table(rows)),
            Section("What the machine can do", _ON_RATES, table=rates_table(rates)),
        ],
    )


_ON_PRODUCTS = (
    "All products take turns, so that what else the machine does meets all of them. Medians, with quartiles as bars; "
    "reported is a CPU of another machine. A slow product is repeated less often: bfloat16 on a CPU without "
    "instructions for it is several times as slow as float32."
)
_ON_EFFECT = (
    "The sizes of the highest and the lowest GFLOP/s, and by how much they differ, beside the interquartile range that "
    "the repetitions of one size typically have. An effect of the size shows where the first is clearly the larger."
)
_ON_RATES = (
    "Memory by scaling 2²⁶ numbers in place, read and written; products by the fastest single one of this run. At the "
    "balance, both take equally long; a product has more operations a byte, so memory is not what it waits for."
)


@dataclass(slots=True)
class Case:
    """Products of one kind, and their timings so far."""

    device: torch.device
    dtype: torch.dtype
    layout: str
    matrices: tuple[Tensor, Tensor, Tensor]
    repetitions: int = 0
    calls: int = 1  # in a row, a timing
    seconds: list[float] = field(default_factory=list)

    def run(self) -> float:
        """Seconds of a product."""
        return seconds_of(lambda: LAYOUTS[self.layout](*self.matrices), self.device, self.calls)

    def plan(self, repetitions: int, seconds: float) -> None:
        """Choose how often to repeat, after the first product, in which torch prepares the others."""
        self.run()
        once = self.run()
        self.calls = max(1, math.ceil(_LEAST_SECONDS / once))
        self.repetitions = min(repetitions, max(_LEAST_REPETITIONS, int(seconds / (self.calls * once))))

    def row(self) -> dict[str, Any]:
        """What was measured."""
        size = len(self.matrices[0])
        timings = Timings(self.seconds)
        reported = _REPORTED.get(size) if (self.device, self.dtype, self.layout) == (CPU, torch.float32, "NN") else None
        return {
            "device": str(self.device), "type": str(self.dtype).removeprefix("torch."), "layout": self.layout,
            "size": size, "repetitions": len(self.seconds), **timings.row(),
            "gflops": flops(size) / timings.median() / 1e9, "reported_seconds": reported,
        }  # fmt: skip


def flops(size: int) -> int:
    """Floating-point operations of a product."""
    return 2 * size**3


def devices() -> list[torch.device]:
    """The CPU, and each accelerator."""
    kind = torch.accelerator.current_accelerator(check_available=True)
    others = [] if kind is None else [torch.device(kind.type, n) for n in range(torch.accelerator.device_count())]
    return [CPU, *others]


def measure(sizes: Sequence[int], repetitions: int, seconds: float, generator: torch.Generator) -> list[Case]:
    """All cases, in turn."""
    drawn = {size: [torch.randn(size, size, generator=generator) for _ in range(3)] for size in sizes}
    cases = []
    for device, dtype, size in product(devices(), _TYPES, sizes):
        a, b, out = (matrix.to(device, dtype) for matrix in drawn[size])
        cases += [Case(device, dtype, layout, (a, b, out)) for layout in LAYOUTS]
    for case in progress(cases, "first products"):
        case.plan(repetitions, seconds)
    turns = [case for turn in range(repetitions) for case in cases if turn < case.repetitions]
    for case in progress(turns, "products"):
        case.seconds.append(case.run())
    return cases


def memory_bytes_a_second(device: torch.device) -> float:
    """Read and written."""
    numbers = torch.ones(_PROBED, device=device)
    return 2 * numbers.nbytes / median(seconds_of(lambda: numbers.mul_(1.0), device, calls=3) for _ in range(5))


def rate(cases: Sequence[Case], memory: float) -> dict[str, Any]:
    """What device and type of these cases can do at best; memory: bytes a second."""
    device, dtype = cases[0].device, cases[0].dtype
    best = max(flops(len(case.matrices[0])) / min(case.seconds) for case in cases)
    least = 2 * min(len(case.matrices[0]) for case in cases) / (3 * dtype.itemsize)
    return {"device": str(device), "type": str(dtype).removeprefix("torch."), "memory_gigabytes_a_second": memory / 1e9,
            "best_gflops": best / 1e9, "balance_flop_a_byte": best / memory, "product_flop_a_byte": least}  # fmt: skip


def products_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Each case."""
    columns = ("device", "type", "layout", "N", "times", "median (ms)", "quartiles (ms)", "GFLOP/s", "reported (ms)")
    return Table(columns, [_cells(row) for row in rows], "products", rows)


def _cells(row: Mapping[str, Any]) -> list[str]:
    lower, middle, upper = (1e3 * row[name] for name in QUARTILES)
    reported = row["reported_seconds"]
    return [
        row["device"], row["type"], row["layout"], f"{row['size']:,}", f"{row['repetitions']}", f"{middle:,.3f}",
        f"{lower:,.3f} to {upper:,.3f}", f"{row['gflops']:,.1f}",
        formats.NONE if reported is None else f"{1e3 * reported:.2f}",
    ]  # fmt: skip


def effects(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each device, type and layout, how far the sizes are apart."""
    kinds = dict.fromkeys(_kind(row) for row in rows)
    return [_effect([row for row in rows if _kind(row) == kind]) for kind in kinds]


def _kind(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["device"], row["type"], row["layout"]


def _effect(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    by_speed = sorted(rows, key=lambda row: row["gflops"])
    slowest, fastest = by_speed[0], by_speed[-1]
    spreads = [(row[QUARTILES[2]] - row[QUARTILES[0]]) / row["median_seconds"] for row in rows]
    return {
        "device": fastest["device"], "type": fastest["type"], "layout": fastest["layout"],
        "fastest_size": fastest["size"], "slowest_size": slowest["size"],
        "difference_share": fastest["gflops"] / slowest["gflops"] - 1, "interquartile_share": median(spreads),
    }  # fmt: skip


def effect_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The difference of sizes beside that of repetitions."""
    found = effects(rows)
    cells = [
        (one["device"], one["type"], one["layout"], f"{one['fastest_size']:,}", f"{one['slowest_size']:,}",
         f"{one['difference_share']:.1%}", f"{one['interquartile_share']:.1%}")
        for one in found
    ]  # fmt: skip
    columns = ("device", "type", "layout", "fastest N", "slowest N", "difference", "interquartile range")
    return Table(columns, cells, "effect", found)


def rates_table(rates: Sequence[Mapping[str, Any]]) -> Table:
    """Each device and type."""
    columns = ("device", "type", "memory (GB/s)", "best product (GFLOP/s)", "balance (FLOP/byte)",
               "product (FLOP/byte)")  # fmt: skip
    cells = [
        (one["device"], one["type"], f"{one['memory_gigabytes_a_second']:,.1f}", f"{one['best_gflops']:,.1f}",
         f"{one['balance_flop_a_byte']:,.1f}", f"{one['product_flop_a_byte']:,.0f}")
        for one in rates
    ]  # fmt: skip
    return Table(columns, cells, "rates", rates)


def figure(rows: Sequence[Mapping[str, Any]], rates: Sequence[Mapping[str, Any]]) -> Figure:
    """A panel a device and type: GFLOP/s by size, a mark a layout."""
    with styled():
        drawn = new_figure(10, 0.6 + 3.2 * math.ceil(len(rates) / 2))
        drawn.set_layout_engine("constrained")
        panels = drawn.subplots(math.ceil(len(rates) / 2), 2, squeeze=False)
        for axes, best in zip(panels.flat, rates, strict=True):
            mine = [row for row in rows if (row["device"], row["type"]) == (best["device"], best["type"])]
            _panel(axes, mine)
            axes.axhline(best["best_gflops"], color=INK, linestyle=":", label="the fastest of this run")
            axes.set_ylim(0, 1.08 * best["best_gflops"])
            axes.set_title(f"{best['device']}, {best['type']}")
        drawn.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        return drawn


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    sizes = sorted({row["size"] for row in rows})
    for place, layout in enumerate(LAYOUTS):
        mine = [row for row in rows if row["layout"] == layout]
        at = [sizes.index(row["size"]) + 0.2 * (place - 1) for row in mine]
        high, middle, low = ([flops(row["size"]) / row[name] / 1e9 for row in mine] for name in QUARTILES)
        bars = error_bars(low, middle, high)
        axes.errorbar(at, middle, bars, fmt="os^"[place], color=COLORS[place], capsize=3, label=layout)
    reported = [row for row in rows if row["reported_seconds"]]
    if reported:
        speeds = [flops(row["size"]) / row["reported_seconds"] / 1e9 for row in reported]
        axes.plot([sizes.index(row["size"]) for row in reported], speeds, "x", color=GREY, label="NN, reported")
    axes.set_xticks(range(len(sizes)), map(str, sizes))
    axes.set(xlabel="N", ylabel="GFLOP/s")
    axes.grid(axis="y")
