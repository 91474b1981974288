"""What scaling came to, as tables, figures and a page."""

from collections.abc import Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlproj.machine import machine
from dlproj.results import formats
from dlproj.results.article import Article, Section, Table
from dlproj.results.style import COLORS, INK, new_figure, styled
from dlproj.scaling.bench import Outcome, Scaling
from dlproj.scaling.cost import Job
from dlproj.scaling.paper import ASSUMED, GPUS, LARGE, Carried, carried

_COLUMNS = ("strategy", "ms a step", "predicted", "efficiency", "MB kept", "predicted", "MB sent", "predicted")
_PAPER_COLUMNS = ("strategy", "GPUs", "ms a step", "efficiency", "GB kept", "MB sent")
_EXPLAINED = (
    "One step on the same batch, shared by all processes, each on a thread of its own. Efficiency is the part of the "
    "processes' time that one process alone needs. Kept is the most that torch held at once in the fullest process, "
    "sent what a process hands to the network a step. Predicted are formulas at the rates measured beside: products "
    "of matrices, the optimizer's traffic and messages, one after another and without what Python, copies and "
    "elementwise functions add: a floor. Processes that wait leave their core to others where there are fewer cores."
)


def measured_table(scaling: Scaling) -> Table:
    """Each case as measured beside its formula."""
    outcomes = scaling.outcomes
    return Table(_COLUMNS, [_cells(one, scaling.alone()) for one in outcomes], "scaling",
                 [_row(one, scaling.alone()) for one in outcomes])  # fmt: skip


def _cells(one: Outcome, alone: float) -> list[str]:
    if not one.measured or not one.cost:
        return [one.case.name, one.why_not, *[formats.NONE] * (len(_COLUMNS) - 2)]
    sent = formats.NONE if one.measured.sent_bytes is None else _millions(one.measured.sent_bytes)
    return [
        one.case.name,
        _milliseconds(one.measured.seconds),
        _milliseconds(one.predicted_seconds()),
        f"{one.efficiency(alone):.0%}",
        _millions(one.measured.kept_bytes),
        _millions(one.cost.kept_bytes),
        sent,
        _millions(one.cost.sent_bytes),
    ]


def _row(one: Outcome, alone: float) -> dict[str, str | float | None]:
    found, cost, rates = one.measured, one.cost, one.rates
    row: dict[str, str | float | None] = {"strategy": one.case.layout.strategy, "processes": one.case.processes}
    for name in ("seconds", "lowest", "highest", "kept_bytes", "sent_bytes"):
        row[f"measured_{name}"] = getattr(found, name, None)
    row |= {"predicted_seconds": one.predicted_seconds(), "efficiency": one.efficiency(alone)}
    for name in ("flops", "sent_bytes", "messages", "kept_bytes", "updated_bytes", "busy"):
        row[f"predicted_{name}"] = getattr(cost, name, None)
    for name in ("flops_per_s", "memory_bytes_per_s", "link_bytes_per_s", "message_s"):
        row[name] = getattr(rates, name, None)
    return row | {"why_not": one.why_not}


def paper_table(name: str, job: Job) -> Table:
    """The formulas on more GPUs."""
    found = carried(job)
    return Table(_PAPER_COLUMNS, [_paper_cells(one) for one in found], name, [_paper_row(one) for one in found])


def _paper_cells(one: Carried) -> list[str]:
    layout = one.layout
    if one.cost is None:
        return [layout.strategy, str(layout.ways()), one.why_not, *[formats.NONE] * 3]
    kept = f"{one.cost.kept_bytes / 1e9:,.2f}"
    return [layout.strategy, str(layout.ways()), _milliseconds(one.seconds()), f"{one.efficiency():.1%}", kept,
            _millions(one.cost.sent_bytes)]  # fmt: skip


def _paper_row(one: Carried) -> dict[str, str | float | None]:
    cost = one.cost
    return {
        "strategy": one.layout.strategy,
        "gpus": one.layout.ways(),
        "seconds": one.seconds(),
        "efficiency": one.efficiency(),
        "kept_bytes": getattr(cost, "kept_bytes", None),
        "sent_bytes": getattr(cost, "sent_bytes", None),
        "why_not": one.why_not,
    }


