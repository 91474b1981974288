"""How many numbers a network keeps for inference and for training: counted by hand, and by torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Annotated, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlproj.config.optim import SGDConfig
from dlproj.labs.studies.parts.footprint import (
    DOCUMENTS_TRAINING,
    FLOAT32,
    NETWORKS,
    OPTIMIZERS,
    Shape,
    formula,
    inference_bytes,
    parts,
    sums,
    training_bytes,
)
from dlproj.labs.studies.parts.options import count
from dlproj.loop_progress import progress
from dlproj.machine import require_memory
from dlproj.reports.article import Article, Column, Section, Table
from dlproj.reports.style import COLORS, INK, drawing, log_axes

_TIMES_THE_BATCH = (1, 4, 16, 64)
_DOCUMENTS_SHAPE = Shape(100, 50, 10, 1)
_REPORTED = {"inference": 5770, DOCUMENTS_TRAINING: 11380}  # of this case, mlp document


def memory_footprint(
    inputs: Annotated[int, count("d, features of a sample")] = 100,
    hidden: Annotated[int, count("h, units of the hidden layer")] = 50,
    outputs: Annotated[int, count("q, classes", least=2)] = 10,
    batch: Annotated[int, count("B, samples at once")] = 1,
) -> Article:
    """Numbers kept for inference and for training of an MLP d → h → q and of an LSTM, by formula and by torch.

    Inference: P + B (d + v), with P = (d + 1) h + (h + 1) q parameters, d inputs, and v = 2h + q values z, h and o that
    the forward pass computes. Training: as much, and a gradient for each parameter and value: 2P + B (d + 2v). An
    optimizer that keeps s numbers a weight adds s P: momentum 1, Adam 2. The backward pass reads the values of the
    forward pass again, which is why training keeps them (Goodfellow, Bengio & Courville 2016, 6.5).

    The mlp document's case is d, h, q, B = 100, 50, 10, 1. Its formula for inference, hd + qh + 3h + 2q + d = 5,770,
    is the same. Its formula for training, 2(hd + h + qh + q) + d + 3h + q = 11,380, has the gradients of weights and
    biases, but of z, h, o and their gradients one h and one q fewer than the document's own list, 11,440 in all.
    """
    shape = Shape(inputs, hidden, outputs, batch)
    check_memory(shape)
    subtitle = f"d = {inputs:,}, h = {hidden:,}, q = {outputs:,}, B = {batch:,}, float32"
    counted, optimizers = beside_torch(shape), optimizer_table(shape)
    return Article(
        "memory_footprint",
        "What a network keeps for inference and for training",
        subtitle,
        [
            Section("An MLP by hand", _BY_HAND, table=by_hand(shape)),
            Section("Counted by torch", _ON_TORCH, {"batches": batch_figure(counted.rows)}, counted),
            Section("Optimizers", _ON_OPTIMIZERS, {"optimizers": optimizer_figure(shape, optimizers.rows)}, optimizers),
        ],
    )


_BY_HAND = (
    "P are all parameters, (d + 1) h + (h + 1) q. Reported by the mlp document are two of the sums. Its formula for "
    "training counts the gradients of weights and biases, but drops one h and one q that its own list has: of z, h, o "
    "and their gradients, 4h + 2q, it keeps 3h + q. The sum alone does not tell which are dropped; the gradients of h "
    "and of o, say. Beside the sums stands what torch holds at its peak: it frees early what it needs no more."
)
_ON_TORCH = (
    "The most that torch holds at once, in training until the end of the second step of SGD, beside the formula. "
    "torch frees what it needs no more: z once h is computed, a value's gradient once it is used, the values of the "
    "forward pass as the backward pass goes on; what an MLP needs at once is counted by hand, moment by moment, in "
    "the column between. The LSTM reads the d features one after another; each of its d steps computes 11 h values: 4 "
    "sums, 4 gates, the cell state, its tanh and the output. oneDNN, which computes it on a CPU, keeps fewer of them "
    "for inference, and buffers of its own beside them."
)
_ON_OPTIMIZERS = (
    "The same MLP in training. The states are counted where the optimizer keeps them; some need a temporary copy of a "
    "layer's weights beside them."
)


def check_memory(shape: Shape) -> None:
    """Raise ConfigurationError where the largest of the networks is too much for the machine: it would be killed."""
    largest = replace(shape, batch=shape.batch * _TIMES_THE_BATCH[-1])
    needed = FLOAT32 * max(formula(name, largest, training=True, states=2) for name in NETWORKS)
    require_memory(needed, f"a network with {largest.batch:,} samples", "--batch, --inputs or --hidden")


def by_hand(shape: Shape) -> Table:
    """Parts, and sums beside what torch holds at its peak."""
    reported: Mapping[str, int] = _REPORTED if shape == _DOCUMENTS_SHAPE else {}
    training, _ = training_bytes("MLP", shape, SGDConfig())
    peaks = {"inference": inference_bytes("MLP", shape), "training": training, DOCUMENTS_TRAINING: training}
    rows = [
        (name, formula, values, FLOAT32 * values, reported.get(name), peaks.get(name))
        for name, (formula, values) in (parts(shape) | sums(shape)).items()
    ]
    columns = [
        Column("kept"),
        Column("formula"),
        Column("values", ","),
        Column("kB", _kilobytes, "bytes"),
        Column("reported values", ","),
        Column("torch, at its peak (kB)", _kilobytes, "torch_bytes"),
    ]
    return Table.of_values(rows, columns, "by_hand")


def beside_torch(shape: Shape) -> Table:
    """Each network in inference and in training, from the batch on to several times as many samples."""
    rows = [
        _beside_torch(name, replace(shape, batch=times * shape.batch), training)
        for name, training, times in progress([*product(NETWORKS, (False, True), _TIMES_THE_BATCH)], "networks")
    ]
    columns = [
        Column("network"),
        Column("use"),
        Column("samples", ","),
        Column("formula (kB)", _kilobytes, "formula_bytes"),
        Column("at once, by hand (kB)", _kilobytes, "at_once_bytes"),
        Column("torch (kB)", _kilobytes, "torch_bytes"),
    ]
    return Table.of_values(rows, columns, "torch")


def _beside_torch(name: str, shape: Shape, training: bool) -> tuple[Any, ...]:
    peak = training_bytes(name, shape, SGDConfig())[0] if training else inference_bytes(name, shape)
    at_once = NETWORKS[name].at_once
    by_hand = FLOAT32 * at_once(shape, training) if at_once else None
    use = "training" if training else "inference"
    return name, use, shape.batch, FLOAT32 * formula(name, shape, training), by_hand, peak


def optimizer_table(shape: Shape) -> Table:
    """States a weight and memory of an MLP in training."""
    parameter_bytes = FLOAT32 * NETWORKS["MLP"].parameters(shape)
    rows = []
    for name, (config, states) in OPTIMIZERS.items():
        peak, kept = training_bytes("MLP", shape, config)
        predicted = FLOAT32 * formula("MLP", shape, True, states)
        rows.append((name, states, kept / parameter_bytes, predicted, peak))
    columns = [
        Column("optimizer"),
        Column("states a weight"),
        Column("measured", "g", "measured_states_a_weight"),
        Column("formula (kB)", _kilobytes, "formula_bytes"),
        Column("torch (kB)", _kilobytes, "torch_bytes"),
    ]
    return Table.of_values(rows, columns, "optimizers")


def _kilobytes(count: float) -> str:
    return f"{count / 1e3:,.2f}"


def batch_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Memory by batch size: lines by formula, marks by torch."""
    with drawing(9, 4) as drawn:
        for axes, name in zip(drawn.subplots(1, 2), NETWORKS, strict=True):
            _batch_panel(axes, [row for row in rows if row["network"] == name])
            axes.set_title(name)
        drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return drawn


