"""Products of matrices whose widths are multiples of a power of two, and of some that are not."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, product
from statistics import median
from typing import Annotated, Any

import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dlproj.clock import CPU, Clock, memory_bytes_per_s, processor_clock, seconds_of
from dlproj.machine import machine
from dlproj.results import formats
from dlproj.results.article import Article, Section, Table
from dlproj.results.style import COLORS, GREY, INK, new_figure, styled
from dlproj.settings import LARGEST_SEED, whole_numbers, within
from dlproj.studies.parts.progress import progress
from dlproj.studies.parts.timing import ON_CLOCK, QUARTILES, Timings, error_bars, in_turns

_REPORTED = {1024: 35.40e-3, 1025: 36.42e-3, 1026: 34.62e-3, 1028: 36.99e-3, 1032: 33.55e-3}  # seconds, on a CPU
_TYPES = (torch.float32, torch.bfloat16)
_LEAST_SECONDS = 5e-3  # of a timing: as many products in a row as it takes
_PEAK_SIZES = (2048, 8192)  # N that keeps a core busy, and an accelerator
_PEAK_TIMINGS = 3
_MISSED = 0.05  # how often the true difference lies outside of its interval

Product = Callable[[Tensor, Tensor, Tensor], Tensor]  # of two matrices, into a third
LAYOUTS: Mapping[str, Product] = {
    "NN": lambda a, b, out: torch.mm(a, b, out=out),
    "NT": lambda a, b, out: torch.mm(a, b.T, out=out),
    "TN": lambda a, b, out: torch.mm(a.T, b, out=out),
}


def matmul_alignment(
    sizes: Annotated[str, typer.Option(help="N of the N × N matrices")] = "1024,1025,1026,1028,1032",
    repetitions: Annotated[int, typer.Option(min=1, max=1_000_000, help="timed of each product, at most")] = 16,
    seconds: Annotated[
        float, typer.Option(help="for the repetitions of a product; slow ones have as many as a verdict needs")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="of the matrices, and of who is next")] = 0,
) -> Article:
    """Time of N × N products where N is a multiple of a power of two, and where it is not.

    A product takes 2 N³ floating-point operations on 3 N² numbers. Processors compute blocks of 8, 16 or more numbers,
    and a row whose length is no multiple of that begins between two blocks and ends inside one; NVIDIA's guide to
    matrix products asks for multiples of 16 bytes. The mlp document saw no clear effect on a CPU. Measured are
    A B (NN), A Bᵀ (NT) and Aᵀ B (TN) of matrices stored by rows, in float32 and bfloat16, on one core of the CPU and on
    every accelerator there is.

    Whether the size has an effect is judged turn by turn, in each of which every size is timed once, in a new order: by
    how much the fastest size's operations a second exceed the slowest's, the median over the turns. With n turns the
    true median lies between the r-th lowest and the r-th highest of them but for a chance of 2 Σ C(n, k) / 2ⁿ over
    k < r (sign test). As the fastest and the slowest are chosen among all sizes, that chance is 5 % shared by all pairs
    of them, of all devices, types and layouts (Bonferroni). There is an effect where all of the interval is above zero.

    A product has 2N / (3 bytes a number) operations a byte, if caches keep what it needs again. Where that is more than
    the processor's operations a second over its memory's bytes a second, the balance, it waits for arithmetic, else for
    memory (Williams, Waterman & Patterson 2009).
    """
    chosen = sorted(set(whole_numbers("--sizes", sizes)))
    within("--seconds", seconds, "[0, 3600]")
    cases = measure(chosen, repetitions, seconds, seed)
    rows = [case.row() for case in cases]
    rates = [one for device in progress(devices(), "rates") for one in rates_of(device, chosen[0])]
    found = effects(cases)
    return Article(
        "matmul_alignment",
        "Matrix products of even and uneven sizes",
        f"{machine()}, one thread",
        [
            Section("Is there an effect?", _ON_EFFECT, {"products": figure(rows, rates)}, effect_table(found)),
            Section("Products", _ON_PRODUCTS, table=products_table(rows)),
            Section("What the machine can do", _ON_RATES, table=rates_table(rates)),
        ],
    )


_ON_PRODUCTS = (
    f"On the CPU: {ON_CLOCK} Reported is a CPU of another machine. A slow "
    "product is repeated less often: bfloat16 on a CPU without instructions for it is several times as slow as float32."
)
_ON_EFFECT = (
    "The figure shows medians, with quartiles as bars. The table: by how much the size of the most GFLOP/s exceeds "
    "that of the fewest: the median over the turns, and the interval in which all of these medians lie with 95 %, "
    "whichever sizes are farthest apart. There is an effect where the interval lies above zero. It is this machine's, "
    "and grows where other programs want its caches."
)
_ON_RATES = (
    "Memory by scaling 2²⁶ numbers in place, read and written; the peak by the fastest of three products of N = "
    f"{_PEAK_SIZES[0]:,} on one core of the CPU, of N = {_PEAK_SIZES[1]:,} on an accelerator. The product is the "
    "smallest of those above; larger ones have more operations a byte."
)


@dataclass(slots=True)
class Case:
    """Products of one kind, and their timings so far."""

    device: torch.device
    dtype: torch.dtype
    layout: str
    matrices: tuple[Tensor, Tensor, Tensor]
    calls: int = 1  # in a row, a timing
    run: Callable[[], Any] = lambda: None  # so many calls
    seconds: list[float] = field(default_factory=list)  # of a product, turn by turn

    def prepare(self) -> float:
        """Choose how many products to time together, and return the seconds of a timing."""
        work = partial(LAYOUTS[self.layout], *self.matrices)
        self.calls, seconds = enough_calls(work, processor_clock(self.device))
        self.run = in_a_row(work, self.calls, self.device)
        return seconds

    def time(self) -> None:
        """Note the seconds of a product."""
        self.seconds.append(seconds_of(self.run, processor_clock(self.device)) / self.calls)

    def kind(self) -> tuple[str, str, str]:
        """Device, type and layout, by their names."""
        return str(self.device), str(self.dtype).removeprefix("torch."), self.layout

    def size(self) -> int:
        """N."""
        return len(self.matrices[0])

    def row(self) -> dict[str, Any]:
        """What was measured."""
        device, dtype, layout = self.kind()
        timings = Timings(self.seconds)
        reported = _REPORTED.get(self.size()) if self.kind() == ("cpu", "float32", "NN") else None
        return {
            "device": device, "type": dtype, "layout": layout, "size": self.size(), "repetitions": len(self.seconds),
            **timings.row(), "gflops": flops(self.size()) / timings.median() / 1e9, "reported_seconds": reported,
        }  # fmt: skip


def enough_calls(work: Callable[[], Any], clock: Clock) -> tuple[int, float]:
    """How many in a row fill a timing, and its seconds; after a first one, in which torch prepares the others."""
    work()
    calls = 1
    while (seconds := calls * seconds_of(work, clock, calls)) < _LEAST_SECONDS:
        calls *= 2
    return calls, seconds


def in_a_row(work: Callable[[], Any], calls: int, device: torch.device) -> Callable[[], Any]:
    """So many calls; on CUDA recorded as one graph, for to launch a small product takes longer than to compute it."""

    def run() -> None:
        for _ in range(calls):
            work()

    return captured(run, work, device) if device.type == "cuda" else run


def captured(run: Callable[[], Any], work: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """Replays what run() launches; work, a part of it, is first done once on the stream that is recorded from.

    There cuBLAS makes what it keeps for a stream, which must not happen while it is recorded.
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        work()
    torch.cuda.synchronize(device)
    with torch.cuda.graph(graph, stream=stream):
        run()
    graph.replay()  # the first time takes longer
    return graph.replay


