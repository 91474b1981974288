"""A multilayer perceptron by hand in NumPy beside the project's: the same numbers, and each one's time."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator
from numpy.typing import DTypeLike
from torch import Tensor

from dlproj.data.base import DataModule, DataSpec, Kind
from dlproj.data.batches import Batch
from dlproj.models.mlp import MLPClassifier, MLPConfig
from dlproj.optim import SchedulerConfig, SGDConfig
from dlproj.results import formats
from dlproj.results.article import Article, Row, Section, Table
from dlproj.results.style import COLORS, new_figure, styled
from dlproj.settings import LARGEST_SEED, one_of, whole_numbers
from dlproj.studies.networks import batches_of, prepared, scratch_copy
from dlproj.studies.progress import progress

_CHECKED_DEPTHS = range(4)
_LEARNING_RATE = 0.1
_WIDTH, _DEPTH, _BATCH = 256, 2, 128  # where they are not what varies
_TIMED_SPEC = DataSpec(Kind.features, (784,), tuple("0123456789"))  # Fashion-MNIST's size
_TURNS = 4  # that each implementation gets, so that what disturbs the machine disturbs both
_DOCUMENTED_HIDDEN, _DOCUMENTED_BATCH, _DOCUMENTED_STEPS = (256, 128), 512, 10  # mlp document
_REPORTED_S = {"torch": 0.1127, "NumPy": 0.2414}  # of those steps together


def scratch_vs_framework(
    data: Annotated[str, typer.Option(help="digits or fmnist, to compare the training on")] = "digits",
    hidden: Annotated[str, typer.Option(help="units of each hidden layer in that training")] = "256,128",
    widths: Annotated[str, typer.Option(help="units a hidden layer, timed")] = "32,64,128,256,512,1024",
    depths: Annotated[str, typer.Option(help="hidden layers, timed")] = "1,2,4,8,16",
    batches: Annotated[str, typer.Option(help="samples a batch, timed")] = "8,32,128,512,2048",
    steps: Annotated[int, typer.Option(min=1, help="timed in a row, four times over")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="decides weights and batches")] = 0,
) -> Article:
    """A multilayer perceptron in NumPy, its gradients and training checked against torch, and the time of both.

    Backpropagation by hand (Rumelhart, Hinton & Williams 1986; Goodfellow, Bengio & Courville 2016, 6.5): with
    z = h Wᵀ + b, h' = max(z, 0) and δ the loss's gradient by z, ∂W = δᵀ h, ∂b = Σ δ, and the layer below has
    (δ W) ⊙ [h > 0]; softmax cross-entropy begins it with δ = (softmax z - one-hot) / B. Checked in float64, where
    rounding is 1e-16. Then a step (forward, backward, gradient descent) of both is timed in float32 on one thread, with
    784 inputs and 10 outputs, as width, depth and batch grow one at a time.
    """
    one_of("--data", data, ("digits", "fmnist"))
    varied = {
        "width": whole_numbers("--widths", widths),
        "depth": whole_numbers("--depths", depths),
        "batch": whole_numbers("--batches", batches),
    }
    units = whole_numbers("--hidden", hidden)
    module = prepared(data, seed)
    timings = time_all(varied, steps, seed)
    documented = time_steps(_DOCUMENTED_HIDDEN, _DOCUMENTED_BATCH, steps, seed, in_double=True)
    checks = [gradient_table(module, seed), epoch_table(module, units, seed)]
    return Article(
        "scratch_vs_framework",
        "A network from scratch and by the framework",
        f"{data}, hidden layers of {hidden} units, seed {seed}; {_TURNS * steps} timed steps of each",
        _sections(checks, timings, documented),
    )


def _sections(checks: list[Table], timings: "Mapping[str, list[Timing]]", documented: "Timing") -> list[Section]:
    timed = (
        f"Forward, backward and gradient descent in float32 on one thread; {_WIDTH} units a layer, {_DEPTH} hidden "
        f"layers and batches of {_BATCH} where these do not vary. It is the processor's time, which other programs do "
        "not lengthen. Points are medians, bars reach from the first to the third quartile."
    )
    return [
        Section("Gradients", "By hand and by torch's autograd in float64, on a batch of real data.", table=checks[0]),
        Section(
            "An epoch of training",
            "The same weights and batches go into NumPy's network and the project's MLPClassifier; gradient descent "
            f"with learning rate {_LEARNING_RATE:g}. In float32 both round, each in its own order; where a sum near "
            "zero then gets another sign in one of them, its unit learns from other samples, and the weights part.",
            table=checks[1],
        ),
        Section("The time of a step", timed, {"step_time": time_figure(timings)}, time_table(timings)),
        Section(
            "The mlp document's case",
            f"{_DOCUMENTED_STEPS} steps of batch {_DOCUMENTED_BATCH} with hidden layers of "
            f"{_DOCUMENTED_HIDDEN[0]} and {_DOCUMENTED_HIDDEN[1]} units; measured: {_DOCUMENTED_STEPS} times the "
            "median step. NumPy's own arithmetic, where nothing else is chosen, is float64.",
            table=documented_table(documented),
        ),
    ]


def network(hidden: Sequence[int], spec: DataSpec, dtype: torch.dtype, seed: int) -> MLPClassifier:
    """The project's network, with ReLU and gradient descent."""
    torch.manual_seed(seed)
    model = MLPConfig(hidden=list(hidden)).build(spec, SGDConfig(learning_rate=_LEARNING_RATE), SchedulerConfig())
    return model.to(dtype)


