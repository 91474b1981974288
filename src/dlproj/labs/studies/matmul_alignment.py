"""Products of matrices whose widths are multiples of a power of two, and of some that are not."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from statistics import median
from typing import Annotated, Any

import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlproj.config.checks import whole_numbers, within
from dlproj.labs.studies.parts.options import count, seed_option
from dlproj.labs.studies.parts.products import LAYOUTS, PEAK_SIZES, Case, cases_of, devices, flops, rates_of
from dlproj.labs.studies.parts.timing import ON_CLOCK, QUARTILES, in_turns
from dlproj.labs.studies.parts.timing_figures import QUARTILE_COLUMNS, plot_quartiles
from dlproj.loop_progress import progress
from dlproj.machine import machine
from dlproj.reports.article import Article, Column, Section, Table
from dlproj.reports.style import COLORS, GREY, INK, drawing

_MISSED = 0.05  # how often the true difference lies outside of its interval


def matmul_alignment(
    sizes: Annotated[str, typer.Option(help="N of the N × N matrices")] = "1024,1025,1026,1028,1032",
    repetitions: Annotated[int, count("timed of each product, at most")] = 16,
    seconds: Annotated[
        float, typer.Option(help="for the repetitions of a product; slow ones have as many as a verdict needs")
    ] = 1.0,
    seed: Annotated[int, seed_option("of the matrices, and of who is next")] = 0,
) -> Article:
    """Time of N × N products where N is a multiple of a power of two, and where it is not.

    A product takes 2 N³ floating-point operations on 3 N² numbers. Processors compute blocks of 8, 16 or more numbers,
    and a row whose length is not a multiple of that begins between two blocks and ends inside one; NVIDIA's guide to
    matrix products asks for multiples of 16 bytes. The mlp document prints times on a CPU and draws no conclusion.
    Measured are A B (NN), A Bᵀ (NT) and Aᵀ B (TN) of matrices stored by rows, in float32 and bfloat16, on one core of
    the CPU and on every accelerator there is.

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
    rates = [rate for device in progress(devices(), "rates") for rate in rates_of(device, chosen[0])]
    return Article(
        "matmul_alignment",
        "Matrix products of even and uneven sizes",
        f"{machine()}, one thread",
        [
            Section("Is there an effect?", _ON_EFFECT, {"products": figure(rows, rates)}, effect_table(effects(cases))),
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
    f"{PEAK_SIZES[0]:,} on one core of the CPU, of N = {PEAK_SIZES[1]:,} on an accelerator. The product is the "
    "smallest of those above; larger ones have more operations a byte."
)


def measure(sizes: Sequence[int], repetitions: int, seconds: float, seed: int) -> list[Case]:
    """All cases, in turn; those that differ in size alone equally often, so that turns can be compared."""
    cases = cases_of(sizes, torch.Generator().manual_seed(seed))
    slowest: dict[tuple[str, str, str], float] = {}
    for case in progress(cases, "first products"):
        slowest[case.kind()] = max(case.prepare(), slowest.get(case.kind(), 0))
    least = turns_needed(comparisons(cases))
    turns = [min(repetitions, max(least, int(seconds / slowest[case.kind()]))) for case in cases]
    for case in progress(in_turns(cases, turns, seed), "products"):
        case.time()
    return cases


def products_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The time of each case's product."""
    columns = [
        *_KIND,
        Column("N", ",", "size"),
        Column("times", value="repetitions"),
        *QUARTILE_COLUMNS,
        Column("GFLOP/s", ",.1f", "gflops"),
        Column("reported (ms)", ".2f", "reported_seconds", 1e3),
    ]
    return Table.of(rows, columns, "products")


_KIND = [Column("device"), Column("type"), Column("layout")]


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
        "device": device,
        "type": dtype,
        "layout": layout,
        "fastest_size": fastest.size(),
        "slowest_size": slowest.size(),
        "difference_share": median(differences),
        "lower_share": interval[0],
        "upper_share": interval[1],
        "verdict": verdict(interval[0]) if len(cases) > 1 else "one size",
    }


