"""A multilayer perceptron by hand in NumPy beside the project's: the same numbers, and each one's time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Annotated, Any

import numpy as np
import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import DTypeLike
from torch import Tensor

from dlproj import formats
from dlproj.config.checks import LARGEST_SEED, one_of, whole_numbers
from dlproj.config.data import DataSpec, Kind
from dlproj.config.mlp import MLPConfig
from dlproj.config.optim import SGDConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.data.base import DataModule
from dlproj.data.batches import Batch
from dlproj.labs.studies.parts.networks import batches_of, prepared, scratch_copy, stepper
from dlproj.labs.studies.parts.timing import ON_CLOCK, Timings, error_bars, time_in_turns
from dlproj.loop_progress import progress
from dlproj.models.mlp import MLPClassifier
from dlproj.reports.article import Article, Row, Section, Table
from dlproj.reports.style import COLORS, new_figure, plain_log, styled

_CHECKED_DEPTHS = range(4)
_LEARNING_RATE = 0.1
_WIDTH, _DEPTH, _BATCH = 256, 2, 128  # where they are not what varies
_TIMED_SPEC = DataSpec(Kind.features, (784,), tuple("0123456789"))  # Fashion-MNIST's size
_TURNS = 4  # that each gets
_DOCUMENTED_STEPS = 10  # mlp document
_REPORTED = {"torch": 0.1127, "NumPy": 0.2414}  # seconds of those steps together


def scratch_vs_framework(
    data: Annotated[str, typer.Option(help="digits or fmnist, to compare the training on")] = "digits",
    hidden: Annotated[str, typer.Option(help="units of each hidden layer in that training")] = "256,128",
    widths: Annotated[str, typer.Option(help="units a hidden layer, timed")] = "32,64,128,256,512,1024",
    depths: Annotated[str, typer.Option(help="hidden layers, timed")] = "1,2,4,8,16",
    batches: Annotated[str, typer.Option(help="samples a batch, timed")] = "8,32,128,512,2048",
    steps: Annotated[int, typer.Option(min=1, max=1_000_000, help="timed in a row, four times over")] = 5,
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
    timings, documented = time_all(varied, steps, seed)
    checks = [gradient_table(module, seed), epoch_table(module, units, seed)]
    return Article(
        "scratch_vs_framework",
        "A network from scratch and by the framework",
        f"{data}, hidden layers of {hidden} units, seed {seed}; {_TURNS * steps} timed steps of each",
        _sections(checks, timings, documented),
    )


def _sections(checks: list[Table], timings: "Mapping[str, list[Steps]]", documented: "Steps") -> list[Section]:
    timed = (
        f"Forward, backward and gradient descent in float32 on one thread; {_WIDTH} units a layer, {_DEPTH} hidden "
        f"layers and batches of {_BATCH} where these do not vary. {ON_CLOCK} Points are medians, bars reach from "
        "the first to the third quartile."
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
            f"{_DOCUMENTED_STEPS} steps of batch {_DOCUMENTED.batch} with hidden layers of {_DOCUMENTED.hidden[0]} and "
            f"{_DOCUMENTED.hidden[1]} units; measured: {_DOCUMENTED_STEPS} times the median step. NumPy's own "
            "arithmetic, where nothing else is chosen, is float64.",
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
    step = stepper(model)
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
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "steps": count,
        "largest_difference": largest_difference(scratch.layers, list(model.parameters())),
        "torch_test_accuracy": hits["torch"],
        "numpy_test_accuracy": hits["NumPy"],
    }


def epoch_table(module: DataModule, hidden: Sequence[int], seed: int) -> Table:
    """In double and in single precision."""
    rows = [train_both(module, hidden, dtype, seed) for dtype in (torch.float64, torch.float32)]
    cells = [
        (
            str(row["dtype"]),
            f"{row['steps']}",
            f"{row['largest_difference']:.1e}",
            f"{row['torch_test_accuracy']:.2%}",
            f"{row['numpy_test_accuracy']:.2%}",
        )
        for row in rows
    ]
    columns = ("arithmetic", "steps", "largest difference of weights", "test accuracy, torch", "test accuracy, NumPy")
    return Table(columns, cells, "epoch", rows)


@dataclass(frozen=True, slots=True)
class Shape:
    """A network's hidden layers, and its batch."""

    hidden: tuple[int, ...]
    batch: int


_DOCUMENTED = Shape((256, 128), 512)


@dataclass(frozen=True, slots=True)
class Steps:
    """How long the steps of a shape took, by each implementation."""

    shape: Shape
    timings: Mapping[str, Timings]

    def ratio(self) -> float:
        """How many times as long NumPy takes."""
        return self.timings["NumPy"].median() / self.timings["torch"].median()


def time_all(varied: Mapping[str, Sequence[int]], steps: int, seed: int) -> tuple[dict[str, list[Steps]], Steps]:
    """Each quantity's values, the others staying what they are; and the document's case."""
    shapes = {
        "width": [Shape((width,) * _DEPTH, _BATCH) for width in varied["width"]],
        "depth": [Shape((_WIDTH,) * depth, _BATCH) for depth in varied["depth"]],
        "batch": [Shape((_WIDTH,) * _DEPTH, batch) for batch in varied["batch"]],
    }
    once = dict.fromkeys([*chain(*shapes.values()), _DOCUMENTED])
    works = {(shape, name): work for shape in once for name, work in steppers(shape, seed).items()}
    timings = time_in_turns(works, _TURNS, seed, "networks", steps)
    found = {shape: Steps(shape, {name: one for (of, name), one in timings.items() if of == shape}) for shape in once}
    return {name: [found[shape] for shape in several] for name, several in shapes.items()}, found[_DOCUMENTED]