def flops(size: int) -> int:
    """Floating-point operations of a product."""
    return 2 * size**3


def devices() -> list[torch.device]:
    """The CPU, and each accelerator."""
    kind = torch.accelerator.current_accelerator(check_available=True)
    others = [] if kind is None else [torch.device(kind.type, n) for n in range(torch.accelerator.device_count())]
    return [CPU, *others]


def measure(sizes: Sequence[int], repetitions: int, seconds: float, seed: int) -> list[Case]:
    """All cases, in turn; those that differ in size alone equally often, so that turns can be compared."""
    cases = _cases(sizes, torch.Generator().manual_seed(seed))
    slowest: dict[tuple[str, str, str], float] = {}
    for case in progress(cases, "first products"):
        slowest[case.kind()] = max(case.prepare(), slowest.get(case.kind(), 0))
    least = turns_needed(comparisons(cases))
    turns = [min(repetitions, max(least, int(seconds / slowest[case.kind()]))) for case in cases]
    for case in progress(in_turns(cases, turns, seed), "products"):
        case.time()
    return cases


def _cases(sizes: Sequence[int], generator: torch.Generator) -> list[Case]:
    drawn = {size: [torch.randn(size, size, generator=generator) for _ in range(3)] for size in sizes}
    cases = []
    for device, dtype, size in product(devices(), _TYPES, sizes):
        a, b, out = (matrix.to(device, dtype) for matrix in drawn[size])
        cases += [Case(device, dtype, layout, (a, b, out)) for layout in LAYOUTS]
    return cases


