"""What scaling came to, as tables, figures and a page."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlproj import formats
from dlproj.labs.scaling.bench import Outcome, Scaling
from dlproj.labs.scaling.cost import STRATEGIES, Job
from dlproj.labs.scaling.paper import ASSUMED, GPUS, LARGE, Carried, carried
from dlproj.machine import machine
from dlproj.reports.article import Article, Section, Table
from dlproj.reports.style import COLORS, INK, new_figure, styled

_COLUMNS = (
    "strategy",
    "ms a step",
    "predicted",
    "efficiency",
    "MB kept",
    "predicted",
    "MB sent",
    "predicted",
    "weights differ by",
)
_PAPER_COLUMNS = ("strategy", "GPUs", "ms a step", "efficiency", "GB kept", "MB sent")
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
    outcomes = scaling.outcomes
    return Table(
        _COLUMNS, [_cells(one, scaling) for one in outcomes], "scaling", [_row(one, scaling) for one in outcomes]
    )


def _cells(one: Outcome, scaling: Scaling) -> list[str]:
    if not one.measured or not one.cost:
        return [one.case.name, one.why_not, *[formats.NONE] * (len(_COLUMNS) - 2)]
    sent = formats.NONE if one.measured.sent_bytes is None else _millions(one.measured.sent_bytes)
    return [
        one.case.name,
        _milliseconds(one.measured.seconds),
        _milliseconds(one.predicted_seconds()),
        f"{one.efficiency(scaling.alone()):.0%}",
        _millions(one.measured.kept_bytes),
        _millions(one.cost.kept_bytes),
        sent,
        _millions(one.cost.sent_bytes),
        f"{scaling.difference(one):.1g}",
    ]


def _row(one: Outcome, scaling: Scaling) -> dict[str, str | float | None]:
    found, cost, rates = one.measured, one.cost, one.rates
    row: dict[str, str | float | None] = {"strategy": one.case.layout.strategy, "processes": one.case.processes}
    for name in ("seconds", "lowest", "highest", "kept_bytes", "sent_bytes"):
        row[f"measured_{name}"] = getattr(found, name, None)
    row |= {"predicted_seconds": one.predicted_seconds(), "efficiency": one.efficiency(scaling.alone())}
    for name in ("flops", "sent_bytes", "messages", "kept_bytes", "updated_bytes", "busy"):
        row[f"predicted_{name}"] = getattr(cost, name, None)
    for name in ("flops_per_s", "memory_bytes_per_s", "link_bytes_per_s", "message_s"):
        row[name] = getattr(rates, name, None)
    return row | {"largest_weight_difference": scaling.difference(one), "why_not": one.why_not}


def paper_table(name: str, job: Job) -> Table:
    """The formulas on more GPUs."""
    found = carried(job)
    return Table(_PAPER_COLUMNS, [_paper_cells(one) for one in found], name, [_paper_row(one) for one in found])


def _paper_cells(one: Carried) -> list[str]:
    layout = one.layout
    if one.cost is None:
        return [layout.strategy, str(layout.ways()), one.why_not, *[formats.NONE] * 3]
    kept = f"{one.cost.kept_bytes / 1e9:,.2f}"
    return [
        layout.strategy,
        str(layout.ways()),
        _milliseconds(one.seconds()),
        f"{one.efficiency():.1%}",
        kept,
        _millions(one.cost.sent_bytes),
    ]


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
    """What was measured and predicted, as an article."""
    job = scaling.job
    paper = [
        Section(f"On paper: {_words(one)}", ASSUMED, {name: paper_figure(one)}, paper_table(name, one))
        for name, one in (("scaling-gpus", job), ("scaling-gpus-large", LARGE))
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
    found = [one for one in scaling.outcomes if one.measured]
    with styled():
        drawn = new_figure(11, 0.34 * len(found) + 1.3)
        drawn.set_layout_engine("constrained")
        panels = drawn.subplots(1, 3, sharey=True)
        for axes, (label, pairs) in zip(panels, _pairs(found).items(), strict=True):
            _panel(axes, [one.case.name for one in found], pairs, label)
        panels[0].invert_yaxis()
        panels[0].legend(loc="upper right")
        return drawn


def _pairs(found: Sequence[Outcome]) -> dict[str, list[tuple[float | None, float | None]]]:
    """As measured and as predicted, by what it is."""
    known = [(one, one.measured, one.cost) for one in found if one.measured and one.cost]
    return {
        "Time of a step (ms)": [(1e3 * real.seconds, 1e3 * (one.predicted_seconds() or 0)) for one, real, _ in known],
        "Kept by a process (MB)": [(real.kept_bytes / 1e6, cost.kept_bytes / 1e6) for _, real, cost in known],
        "Sent by a process a step (MB)": [
            (None if real.sent_bytes is None else real.sent_bytes / 1e6, cost.sent_bytes / 1e6)
            for _, real, cost in known
        ],
    }


def _panel(axes: Axes, names: Sequence[str], pairs: Sequence[tuple[float | None, float | None]], label: str) -> None:
    measured, predicted = zip(*pairs, strict=True)
    bars = [(place, value) for place, value in enumerate(measured) if value is not None]
    axes.barh([place for place, _ in bars], [value for _, value in bars], 0.6, color=COLORS[5], label="measured")
    axes.plot(predicted, range(len(names)), "D", color=INK, markersize=5, label="predicted")
    axes.set_yticks(range(len(names)), names)
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
        for name, speeds in _speeds(job).items():
            place = STRATEGIES.index(name) - 1  # its own on every figure; "single" has none
            axes.plot(*zip(*speeds, strict=True), marker="osD^vP"[place], color=COLORS[place], label=name)
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
    for one in carried(job):
        if (efficiency := one.efficiency()) and one.layout.ways() > 1:
            ways = one.layout.ways()
            speeds.setdefault(one.layout.strategy, [(1, 1.0)]).append((ways, ways * efficiency))
    return speeds


def _ms(seconds: float) -> float:
    return 1e3 * seconds


def _milliseconds(seconds: float | None) -> str:
    return formats.NONE if seconds is None else f"{_ms(seconds):,.1f}"


def _millions(count: float) -> str:
    return f"{count / 1e6:,.1f}"