def largest_difference(scratch: list[tuple[np.ndarray, np.ndarray]], theirs: list[Any]) -> float:
    """Over the weights and biases, or their gradients, of all layers."""
    pairs = zip((array for layer in scratch for array in layer), theirs, strict=True)
    return max(float(np.abs(array - tensor.detach().numpy()).max()) for array, tensor in pairs)


def gradient_difference(hidden: Sequence[int], spec: DataSpec, batch: Batch, seed: int) -> tuple[int, float]:
    """Parameters of such a network, and the largest difference of both gradients in float64."""
    model = network(hidden, spec, torch.float64, seed)
    inputs, targets = batch[0].double(), batch[1]
    model.loss(model(inputs), targets).backward()
    _, gradients = scratch_copy(model, np.float64).gradients(inputs.flatten(1).numpy(), targets.numpy())
    return model.parameter_count(), largest_difference(gradients, [one.grad for one in model.parameters()])


def gradient_table(module: DataModule, seed: int) -> Table:
    """The largest difference for each number of hidden layers."""
    batch = next(batches_of(module, 0))
    rows: list[Row] = []
    for depth in _CHECKED_DEPTHS:
        parameters, difference = gradient_difference([32] * depth, module.spec, batch, seed)
        rows.append({"hidden_layers": depth, "parameters": parameters, "largest_difference": difference})
    cells = [(f"{row['hidden_layers']}", f"{row['parameters']:,}", f"{row['largest_difference']:.1e}") for row in rows]
    return Table(("hidden layers", "parameters", "largest difference"), cells, "gradients", rows)


def train_both(module: DataModule, hidden: Sequence[int], dtype: torch.dtype, seed: int) -> Row:
    """An epoch of each from the same weights on the same batches, and what they end with."""
    model = network(hidden, module.spec, dtype, seed)
    scratch = scratch_copy(model, torch.empty(0, dtype=dtype).numpy().dtype)
    step = torch_steps(model)
    count = 0
    for inputs, targets in progress(batches_of(module, 0), "batches"):
        flat = inputs.flatten(1).to(dtype)
        step(flat, targets)
        scratch.step(flat.numpy(), targets.numpy(), _LEARNING_RATE)
        count += 1
    tests = module.transform(module.test.inputs).flatten(1).to(dtype)
    with torch.inference_mode():
        predicted = {"torch": model(tests).argmax(1).numpy(), "NumPy": scratch.forward(tests.numpy())[-1].argmax(1)}
    hits = {name: float((classes == module.test.targets.numpy()).mean()) for name, classes in predicted.items()}
    return {"dtype": str(dtype).removeprefix("torch."), "steps": count,
            "largest_difference": largest_difference(scratch.layers, list(model.parameters())),
            "torch_test_accuracy": hits["torch"], "numpy_test_accuracy": hits["NumPy"]}  # fmt: skip


