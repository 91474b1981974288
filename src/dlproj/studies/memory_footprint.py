"""How many numbers a network keeps for inference and for training: counted by hand, and by torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, Any

import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from dlproj.data.base import DataSpec, Kind
from dlproj.live_bytes import LiveBytes
from dlproj.machine import require_memory
from dlproj.models.classifier import Classifier, ModelConfig
from dlproj.models.mlp import MLPConfig
from dlproj.models.rnn import RNNConfig
from dlproj.optim import (
    AdagradConfig,
    AdamConfig,
    AdamWConfig,
    OptimConfig,
    RMSpropConfig,
    SchedulerConfig,
    SGDConfig,
)
from dlproj.results import formats
from dlproj.results.article import Article, Row, Section, Table
from dlproj.results.style import COLORS, INK, new_figure, styled
from dlproj.studies.parts.progress import progress

FLOAT32 = 4  # bytes
_TIMES_THE_BATCH = (1, 4, 16, 64)
_REPORTED = {"inference": 5770, "training without the biases' gradients": 11380}  # of the case below, mlp document


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a network with one hidden layer, and of its batch."""

    inputs: int  # d
    hidden: int  # h
    outputs: int  # q
    batch: int  # B


_DOCUMENTS_SHAPE = Shape(100, 50, 10, 1)
_STEPS = 2  # of training: before the first one an optimizer has no states yet


@dataclass(frozen=True, slots=True)
class Network:
    """A kind of network, and its numbers by hand."""

    config: Callable[[int], ModelConfig]  # of h
    parameters: Callable[[Shape], int]
    values: Callable[[Shape], int]  # that the forward pass computes from its inputs
    at_once: Callable[[Shape, bool], int] | None  # of all these, in training or not, when nothing is kept longer


def mlp_at_once(shape: Shape, training: bool) -> int:
    """The most numbers that an MLP needs at once, if each is freed after its last use; in training, by plain SGD."""
    d, h, q, samples = shape.inputs, shape.hidden, shape.outputs, shape.batch
    output = (h + 1) * q
    parameters = (d + 1) * h + output
    if not training:
        return parameters + samples * max(d + 2 * h, d + h + q)  # x, z and h; then x, h and o
    moments = (
        parameters + samples * (d + h + 3 * q),  # softmax backward: x, h; log p and the gradients by it and by o
        parameters + output + samples * (d + 2 * h + q),  # the output layer's, by h: x, h; the gradients by o and h
        parameters + output + samples * (d + 3 * h),  # ReLU's: x, h; the gradients by h and by z
        2 * parameters + samples * (d + h),  # the hidden layer's: x; the gradients by z and by all parameters
    )
    return max(moments) + 2 * samples + 2  # classes have 8 bytes; the loss and the gradient by it


NETWORKS: Mapping[str, Network] = {
    "MLP": Network(
        lambda hidden: MLPConfig(hidden=[hidden]),
        lambda s: (s.inputs + 1) * s.hidden + (s.hidden + 1) * s.outputs,
        lambda s: s.batch * (2 * s.hidden + s.outputs),
        mlp_at_once,
    ),
    # One number a time step, so d steps. Each computes 4 sums, 4 gates, the cell state, its tanh and the output.
    "LSTM": Network(
        lambda hidden: RNNConfig(hidden=[hidden]),
        lambda s: 4 * s.hidden * (1 + s.hidden + 1) + (s.hidden + 1) * s.outputs,
        lambda s: s.batch * (11 * s.hidden * s.inputs + s.outputs),
        None,  # what oneDNN keeps is its own
    ),
}
# With the numbers that each keeps for a weight.
OPTIMIZERS: Mapping[str, tuple[OptimConfig, int]] = {
    "sgd": (SGDConfig(), 0),
    "momentum": (SGDConfig(momentum=0.9), 1),
    "nesterov": (SGDConfig(momentum=0.9, nesterov=True), 1),
    "adagrad": (AdagradConfig(), 1),
    "rmsprop": (RMSpropConfig(), 1),
    "adam": (AdamConfig(), 2),
    "adamw": (AdamWConfig(), 2),
}


