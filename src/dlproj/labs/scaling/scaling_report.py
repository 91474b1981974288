"""What scaling came to, as tables, figures and a page."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlproj.labs.scaling.bench import Outcome, Scaling
from dlproj.labs.scaling.cost import STRATEGIES, Job
from dlproj.labs.scaling.paper import ASSUMED, GPUS, LARGE, Carried, carried
from dlproj.machine import machine
from dlproj.reports.article import Article, Column, Row, Section, Table
from dlproj.reports.style import COLORS, INK, drawing

EXPLAINED = (
    "One step on the same batch, shared by all processes, each on a thread of its own. Efficiency is the part of the "
    "processes' time that one process alone needs. Kept is the most that torch held at once in the fullest process, "
    "with the whole model, with which each begins (FSDP's varies, as gloo's threads free late); sent is what a "
    "process hands to the network a step. Predicted are formulas at the rates measured beside: products of matrices, "
    "the optimizer's traffic and messages, one after another. What overlaps is counted twice, what Python, copies and "
    "elementwise functions add not at all; and where there are fewer cores than processes, those that wait leave "
    "theirs to others. All begin with the same weights and end, after the same steps, with weights that differ from "
    "those of the single process by this much at most: Adam divides each gradient by its size, so where that is next "
    "to nothing rounding shows."
)


def measured_table(scaling: Scaling) -> Table:
    """Each case as measured beside its formula."""
    columns = [
        Column("strategy", value=_name),
        Column("ms a step", value=partial(_reason_or_time, "measured_seconds")),
        Column("predicted", ",.1f", "predicted_seconds", 1e3),
        Column("efficiency", ".0%"),
        Column("MB kept", _millions, "measured_kept_bytes"),
        Column("predicted", _millions, "predicted_kept_bytes"),
        Column("MB sent", _millions, "measured_sent_bytes"),
        Column("predicted", _millions, "predicted_sent_bytes"),
        Column("weights differ by", ".1g", "largest_weight_difference"),
    ]
    return Table.of([_row(outcome, scaling) for outcome in scaling.outcomes], columns, "scaling")


def _name(row: Row) -> str:
    return f"{row['strategy']}" if row["processes"] == 1 else f"{row['strategy']} × {row['processes']}"


def _reason_or_time(key: str, row: Mapping[str, Any]) -> str:
    """Why the case cannot be, or its time in milliseconds."""
    return row["why_not"] or f"{1e3 * row[key]:,.1f}"


def _row(outcome: Outcome, scaling: Scaling) -> Row:
    case, measured = outcome.case, ("seconds", "lowest", "highest", "kept_bytes", "sent_bytes")
    predicted = ("flops", "sent_bytes", "messages", "kept_bytes", "updated_bytes", "busy")
    rates = ("flops_per_s", "memory_bytes_per_s", "link_bytes_per_s", "message_s")
    return {
        "strategy": case.layout.strategy,
        "processes": case.processes,
        **{f"measured_{name}": getattr(outcome.measured, name, None) for name in measured},
        "predicted_seconds": outcome.predicted_seconds(),
        "efficiency": outcome.efficiency(scaling.alone()),
        **{f"predicted_{name}": getattr(outcome.cost, name, None) for name in predicted},
        **{name: getattr(outcome.rates, name, None) for name in rates},
        "largest_weight_difference": scaling.difference(outcome),
        "why_not": outcome.why_not,
    }


def paper_table(name: str, job: Job) -> Table:
    """The formulas on more GPUs."""
    columns = [
        Column("strategy"),
        Column("GPUs", value="gpus"),
        Column("ms a step", value=partial(_reason_or_time, "seconds")),
        Column("efficiency", ".1%"),
        Column("GB kept", lambda count: f"{count / 1e9:,.2f}", "kept_bytes"),
        Column("MB sent", _millions, "sent_bytes"),
    ]
    return Table.of([_paper_row(projected) for projected in carried(job)], columns, name)


def _paper_row(projected: Carried) -> Row:
    return {
        "strategy": projected.layout.strategy,
        "gpus": projected.layout.ways(),
        "seconds": projected.seconds(),
        "efficiency": projected.efficiency(),
        "kept_bytes": getattr(projected.cost, "kept_bytes", None),
        "sent_bytes": getattr(projected.cost, "sent_bytes", None),
        "why_not": projected.why_not,
    }


def article(scaling: Scaling, command: str) -> Article:
    """What was measured and predicted, as an article."""
    job = scaling.job
    paper = [
        Section(f"On paper: {_words(shared)}", ASSUMED, {name: paper_figure(shared)}, paper_table(name, shared))
        for name, shared in (("scaling-gpus", job), ("scaling-gpus-large", LARGE))
    ]
    measured = Section("Measured and predicted", EXPLAINED, {"scaling": figure(scaling)}, measured_table(scaling))
    title = "What training over several processes costs"
    return Article("scaling", title, f"{_words(job)} · {machine()} · {command}", [measured, *paper])


def _words(job: Job) -> str:
    inputs, *hidden, outputs = job.widths
    shape = f"{len(hidden)} × {hidden[0]:,}" if len(set(hidden)) == 1 else " · ".join(map(str, hidden))
    widths = f"{inputs:,} → {shape or 'no hidden layer'} → {outputs:,}"
    return f"MLP {widths}, {job.parameters():,} parameters, batches of {job.batch:,}"


def figure(scaling: Scaling) -> Figure:
    """Time, memory and bytes of each case: a bar as measured, a mark as predicted."""
    outcomes = [outcome for outcome in scaling.outcomes if outcome.measured]
    with drawing(11, 0.34 * len(outcomes) + 1.3) as drawn:
        panels = drawn.subplots(1, 3, sharey=True)
        for axes, (label, pairs) in zip(panels, _pairs(outcomes).items(), strict=True):
            _panel(axes, [outcome.case.name for outcome in outcomes], pairs, label)
        panels[0].invert_yaxis()
        panels[0].legend(loc="upper right")
        return drawn


def _pairs(outcomes: Sequence[Outcome]) -> dict[str, list[tuple[float | None, float | None]]]:
    """What was measured and what is predicted of each outcome, by the label of the quantity."""
    known = [(outcome, outcome.measured, outcome.cost) for outcome in outcomes if outcome.measured and outcome.cost]
    return {
        "Time of a step (ms)": [
            (1e3 * real.seconds, 1e3 * (outcome.predicted_seconds() or 0)) for outcome, real, _ in known
        ],
        "Kept by a process (MB)": [(real.kept_bytes / 1e6, cost.kept_bytes / 1e6) for _, real, cost in known],
        "Sent by a process a step (MB)": [
            (None if real.sent_bytes is None else real.sent_bytes / 1e6, cost.sent_bytes / 1e6)
            for _, real, cost in known
        ],
    }


def _panel(axes: Axes, names: Sequence[str], pairs: Sequence[tuple[float | None, float | None]], label: str) -> None:
    measured, predicted = zip(*pairs, strict=True)
    bars = {i: value for i, value in enumerate(measured) if value is not None}
    axes.barh(list(bars), list(bars.values()), 0.6, color=COLORS[5], label="measured")
    axes.plot(predicted, range(len(names)), "D", color=INK, markersize=5, label="predicted")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(label)
    axes.set_xlim(left=0)
    axes.grid(axis="x")


def paper_figure(job: Job) -> Figure:
    """How many times as fast as one GPU, by their number."""
    with drawing(7, 4) as drawn:
        axes = drawn.add_subplot()
        axes.plot(GPUS, GPUS, "--", color=INK, linewidth=1, label="ideal")
        for name, speeds in _speeds(job).items():
            i = STRATEGIES.index(name) - 1  # a strategy looks the same on every figure; "single" is not drawn
            axes.plot(*zip(*speeds, strict=True), marker="osD^vP"[i], color=COLORS[i], label=name)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xticks(GPUS, map(str, GPUS))
        axes.yaxis.set_major_formatter(lambda speed, _: f"{speed:g}×" if speed >= 1 else f"1/{1 / speed:g}×")
        axes.set(xlabel="GPUs", ylabel="Speed beside one GPU")
        axes.grid()
        axes.legend(fontsize=8)
        return drawn


def _speeds(job: Job) -> dict[str, list[tuple[int, float]]]:
    """GPUs and how many times as fast as one they are, by strategy."""
    speeds: dict[str, list[tuple[int, float]]] = {}
    for projected in carried(job):
        ways, efficiency = projected.layout.ways(), projected.efficiency()
        if efficiency and ways > 1:
            speeds.setdefault(projected.layout.strategy, [(1, 1.0)]).append((ways, ways * efficiency))
    return speeds


def _millions(count: float) -> str:
    return f"{count / 1e6:,.1f}"