def epoch_table(module: DataModule, hidden: Sequence[int], seed: int) -> Table:
    """In double and in single precision."""
    rows = [train_both(module, hidden, dtype, seed) for dtype in (torch.float64, torch.float32)]
    cells = [
        (str(row["dtype"]), f"{row['steps']}", f"{row['largest_difference']:.1e}",
         f"{row['torch_test_accuracy']:.2%}", f"{row['numpy_test_accuracy']:.2%}")
        for row in rows
    ]  # fmt: skip
    columns = ("arithmetic", "steps", "largest difference of weights", "test accuracy, torch", "test accuracy, NumPy")
    return Table(columns, cells, "epoch", rows)


def torch_steps(model: MLPClassifier) -> Callable[[Tensor, Tensor], None]:
    """A function that takes one step on a batch."""
    optimizer = model.optim.build(model.parameters())

    def step(inputs: Tensor, targets: Tensor) -> None:
        optimizer.zero_grad()
        model.loss(model(inputs), targets).backward()
        optimizer.step()

    return step


@dataclass(frozen=True, slots=True)
class Timing:
    """One network and batch size, and how long each step of either implementation took."""

    hidden: Sequence[int]
    batch: int
    times_s: Mapping[str, Sequence[float]]

    def quartiles_s(self, implementation: str) -> list[float]:
        """The first, the median, the third."""
        return np.percentile(self.times_s[implementation], (25, 50, 75)).tolist()

    def ratio(self) -> float:
        """How many times as long NumPy takes."""
        return self.quartiles_s("NumPy")[1] / self.quartiles_s("torch")[1]


def time_all(varied: Mapping[str, Sequence[int]], steps: int, seed: int) -> dict[str, list[Timing]]:
    """Each quantity's values, the others staying what they are."""
    cases = [
        *(("width", (width,) * _DEPTH, _BATCH) for width in varied["width"]),
        *(("depth", (_WIDTH,) * depth, _BATCH) for depth in varied["depth"]),
        *(("batch", (_WIDTH,) * _DEPTH, batch) for batch in varied["batch"]),
    ]
    timings: dict[str, list[Timing]] = {name: [] for name in varied}
    for name, hidden, batch in progress(cases, "networks"):
        timings[name].append(time_steps(hidden, batch, steps, seed))
    return timings


def time_steps(hidden: Sequence[int], batch: int, steps: int, seed: int, in_double: bool = False) -> Timing:
    """So many steps of one, then of the other, in turn; before each turn one that is not timed warms the caches.

    in_double: NumPy in float64, too, which it takes where it is told nothing.
    """
    model = network(hidden, _TIMED_SPEC, torch.float32, seed)
    inputs, targets = torch.rand(batch, *_TIMED_SPEC.shape), torch.randint(len(_TIMED_SPEC.classes), (batch,))
    works: dict[str, Callable[[], Any]] = {
        "torch": partial(torch_steps(model), inputs, targets),
        "NumPy": scratch_step(model, np.float32, inputs, targets),
    }
    if in_double:
        works["NumPy, float64"] = scratch_step(model, np.float64, inputs, targets)
    times_s: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(_TURNS):
        for name, work in works.items():
            times_s[name] += [_seconds(work) for _ in range(1 + steps)][1:]
    return Timing(hidden, batch, times_s)


def scratch_step(model: MLPClassifier, dtype: DTypeLike, inputs: Tensor, targets: Tensor) -> Callable[[], Any]:
    """A step of NumPy's copy of the network, again and again on one batch."""
    scratch = scratch_copy(model, dtype)
    return partial(scratch.step, inputs.numpy().astype(dtype), targets.numpy(), _LEARNING_RATE)


def _seconds(work: Callable[[], Any]) -> float:
    began = time.process_time()  # on one thread the time on a quiet machine: other programs do not lengthen it
    work()
    return time.process_time() - began