def _batch_panel(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    for use, color, line, marker in zip(("training", "inference"), COLORS, ("-", "--"), "so", strict=False):
        own = [row for row in rows if row["use"] == use]
        samples = [row["samples"] for row in own]
        axes.plot(samples, [row["formula_bytes"] / 1e3 for row in own], line, color=color, label=f"{use}, formula")
        if all(row["at_once_bytes"] for row in own):
            at_once = [row["at_once_bytes"] / 1e3 for row in own]
            axes.plot(samples, at_once, ":", color=color, label=f"{use}, at once")
        axes.plot(samples, [row["torch_bytes"] / 1e3 for row in own], marker, color=color, label=f"{use}, torch")
    log_axes(axes, samples, base=2)
    axes.margins(y=0.15)
    axes.set(xlabel="Samples at once", ylabel="Kept (kB)")


def optimizer_figure(shape: Shape, rows: Sequence[Mapping[str, Any]]) -> Figure:
    """A bar an optimizer, of what an MLP keeps in training; a mark by torch."""
    parameters = NETWORKS["MLP"].parameters(shape)
    with drawing(8, 3.6) as drawn:
        axes = drawn.add_subplot()
        _stack(
            axes,
            {
                "parameters": [parameters for _ in rows],
                "their gradients": [parameters for _ in rows],
                "inputs, values and\ntheir gradients": [formula("MLP", shape, True) - 2 * parameters for _ in rows],
                "the optimizer's states": [row["states_a_weight"] * parameters for row in rows],
            },
        )
        peaks = [row["torch_bytes"] / 1e3 for row in rows]
        axes.plot(peaks, range(len(peaks)), "D", color=INK, markersize=5, label="torch, at its peak")
        axes.set_yticks(range(len(rows)), [row["optimizer"] for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel("Kept in training (kB)")
        axes.grid(axis="x")
        drawn.legend(loc="outside right upper")
        return drawn


def _stack(axes: Axes, counts: Mapping[str, Sequence[int]]) -> None:
    left = np.zeros(len(OPTIMIZERS))
    for (label, values), color, hatch in zip(counts.items(), COLORS, ("", "//", "xx", ".."), strict=False):
        widths = FLOAT32 * np.array(values) / 1e3
        axes.barh(range(len(widths)), widths, 0.6, left, color=color, hatch=hatch, edgecolor="white", label=label)
        left += widths
