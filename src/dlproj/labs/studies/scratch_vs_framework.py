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
from numpy.typing import DTypeLike
from torch import Tensor

from dlproj.config.checks import one_of, whole_numbers
from dlproj.config.data import DataSpec, Kind
from dlproj.labs.studies.parts.networks import prepared, scratch_copy, stepper
from dlproj.labs.studies.parts.options import count, seed_option
from dlproj.labs.studies.parts.scratch_checks import LEARNING_RATE, epoch_table, gradient_table, network
from dlproj.labs.studies.parts.timing import ON_CLOCK, QUARTILES, Timings, time_in_turns
from dlproj.labs.studies.parts.timing_figures import plot_quartiles
from dlproj.models.mlp import MLPClassifier
from dlproj.reports.article import Article, Column, Section, Table
from dlproj.reports.style import COLORS, drawing, log_axes

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
    steps: Annotated[int, count("timed in a row, four times over")] = 5,
    seed: Annotated[int, seed_option("decides weights and batches")] = 0,
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
            f"with learning rate {LEARNING_RATE:g}. In float32 both round, each in its own order; where a sum near "
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
    return partial(scratch.step, inputs.numpy().astype(dtype), targets.numpy(), LEARNING_RATE)


def time_table(timings: Mapping[str, Sequence[Steps]]) -> Table:
    """Medians and quartiles of each case."""
    rows = [_row(varied, steps) for varied, of_shapes in timings.items() for steps in of_shapes]
    columns = [
        Column("varied"),
        Column("hidden layers × units", value=lambda row: f"{row['hidden_layers']} × {row['units_a_layer']}"),
        Column("batch"),
        *(Column(f"{implementation} (ms)", value=partial(_median, implementation)) for implementation in _REPORTED),
        Column("NumPy / torch", ".2f", "numpy_over_torch"),
    ]
    return Table.of(rows, columns, "step_time")


def _median(implementation: str, row: Mapping[str, Any]) -> str:
    low, median, high = (1e3 * row[f"{implementation.lower()}_{part}"] for part in QUARTILES)
    return f"{median:.3g} ({low:.3g} to {high:.3g})"


def _row(varied: str, steps: Steps) -> dict[str, Any]:
    seconds = {
        f"{implementation.lower()}_{part}": value
        for implementation in _REPORTED
        for part, value in steps.timings[implementation].row().items()
    }
    return {
        "varied": varied,
        "hidden_layers": len(steps.shape.hidden),
        "units_a_layer": steps.shape.hidden[0],
        "batch": steps.shape.batch,
        **seconds,
        "numpy_over_torch": steps.ratio(),
    }


def documented_table(steps: Steps) -> Table:
    """Seconds of the document's ten steps, its own and ours, and how many times as long as torch each takes."""
    measured = {name: _DOCUMENTED_STEPS * timings.median() for name, timings in steps.timings.items()}
    ratios = {name: seconds / _REPORTED["torch"] for name, seconds in _REPORTED.items()}
    rows = [
        (name, _REPORTED.get(name), seconds, ratios.get(name), seconds / measured["torch"])
        for name, seconds in measured.items()
    ]
    columns = [
        Column("implementation"),
        Column("reported (s)", ".4f", "reported_seconds"),
        Column("measured (s)", ".4f", "measured_seconds"),
        Column("reported / torch's", ".2f", "reported_over_torch"),
        Column("measured / torch's", ".2f", "measured_over_torch"),
    ]
    return Table.of_values(rows, columns, "documented")


def time_figure(timings: Mapping[str, Sequence[Steps]]) -> Figure:
    """Time of a step, a panel for each quantity that grows."""
    panels = {
        "width": ("Units a hidden layer", f"{_DEPTH} hidden layers, batch {_BATCH}"),
        "depth": ("Hidden layers", f"{_WIDTH} units each, batch {_BATCH}"),
        "batch": ("Samples a batch", f"{_DEPTH} hidden layers of {_WIDTH} units"),
    }
    with drawing(10, 4) as drawn:
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
        quartiles = 1e3 * np.array([steps.timings[implementation].quartiles() for steps in several])
        plot_quartiles(axes, values, quartiles, linestyle=line, marker=mark, color=color, label=implementation)
    log_axes(axes, values, spec=",")