def memory_footprint(
    inputs: Annotated[int, typer.Option(min=1, max=1_000_000, help="d, features of a sample")] = 100,
    hidden: Annotated[int, typer.Option(min=1, max=1_000_000, help="h, units of the hidden layer")] = 50,
    outputs: Annotated[int, typer.Option(min=2, max=1_000_000, help="q, classes")] = 10,
    batch: Annotated[int, typer.Option(min=1, max=1_000_000, help="B, samples at once")] = 1,
) -> Article:
    """Numbers kept for inference and for training of an MLP d → h → q and of an LSTM, by formula and by torch.

    Inference: P + B (d + v), with P = (d + 1) h + (h + 1) q parameters, d inputs, and v = 2h + q values z, h and o that
    the forward pass computes. Training: as much, and a gradient for each parameter and value: 2P + B (d + 2v). An
    optimizer that keeps s numbers a weight adds s P: momentum 1, Adam 2. The mlp document's case is d, h, q, B = 100,
    50, 10, 1; in training it leaves out the biases' gradients. The backward pass reads the values of the forward pass
    again, which is why training keeps them (Goodfellow, Bengio & Courville 2016, 6.5).
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
            Section("An MLP by hand", "Reported by the mlp document are two of the sums.", table=by_hand(shape)),
            Section("Counted by torch", _ON_TORCH, {"batches": batch_figure(counted.rows)}, counted),
            Section("Optimizers", _ON_OPTIMIZERS, {"optimizers": optimizer_figure(shape, optimizers.rows)}, optimizers),
        ],
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


def parts(shape: Shape) -> dict[str, tuple[str, int]]:
    """Formula and count of all that an MLP keeps, by name."""
    d, h, q, b = shape.inputs, shape.hidden, shape.outputs, shape.batch
    return {
        "weights": ("d h + h q", d * h + h * q),
        "biases": ("h + q", h + q),
        "inputs x": ("B d", b * d),
        "sums z": ("B h", b * h),
        "hidden units h": ("B h", b * h),
        "outputs o": ("B q", b * q),
        "gradients of weights": ("d h + h q", d * h + h * q),
        "gradients of biases": ("h + q", h + q),
        "gradients of z, h and o": ("B (2h + q)", b * (2 * h + q)),
    }


def sums(shape: Shape) -> dict[str, int]:
    """Of the parts, as the document adds them up and in full."""
    counts = {name: count for name, (_, count) in parts(shape).items()}
    gradients = {name: count for name, count in counts.items() if name.startswith("gradients")}
    training = sum(counts.values())
    return {
        "inference": training - sum(gradients.values()),
        "training without the biases' gradients": training - gradients["gradients of biases"],
        "training": training,
    }


def by_hand(shape: Shape) -> Table:
    """Parts and sums."""
    reported: Mapping[str, int] = _REPORTED if shape == _DOCUMENTS_SHAPE else {}
    entries = [*((name, *part) for name, part in parts(shape).items()),
               *((name, "sum", count) for name, count in sums(shape).items())]  # fmt: skip
    rows: list[Row] = [
        {"kept": name, "formula": formula, "values": count, "bytes": FLOAT32 * count,
         "reported_values": reported.get(name)}
        for name, formula, count in entries
    ]  # fmt: skip
    cells = [
        (name, formula, f"{count:,}", _kilobytes(FLOAT32 * count), formats.count(reported.get(name)))
        for name, formula, count in entries
    ]
    return Table(("kept", "formula", "values", "kB", "reported values"), cells, "by_hand", rows)


def formula(name: str, shape: Shape, training: bool, states: int = 0) -> int:
    """Values that the network keeps; in training with so many states of the optimizer a weight."""
    parameters, computed = NETWORKS[name].parameters(shape), NETWORKS[name].values(shape)
    once = parameters + computed
    return (2 * once + states * parameters if training else once) + shape.batch * shape.inputs


def build(name: str, shape: Shape, optim: OptimConfig) -> Classifier:
    """The project's own network."""
    spec = DataSpec(Kind.features, (shape.inputs,), tuple(map(str, range(shape.outputs))))
    model = NETWORKS[name].config(shape.hidden).build(spec, optim, SchedulerConfig())
    assert isinstance(model, Classifier)
    return model


def inference_bytes(name: str, shape: Shape) -> int:
    """The most that torch holds at once."""
    with LiveBytes() as live:
        model = build(name, shape, SGDConfig())
        live.forget_peak()
        with torch.no_grad():
            model(torch.zeros(shape.batch, shape.inputs))
    return live.peak


def training_bytes(name: str, shape: Shape, optim: OptimConfig) -> tuple[int, int]:
    """The most that torch holds at once, and what of it are the optimizer's states."""
    with LiveBytes() as live:
        model = build(name, shape, optim)
        optimizer = optim.build(model.parameters())
        live.forget_peak()
        inputs, targets = torch.zeros(shape.batch, shape.inputs), torch.zeros(shape.batch, dtype=torch.int64)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            model.loss(model(inputs), targets).backward()
            optimizer.step()
    states = [value for kept in optimizer.state.values() for value in kept.values() if torch.is_tensor(value)]
    return live.peak, sum(value.nbytes for value in states if value.dim())  # without the count of steps


def beside_torch(shape: Shape) -> Table:
    """Each network in inference and in training, from the batch on to several times as many samples."""
    rows = [
        _row(name, replace(shape, batch=times * shape.batch), training)
        for name, training, times in progress([*product(NETWORKS, (False, True), _TIMES_THE_BATCH)], "networks")
    ]
    cells = [
        (str(row["network"]), str(row["use"]), formats.count(row["samples"]), _kilobytes(row["formula_bytes"]),
         formats.NONE if row["at_once_bytes"] is None else _kilobytes(row["at_once_bytes"]),
         _kilobytes(row["torch_bytes"]))
        for row in rows
    ]  # fmt: skip
    columns = ("network", "use", "samples", "formula (kB)", "at once, by hand (kB)", "torch (kB)")
    return Table(columns, cells, "torch", rows)