def peak_flops_per_s(device: torch.device, dtype: torch.dtype, size: int, clock: Clock) -> float:
    """Of the fastest of a few products."""
    a, b, out = (torch.rand(size, size, dtype=dtype, device=device) for _ in range(3))
    work = partial(LAYOUTS["NN"], a, b, out)
    calls, _ = enough_calls(work, clock)
    return flops(size) / min(seconds_of(work, clock, calls) for _ in range(_PEAK_TIMINGS))


def rates_of(device: torch.device, smallest: int) -> list[dict[str, Any]]:
    """What a device can do at best in each type, and what a product of the smallest N waits for."""
    clock, peak_size = processor_clock(device), _PEAK_SIZES[device.type != "cpu"]
    memory = memory_bytes_per_s(device, clock)
    peaks = {dtype: peak_flops_per_s(device, dtype, peak_size, clock) for dtype in _TYPES}
    return [
        {"device": str(device), "type": str(dtype).removeprefix("torch."), "memory_gigabytes_a_second": memory / 1e9,
         "peak_size": peak_size, "peak_gflops": peak / 1e9, "product_size": smallest,
         **balance(peak / memory, 2 * smallest / (3 * dtype.itemsize))}
        for dtype, peak in peaks.items()
    ]  # fmt: skip


def balance(machine: float, product: float) -> dict[str, Any]:
    """Operations a byte that the machine can do, that a product needs, and so what the product waits for."""
    waits_for = "arithmetic" if product > machine else "memory"
    return {"balance_flop_a_byte": machine, "product_flop_a_byte": product, "waits_for": waits_for}


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