def article(scaling: Scaling, command: str) -> Article:
    """The page."""
    job = scaling.job
    paper = [
        Section(f"On paper: {_words(one)}", ASSUMED, {f"{name}": paper_figure(one)}, paper_table(name, one))
        for name, one in (("scaling-gpus", job), ("scaling-gpus-large", LARGE))
    ]
    measured = Section("Measured and predicted", _EXPLAINED, {"scaling": figure(scaling)}, measured_table(scaling))
    title = "What training over several processes costs"
    return Article("scaling", title, f"{_words(job)} · {machine()} · {command}", [measured, *paper])


def _words(job: Job) -> str:
    inputs, *hidden, outputs = job.widths
    shape = f"{len(hidden)} × {hidden[0]:,}" if len(set(hidden)) == 1 else " · ".join(map(str, hidden))
    widths = f"{inputs:,} → {shape or 'no hidden layer'} → {outputs:,}"
    return f"MLP {widths}, {job.parameters():,} parameters, batches of {job.batch:,}"


def figure(scaling: Scaling) -> Figure:
    """Time, memory and bytes of each case: a bar as measured, a mark as predicted."""
    found = [one for one in scaling.outcomes if one.measured and one.cost]
    names = [one.case.name for one in found]
    with styled():
        drawn = new_figure(11, 0.34 * len(found) + 1.3)
        drawn.set_layout_engine("constrained")
        panels = drawn.subplots(1, 3, sharey=True)
        _panel(panels[0], names, [_ms(one.measured.seconds) for one in found if one.measured],
               [_ms(one.predicted_seconds() or 0) for one in found], "Time of a step (ms)")  # fmt: skip
        _panel(panels[1], names, [one.measured.kept_bytes / 1e6 for one in found if one.measured],
               [one.cost.kept_bytes / 1e6 for one in found if one.cost], "Kept by a process (MB)")  # fmt: skip
        _panel(panels[2], names, [(one.measured.sent_bytes or 0) / 1e6 for one in found if one.measured],
               [one.cost.sent_bytes / 1e6 for one in found if one.cost], "Sent by a process a step (MB)")  # fmt: skip
        panels[0].invert_yaxis()
        panels[0].legend(loc="upper right")
        return drawn


def _panel(axes: Axes, names: Sequence[str], measured: Sequence[float], predicted: Sequence[float], label: str) -> None:
    places = range(len(names))
    axes.barh(places, measured, 0.6, color=COLORS[5], label="measured")
    axes.plot(predicted, places, "D", color=INK, markersize=5, label="predicted")
    axes.set_yticks(places, names)
    axes.set_xlabel(label)
    axes.set_xlim(left=0)
    axes.grid(axis="x")


def paper_figure(job: Job) -> Figure:
    """How many times as fast as one GPU, by their number."""
    with styled():
        drawn = new_figure(7, 4)
        drawn.set_layout_engine("constrained")
        axes = drawn.add_subplot()
        axes.plot(GPUS, GPUS, "--", color=INK, linewidth=1, label="ideal")
        possible = [one for one in carried(job) if one.cost and one.layout.ways() > 1]
        by_strategy = sorted(possible, key=lambda one: one.layout.strategy)
        for number, (name, some) in enumerate(groupby(by_strategy, lambda one: one.layout.strategy)):
            ways = [(one.layout.ways(), (one.efficiency() or 0) * one.layout.ways()) for one in some]
            axes.plot(*zip((1, 1.0), *ways, strict=True), marker="osD^vPX"[number], color=COLORS[number], label=name)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xticks(GPUS, map(str, GPUS))
        axes.yaxis.set_major_formatter(lambda speed, _: f"{speed:g}×" if speed >= 1 else f"1/{1 / speed:g}×")
        axes.set_xlabel("GPUs")
        axes.set_ylabel("Speed beside one GPU")
        axes.grid()
        axes.legend(fontsize=8)
        return drawn


def _ms(seconds: float) -> float:
    return 1e3 * seconds


def _milliseconds(seconds: float | None) -> str:
    return formats.NONE if seconds is None else f"{_ms(seconds):,.1f}"


def _millions(count: float) -> str:
    return f"{count / 1e6:,.1f}"