def steppers(shape: Shape, seed: int) -> dict[str, Callable[[], Any]]:
    """A step of each implementation, again and again on one batch.

    Of the document's case NumPy in float64, too, which it takes where it is told nothing.
    """
    spec, batch = _TIMED_SPEC, shape.batch
    model = network(shape.hidden, spec, torch.float32, seed)
    inputs, targets = torch.rand(batch, *spec.shape), torch.randint(len(spec.classes), (batch,))
    works: dict[str, Callable[[], Any]] = {
        "torch": partial(stepper(model), inputs, targets),
        "NumPy": scratch_steps(model, np.float32, inputs, targets),
    }
    if shape == _DOCUMENTED:
        works["NumPy, float64"] = scratch_steps(model, np.float64, inputs, targets)
    return works


def scratch_steps(model: MLPClassifier, dtype: DTypeLike, inputs: Tensor, targets: Tensor) -> Callable[[], Any]:
    """A step of NumPy's copy of the network."""
    scratch = scratch_copy(model, dtype)
    return partial(scratch.step, inputs.numpy().astype(dtype), targets.numpy(), _LEARNING_RATE)


def time_table(timings: Mapping[str, Sequence[Steps]]) -> Table:
    """Medians and quartiles of each case."""
    several = [(name, steps) for name, mine in timings.items() for steps in mine]
    cells = [
        (
            name,
            f"{len(steps.shape.hidden)} × {steps.shape.hidden[0]}",
            f"{steps.shape.batch}",
            *(_milliseconds(steps.timings[implementation]) for implementation in _REPORTED),
            f"{steps.ratio():.2f}",
        )
        for name, steps in several
    ]
    columns = ("varied", "hidden layers × units", "batch", "torch (ms)", "NumPy (ms)", "NumPy / torch")
    return Table(columns, cells, "step_time", [_row(name, steps) for name, steps in several])


def _row(name: str, steps: Steps) -> Row:
    seconds = {
        f"{implementation.lower()}_{part}": value
        for implementation in _REPORTED
        for part, value in steps.timings[implementation].row().items()
    }
    return {
        "varied": name,
        "hidden_layers": len(steps.shape.hidden),
        "units_a_layer": steps.shape.hidden[0],
        "batch": steps.shape.batch,
        **seconds,
        "numpy_over_torch": steps.ratio(),
    }


def _milliseconds(timings: Timings) -> str:
    low, median, high = (1e3 * value for value in timings.quartiles())
    return f"{median:.3g} ({low:.3g} to {high:.3g})"


def documented_table(steps: Steps) -> Table:
    """Seconds of the document's ten steps, its own and ours, and how many times as long as torch each takes."""
    measured = {name: _DOCUMENTED_STEPS * timings.median() for name, timings in steps.timings.items()}
    rows: list[Row] = [
        {
            "implementation": name,
            "reported_seconds": _REPORTED.get(name),
            "measured_seconds": seconds,
            "reported_over_torch": _REPORTED[name] / _REPORTED["torch"] if name in _REPORTED else None,
            "measured_over_torch": seconds / measured["torch"],
        }
        for name, seconds in measured.items()
    ]
    cells = [
        (
            str(row["implementation"]),
            _known(row["reported_seconds"], ".4f"),
            _known(row["measured_seconds"], ".4f"),
            _known(row["reported_over_torch"], ".2f"),
            _known(row["measured_over_torch"], ".2f"),
        )
        for row in rows
    ]
    columns = ("implementation", "reported (s)", "measured (s)", "reported / torch's", "measured / torch's")
    return Table(columns, cells, "documented", rows)


def _known(value: str | float | None, digits: str) -> str:
    return formats.NONE if value is None else format(value, digits)


def time_figure(timings: Mapping[str, Sequence[Steps]]) -> Figure:
    """A panel a quantity that grows."""
    panels = {
        "width": ("Units a hidden layer", f"{_DEPTH} hidden layers, batch {_BATCH}"),
        "depth": ("Hidden layers", f"{_WIDTH} units each, batch {_BATCH}"),
        "batch": ("Samples a batch", f"{_DEPTH} hidden layers of {_WIDTH} units"),
    }
    with styled():
        drawn = new_figure(10, 4)
        drawn.set_layout_engine("constrained")
        for axes, (name, several) in zip(drawn.subplots(1, 3, sharey=True), timings.items(), strict=True):
            _draw(axes, [_value(name, steps.shape) for steps in several], several)
            axes.set(xlabel=panels[name][0], title=panels[name][1])
        drawn.axes[0].set_ylabel("Time of a step (ms)")
        drawn.axes[0].legend(loc="upper left")
        return drawn


def _value(name: str, shape: Shape) -> int:
    return {"width": shape.hidden[0], "depth": len(shape.hidden), "batch": shape.batch}[name]


def _draw(axes: Axes, values: Sequence[int], several: Sequence[Steps]) -> None:
    for implementation, line, mark, color in (("torch", "-", "o", COLORS[0]), ("NumPy", "--", "s", COLORS[1])):
        low, median, high = 1e3 * np.array([steps.timings[implementation].quartiles() for steps in several]).T
        bars = error_bars(low, median, high)
        axes.errorbar(values, median, bars, linestyle=line, marker=mark, color=color, label=implementation, capsize=3)
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(values, [formats.count(value) for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    plain_log(axes.yaxis)
    axes.grid(visible=True)