def median_interval(values: Sequence[float], missed: float) -> tuple[float, float] | tuple[None, None]:
    """Between which of the values the true median lies but for that chance; Nones where they are too few to tell."""
    ordered, ways = sorted(values), 2 ** len(values)
    outside = accumulate(2 * math.comb(len(values), below) / ways for below in range(len(values) // 2))
    rank = sum(chance <= missed for chance in outside)
    return (ordered[rank - 1], ordered[-rank]) if rank else (None, None)


def turns_needed(pairs: int) -> int:
    """The fewest turns that give an interval for each of so many comparisons."""
    return math.ceil(math.log2(2 * pairs / _MISSED))


def verdict(lower: float | None) -> str:
    """What an interval with this lower end says of an effect; None: there is no interval."""
    if lower is None:
        return "too few turns"
    return "an effect" if lower > 0 else "no clear effect"


def effect_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The difference of sizes, and whether there is an effect."""
    columns = [
        *_KIND,
        Column("fastest N", ",", "fastest_size"),
        Column("slowest N", ",", "slowest_size"),
        Column("difference", ".1%", "difference_share"),
        Column("95 % interval", value=_interval),
        Column("verdict"),
    ]
    return Table.of(rows, columns, "effect")


def _interval(row: Mapping[str, Any]) -> str | None:
    return None if row["lower_share"] is None else f"{row['lower_share']:.1%} to {row['upper_share']:.1%}"


def rates_table(rates: Sequence[Mapping[str, Any]]) -> Table:
    """What each device can do in each type."""
    columns = [
        Column("device", _cores),
        Column("type"),
        Column("memory (GB/s)", ",.1f", "memory_gigabytes_a_second"),
        Column("peak (GFLOP/s)", ",.1f", "peak_gflops"),
        Column("balance (FLOP/byte)", ",.1f", "balance_flop_a_byte"),
        Column(f"N = {rates[0]['product_size']:,} (FLOP/byte)", ",.1f", "product_flop_a_byte"),
        Column("waits for"),
    ]
    return Table.of(rates, columns, "rates")


def _cores(device: str) -> str:
    return "cpu, one core" if device == "cpu" else device


def figure(rows: Sequence[Mapping[str, Any]], rates: Sequence[Mapping[str, Any]]) -> Figure:
    """A panel a device and type: GFLOP/s by size, a mark a layout."""
    with drawing(10, 0.6 + 3.2 * math.ceil(len(rates) / 2)) as drawn:
        panels = drawn.subplots(math.ceil(len(rates) / 2), 2, squeeze=False)
        for axes, best in zip(panels.flat, rates, strict=True):
            own = [row for row in rows if (row["device"], row["type"]) == (best["device"], best["type"])]
            _panel(axes, own)
            axes.axhline(best["peak_gflops"], color=INK, linestyle=":", label=f"N = {best['peak_size']:,}")
            axes.set_ylim(0, 1.08 * max(best["peak_gflops"], *(row["gflops"] for row in own)))
            axes.set_title(f"{_cores(best['device'])}, {best['type']}")
        drawn.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        return drawn


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    sizes = sorted({row["size"] for row in rows})
    for i, layout in enumerate(LAYOUTS):
        own = [row for row in rows if row["layout"] == layout]
        at = [sizes.index(row["size"]) + 0.2 * (i - 1) for row in own]
        quartiles = [[flops(row["size"]) / row[name] / 1e9 for name in reversed(QUARTILES)] for row in own]
        plot_quartiles(axes, at, quartiles, fmt="os^"[i], color=COLORS[i], label=layout)
    reported = [row for row in rows if row["reported_seconds"]]
    if reported:
        speeds = [flops(row["size"]) / row["reported_seconds"] / 1e9 for row in reported]
        axes.plot([sizes.index(row["size"]) - 0.2 for row in reported], speeds, "x", color=GREY, label="NN, reported")
    axes.set_xticks(range(len(sizes)), map(str, sizes))
    axes.set(xlabel="N", ylabel="GFLOP/s")
    axes.grid(axis="y")