def time_table(timings: Mapping[str, Sequence[Timing]]) -> Table:
    """Medians and quartiles of each case."""
    rows = [_row(name, timing) for name, several in timings.items() for timing in several]
    cells = [
        (str(row["varied"]), f"{row['hidden_layers']} × {row['units_a_layer']}", f"{row['batch']}",
         *(_milliseconds(timing, name) for name in _REPORTED_S), f"{row['numpy_over_torch']:.2f}")
        for row, timing in zip(rows, (one for several in timings.values() for one in several), strict=True)
    ]  # fmt: skip
    columns = ("varied", "hidden layers × units", "batch", "torch [ms]", "NumPy [ms]", "NumPy / torch")
    return Table(columns, cells, "step_time", rows)


def _row(name: str, timing: Timing) -> Row:
    times = {
        f"{implementation.lower()}_{statistic}_s": value
        for implementation in timing.times_s
        for statistic, value in zip(
            ("quartile_1", "median", "quartile_3"), timing.quartiles_s(implementation), strict=True
        )
    }
    return {"varied": name, "hidden_layers": len(timing.hidden), "units_a_layer": timing.hidden[0],
            "batch": timing.batch, **times, "numpy_over_torch": timing.ratio()}  # fmt: skip


def _milliseconds(timing: Timing, implementation: str) -> str:
    low, median, high = (1e3 * value for value in timing.quartiles_s(implementation))
    return f"{median:.3g} ({low:.3g} to {high:.3g})"


def documented_table(timing: Timing) -> Table:
    """Seconds of the document's ten steps, its own and ours, and how many times as long as torch each takes."""
    measured = {name: _DOCUMENTED_STEPS * timing.quartiles_s(name)[1] for name in timing.times_s}
    rows: list[Row] = [
        {"implementation": name, "reported_s": _REPORTED_S.get(name), "measured_s": seconds,
         "reported_over_torch": _REPORTED_S[name] / _REPORTED_S["torch"] if name in _REPORTED_S else None,
         "measured_over_torch": seconds / measured["torch"]}
        for name, seconds in measured.items()
    ]  # fmt: skip
    cells = [
        (str(row["implementation"]), _known(row["reported_s"], ".4f"), _known(row["measured_s"], ".4f"),
         _known(row["reported_over_torch"], ".2f"), _known(row["measured_over_torch"], ".2f"))
        for row in rows
    ]  # fmt: skip
    columns = ("implementation", "reported [s]", "measured [s]", "reported / torch's", "measured / torch's")
    return Table(columns, cells, "documented", rows)


def _known(value: str | float | None, digits: str) -> str:
    return formats.NONE if value is None else format(value, digits)


def time_figure(timings: Mapping[str, Sequence[Timing]]) -> Figure:
    """A panel a quantity that grows."""
    panels = {
        "width": ("units a hidden layer", f"{_DEPTH} hidden layers, batch {_BATCH}"),
        "depth": ("hidden layers", f"{_WIDTH} units each, batch {_BATCH}"),
        "batch": ("samples a batch", f"{_DEPTH} hidden layers of {_WIDTH} units"),
    }
    with styled():
        drawn = new_figure(10, 4)
        drawn.set_layout_engine("constrained")
        for axes, (name, several) in zip(drawn.subplots(1, 3, sharey=True), timings.items(), strict=True):
            values = [_value(name, timing) for timing in several]
            _draw(axes, values, several)
            axes.set(xlabel=panels[name][0], title=panels[name][1])
        drawn.axes[0].set_ylabel("time of a step [ms]")
        drawn.axes[0].legend(loc="upper left")
        return drawn


def _value(name: str, timing: Timing) -> int:
    return {"width": timing.hidden[0], "depth": len(timing.hidden), "batch": timing.batch}[name]


def _draw(axes: Axes, values: Sequence[int], timings: Sequence[Timing]) -> None:
    for implementation, line, mark, color in (("torch", "-", "o", COLORS[0]), ("NumPy", "--", "s", COLORS[1])):
        low, median, high = 1e3 * np.array([timing.quartiles_s(implementation) for timing in timings]).T
        spread = (median - low, high - median)
        axes.errorbar(values, median, spread, linestyle=line, marker=mark, color=color, label=implementation, capsize=3)
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(values, [formats.count(value) for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True)