def effects(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Of each device, type and layout, how far the sizes are apart."""
    kinds = dict.fromkeys(case.kind() for case in cases)
    missed = _MISSED / comparisons(cases)
    return [_effect([case for case in cases if case.kind() == kind], missed) for kind in kinds]


def comparisons(cases: Sequence[Case]) -> int:
    """Pairs of cases that differ in size alone; at least 1."""
    sizes = Counter(case.kind() for case in cases)
    return max(1, sum(math.comb(count, 2) for count in sizes.values()))


def _effect(cases: Sequence[Case], missed: float) -> dict[str, Any]:
    by_speed = sorted(cases, key=lambda case: case.row()["gflops"])
    slowest, fastest = by_speed[0], by_speed[-1]
    work = flops(fastest.size()) / flops(slowest.size())
    turns = zip(slowest.seconds, fastest.seconds, strict=True)
    differences = [work * slow / fast - 1 for slow, fast in turns]
    interval = median_interval(differences, missed)
    device, dtype, layout = fastest.kind()
    return {
        "device": device, "type": dtype, "layout": layout, "fastest_size": fastest.size(),
        "slowest_size": slowest.size(), "difference_share": median(differences), "lower_share": interval[0],
        "upper_share": interval[1], "verdict": verdict(interval[0]) if len(cases) > 1 else "one size",
    }  # fmt: skip


def median_interval(values: Sequence[float], missed: float) -> tuple[float, float] | tuple[None, None]:
    """Between which of the values the true median lies but for that chance; Nones where they are too few to tell."""
    ordered, ways = sorted(values), 2 ** len(values)
    outside = accumulate(2 * math.comb(len(values), below) / ways for below in range(len(values) // 2))
    rank = sum(chance <= missed for chance in outside)
    return (ordered[rank - 1], ordered[-rank]) if rank else (None, None)


def turns_needed(pairs: int) -> int:
    """So many that an interval can be told of so many comparisons."""
    return math.ceil(math.log2(2 * pairs / _MISSED))


def verdict(lower: float | None) -> str:
    """By the interval's lower end."""
    if lower is None:
        return "too few turns"
    return "an effect" if lower > 0 else "no clear effect"


def effect_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """The difference of sizes, and whether it is one."""
    cells = [
        (one["device"], one["type"], one["layout"], f"{one['fastest_size']:,}", f"{one['slowest_size']:,}",
         f"{one['difference_share']:.1%}", _interval(one), one["verdict"])
        for one in found
    ]  # fmt: skip
    columns = ("device", "type", "layout", "fastest N", "slowest N", "difference", "95 % interval", "verdict")
    return Table(columns, cells, "effect", found)


def _interval(one: Mapping[str, Any]) -> str:
    return formats.NONE if one["lower_share"] is None else f"{one['lower_share']:.1%} to {one['upper_share']:.1%}"


def rates_table(rates: Sequence[Mapping[str, Any]]) -> Table:
    """Each device and type."""
    columns = ("device", "type", "memory (GB/s)", "peak (GFLOP/s)", "balance (FLOP/byte)",
               f"N = {rates[0]['product_size']:,} (FLOP/byte)", "waits for")  # fmt: skip
    cells = [
        (_cores(one["device"]), one["type"], f"{one['memory_gigabytes_a_second']:,.1f}", f"{one['peak_gflops']:,.1f}",
         f"{one['balance_flop_a_byte']:,.1f}", f"{one['product_flop_a_byte']:,.1f}", one["waits_for"])
        for one in rates
    ]  # fmt: skip
    return Table(columns, cells, "rates", rates)


def _cores(device: str) -> str:
    return "cpu, one core" if device == "cpu" else device


def figure(rows: Sequence[Mapping[str, Any]], rates: Sequence[Mapping[str, Any]]) -> Figure:
    """A panel a device and type: GFLOP/s by size, a mark a layout."""
    with styled():
        drawn = new_figure(10, 0.6 + 3.2 * math.ceil(len(rates) / 2))
        drawn.set_layout_engine("constrained")
        panels = drawn.subplots(math.ceil(len(rates) / 2), 2, squeeze=False)
        for axes, best in zip(panels.flat, rates, strict=True):
            mine = [row for row in rows if (row["device"], row["type"]) == (best["device"], best["type"])]
            _panel(axes, mine)
            axes.axhline(best["peak_gflops"], color=INK, linestyle=":", label=f"N = {best['peak_size']:,}")
            axes.set_ylim(0, 1.08 * max(best["peak_gflops"], *(row["gflops"] for row in mine)))
            axes.set_title(f"{_cores(best['device'])}, {best['type']}")
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
        axes.plot([sizes.index(row["size"]) - 0.2 for row in reported], speeds, "x", color=GREY, label="NN, reported")
    axes.set_xticks(range(len(sizes)), map(str, sizes))
    axes.set(xlabel="N", ylabel="GFLOP/s")
    axes.grid(axis="y")