def _row(name: str, shape: Shape, training: bool) -> dict[str, Any]:
    found = training_bytes(name, shape, SGDConfig())[0] if training else inference_bytes(name, shape)
    at_once = NETWORKS[name].at_once
    return {
        "network": name,
        "use": "training" if training else "inference",
        "samples": shape.batch,
        "formula_bytes": FLOAT32 * formula(name, shape, training),
        "at_once_bytes": FLOAT32 * at_once(shape, training) if at_once else None,
        "torch_bytes": found,
    }


def optimizer_table(shape: Shape) -> Table:
    """States a weight and memory of an MLP in training."""
    parameter_bytes = FLOAT32 * NETWORKS["MLP"].parameters(shape)
    rows: list[Row] = []
    for name, (config, states) in OPTIMIZERS.items():
        found, kept = training_bytes("MLP", shape, config)
        rows.append({"optimizer": name, "states_a_weight": states, "measured_states_a_weight": kept / parameter_bytes,
                     "formula_bytes": FLOAT32 * formula("MLP", shape, True, states), "torch_bytes": found})  # fmt: skip
    cells = [
        (str(row["optimizer"]), f"{row['states_a_weight']}", f"{row['measured_states_a_weight']:g}",
         _kilobytes(row["formula_bytes"]), _kilobytes(row["torch_bytes"]))
        for row in rows
    ]  # fmt: skip
    columns = ("optimizer", "states a weight", "measured", "formula (kB)", "torch (kB)")
    return Table(columns, cells, "optimizers", rows)


def _kilobytes(count: Any) -> str:
    return f"{count / 1e3:,.2f}"


def batch_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Memory by batch size: lines by formula, marks by torch."""
    with styled():
        drawn = new_figure(9, 4)
        drawn.set_layout_engine("constrained")
        for axes, name in zip(drawn.subplots(1, 2), NETWORKS, strict=True):
            _batch_panel(axes, [row for row in rows if row["network"] == name])
            axes.set_title(name)
        drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return drawn


def _batch_panel(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    for use, color, line, marker in zip(("training", "inference"), COLORS, ("-", "--"), "so", strict=False):
        mine = [row for row in rows if row["use"] == use]
        samples = [row["samples"] for row in mine]
        axes.plot(samples, [row["formula_bytes"] / 1e3 for row in mine], line, color=color, label=f"{use}, formula")
        if all(row["at_once_bytes"] for row in mine):
            at_once = [row["at_once_bytes"] / 1e3 for row in mine]
            axes.plot(samples, at_once, ":", color=color, label=f"{use}, at once")
        axes.plot(samples, [row["torch_bytes"] / 1e3 for row in mine], marker, color=color, label=f"{use}, torch")
        axes.set_xscale("log", base=2)
        axes.set_xticks(samples, map(str, samples))
    axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="Samples at once", ylabel="Kept (kB)")
    axes.grid()


def optimizer_figure(shape: Shape, rows: Sequence[Mapping[str, Any]]) -> Figure:
    """A bar an optimizer, of what an MLP keeps in training; a mark by torch."""
    parameters = NETWORKS["MLP"].parameters(shape)
    with styled():
        drawn = new_figure(8, 3.6)
        drawn.set_layout_engine("constrained")
        axes = drawn.add_subplot()
        _stack(axes, {
            "parameters": [parameters for _ in rows],
            "their gradients": [parameters for _ in rows],
            "inputs, values and\ntheir gradients": [formula("MLP", shape, True) - 2 * parameters for _ in rows],
            "the optimizer's states": [row["states_a_weight"] * parameters for row in rows],
        })  # fmt: skip
        found = [row["torch_bytes"] / 1e3 for row in rows]
        axes.plot(found, range(len(found)), "D", color=INK, markersize=5, label="torch, at its peak")
        axes.set_yticks(range(len(rows)), [row["optimizer"] for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel("Kept in training (kB)")
        axes.grid(axis="x")
        drawn.legend(loc="outside right upper")
        return drawn


def _stack(axes: Axes, counts: Mapping[str, Sequence[int]]) -> None:
    left = [0.0] * len(OPTIMIZERS)
    for (label, values), color, hatch in zip(counts.items(), COLORS, ("", "//", "xx", ".."), strict=False):
        widths = [FLOAT32 * value / 1e3 for value in values]
        axes.barh(range(len(widths)), widths, 0.6, left, color=color, hatch=hatch, edgecolor="white", label=label)
        left = [start + width for start, width in zip(left, widths, strict=True)]
