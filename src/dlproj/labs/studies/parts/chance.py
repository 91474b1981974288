"""Why the mlp document's net of four hidden layers stays at chance with weights from N(0, 0.01²)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from dlproj.config.layers import Initializer
from dlproj.data.batches import generator
from dlproj.experiments import composing, points
from dlproj.labs.studies.parts.initial_weights import STD, VARIANCES, random_layers
from dlproj.labs.studies.parts.stacks import arrows
from dlproj.loop_progress import progress
from dlproj.reports.article import Column, Section, Table
from dlproj.reports.style import COLORS, GREY, drawing

Net = tuple[tuple[int, ...], Initializer]  # widths from the inputs to the outputs, and the weights
NET = (784, 512, 256, 128, 64, 10)
COMPARED = (Initializer.normal, Initializer.glorot_normal, Initializer.he_normal)
_EXPERIMENT = "mlp/depth"  # the document's three nets, all from N(0, 0.01²)
_RATE, STEPS = 0.1, 10 * math.ceil(60_000 / 256)  # of the document's training
_TRAINING_SAMPLES, _START_SAMPLES = 60, 256
_LEFT = 0.1  # a loss by so much below that of chance is learning


def sections(nets: int, seed: int) -> list[Section]:
    """The document's net before its first step, and what becomes of it beside nets that learn."""
    starts = {name: start(name, _START_SAMPLES, nets, seed) for name in progress(COMPARED, "starts")}
    reported = trained()
    courses = {(widths, name): train(widths, name, seed, STEPS) for widths, name in progress(reported, "trainings")}
    data = "ten random patterns in [0, 1], each with noise, in place of images"
    return [
        Section(
            f"The net that stays at chance: {arrows(NET)}",
            f"With weights N(0, {STD:g}²) and ReLU; Glorot's and He's beside. Factors of the sums' mean square "
            f"from layer to layer, means over {nets} nets, the same draws scaled for each; inputs are {data}. "
            "Predicted is nσ²/2, in the first layer nσ².",
            table=factors(starts),
        ),
        Section(
            "What it answers at first",
            f"Where nothing of the input is left at the outputs, all ten classes are equally likely, and the loss is "
            f"ln 10 = {math.log(NET[-1]):.6f}.",
            table=answers(starts),
        ),
        Section(
            "Its gradients",
            f"Root mean squares over a batch of {_START_SAMPLES}, and over those with He's weights. Predicted is the "
            "product of σ/σ(He) over all other layers, for the same errors at the outputs; He's nets err alike on all "
            "inputs, which makes theirs larger.",
            table=gradients(starts),
        ),
        Section(
            "Which nets leave chance",
            "Small gradients alone keep no net at chance: every step makes the weights a little larger, and larger "
            "weights make larger gradients, until the loss falls at once. The more layers, the longer that takes "
            f"(Saxe, McClelland & Ganguli 2014, of linear nets). Here {data}, {_TRAINING_SAMPLES} in all, are learnt "
            f"by gradient descent at rate {_RATE:g} for {STEPS:,} steps, as many as the document's training had, or "
            f"until the loss is {_LEFT:g} below ln 10. Reported is the test accuracy on Fashion-MNIST. The document's "
            "explanation is that too many layers easily overfit; but a net that overfits has left chance on its "
            "training samples, whose loss this is.",
            {"leaving_chance": course_figure(courses)},
            course_table(courses, reported),
        ),
    ]


def trained() -> dict[Net, float | None]:
    """The document's nets with the test accuracies that it reports, and the deepest of them from other weights."""
    with composing():
        configs = [point.config for point in points(_EXPERIMENT)]
    nets: dict[Net, float | None] = {
        ((NET[0], *config.model.hidden, NET[-1]), Initializer.normal): config.reference.figures(config.settings())[
            "test/accuracy"
        ]
        for config in configs
    }
    return nets | {(NET, name): None for name in COMPARED if name is not Initializer.normal}


@dataclass(frozen=True, slots=True)
class Start:
    """The document's net before its first step, means over draws."""

    squares: Tensor  # mean squares (6,) of the inputs and of each layer's sums
    gradients: Tensor  # root mean squares (5,) of the loss's gradients with respect to each layer's weights
    loss: float
    farthest: float  # of a class's probability from 1/10


def samples_of(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs (N, 784), ten random patterns with noise, and the patterns' indices (N,)."""
    source = generator("patterns", seed)
    labels = torch.arange(count) % NET[-1]
    patterns, noise = (torch.rand(rows, NET[0], generator=source) for rows in (NET[-1], count))
    return (patterns[labels] + noise) / 2, labels


def start(name: Initializer, samples: int, nets: int, seed: int) -> Start:
    """Means over so many nets, with cross-entropy."""
    inputs, labels = samples_of(samples, seed)
    drawn = [_start_of(random_layers(name, NET, seed, i), inputs, labels) for i in range(nets)]
    squares, gradients, loss, farthest = (torch.stack(parts).mean(0) for parts in zip(*drawn, strict=True))
    return Start(squares, gradients.sqrt(), float(loss), float(farthest))


def _start_of(layers: Sequence[nn.Linear], inputs: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """The fields of a net's Start, the gradients as mean squares."""
    sums = sums_of(layers, inputs)
    loss = nn.functional.cross_entropy(sums[-1], labels)
    gradients = torch.autograd.grad(loss, [layer.weight for layer in layers])
    farthest = (sums[-1].softmax(1) - 1 / NET[-1]).abs().max()
    return _squares([inputs, *sums]), _squares(gradients), loss.detach(), farthest.detach()


def sums_of(layers: Sequence[nn.Linear], inputs: Tensor) -> list[Tensor]:
    """Each layer's sums (N, units), with ReLU between the layers."""
    sums: list[Tensor] = []
    for layer in layers:
        sums.append(layer(sums[-1].relu() if sums else inputs))
    return sums


def _squares(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.detach().square().mean() for tensor in tensors])


def predicted_factors(name: Initializer) -> list[float]:
    """Of the mean square of the sums from layer to layer: nσ² in the first, nσ²/2 behind a ReLU."""
    return [n * VARIANCES[name](n, m) / (2 if layer else 1) for layer, (n, m) in enumerate(pairwise(NET))]


def factors(starts: Mapping[Initializer, Start]) -> Table:
    """From layer to layer, and their product since the inputs."""
    rows = []
    for name, start in starts.items():
        measured, expected = start.squares[1:] / start.squares[:-1], predicted_factors(name)
        for i, layer in enumerate(pairwise(NET)):
            products = math.prod(expected[: i + 1]), float(measured[: i + 1].prod())
            rows.append((name.name, arrows(layer), expected[i], float(measured[i]), *products))
    columns = [
        *_LAYER,
        Column("factor, predicted", ".3g", "factor_predicted"),
        Column("measured", ".3g", "factor_measured"),
        Column("product, predicted", ".3g", "product_predicted"),
        Column("measured", ".3g", "product_measured"),
    ]
    return Table.of_values(rows, columns, "factors")


_INITIALISER = Column("initialiser", value="initializer")
_LAYER = [_INITIALISER, Column("layer")]


def gradient_to_he(name: Initializer, layer: int) -> float:
    """Predicted root mean square of a layer's gradient over that with He's weights."""
    others = [sizes for i, sizes in enumerate(pairwise(NET)) if i != layer]
    return math.prod(math.sqrt(VARIANCES[name](n, m) / VARIANCES[Initializer.he_normal](n, m)) for n, m in others)


def gradients(starts: Mapping[Initializer, Start]) -> Table:
    """The gradient of each layer's weights, beside that with He's."""
    rows = []
    for name, start in starts.items():
        to_he = start.gradients / starts[Initializer.he_normal].gradients
        for i, layer in enumerate(pairwise(NET)):
            gradient = float(start.gradients[i])
            rows.append((name.name, arrows(layer), gradient, gradient_to_he(name, i), float(to_he[i])))
    columns = [
        *_LAYER,
        Column("gradient", ".3g"),
        Column("of He's, predicted", ".3g", "to_he_predicted"),
        Column("measured", ".3g", "to_he_measured"),
    ]
    return Table.of_values(rows, columns, "gradients")


def answers(starts: Mapping[Initializer, Start]) -> Table:
    """Outputs before any training."""
    rows = [(name.name, float(start.squares[-1].sqrt()), start.farthest, start.loss) for name, start in starts.items()]
    columns = [
        _INITIALISER,
        Column("outputs", ".2g", "output"),
        Column("farthest probability from 1/10", ".2g", "farthest_from_a_tenth"),
        Column("loss", ".6f"),
    ]
    return Table.of_values(rows, columns, "answers")


@dataclass(frozen=True, slots=True)
class Course:
    """A training, before each of its steps."""

    losses: Sequence[float]
    gradients: Sequence[float]  # root mean squares, of the first layer's weights

    def left_after(self) -> int | None:
        """The steps after which the loss is clearly below that of chance; None: it never is."""
        return len(self.losses) - 1 if self.losses[-1] < _chance() else None


def _chance() -> float:
    return math.log(NET[-1]) - _LEFT


def train(widths: Sequence[int], name: Initializer, seed: int, steps: int) -> Course:
    """By gradient descent on all samples, until the loss has left chance."""
    inputs, labels = samples_of(_TRAINING_SAMPLES, seed)
    layers = random_layers(name, widths, seed)
    optimizer = torch.optim.SGD([parameter for layer in layers for parameter in layer.parameters()], _RATE)
    losses, gradients = [], []
    for _ in range(steps + 1):
        loss = nn.functional.cross_entropy(sums_of(layers, inputs)[-1], labels)
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        assert layers[0].weight.grad is not None
        gradients.append(layers[0].weight.grad.square().mean().sqrt().item())
        if losses[-1] < _chance():
            break
        optimizer.step()
    return Course(losses, gradients)


Courses = Mapping[Net, Course]


def course_table(courses: Courses, reported: Mapping[Net, float | None]) -> Table:
    """When each leaves chance, and how its gradients have grown until then."""
    rows = []
    for (widths, name), course in courses.items():
        ends = course.losses[-1], course.gradients[0], course.gradients[-1]
        rows.append((arrows(widths), name.name, reported[widths, name], course.left_after(), *ends))
    columns = [
        Column("net"),
        _INITIALISER,
        Column("reported test accuracy", ".2%"),
        Column("leaves chance after steps", ",", "left_chance_after_steps"),
        Column("last loss", ".6f"),
        Column("gradient at first", ".1e", "first_gradient"),
        Column("at last", ".1e", "last_gradient"),
    ]
    return Table.of_values(rows, columns, "leaving_chance")


def course_figure(courses: Courses) -> Figure:
    """Loss and gradient by step."""
    with drawing(10, 4.4) as drawn:
        left, right = drawn.subplots(1, 2)
        looks = zip(courses.items(), COLORS, cycle(["-", "--", "-.", ":"]), strict=False)
        for ((widths, name), course), color, line in looks:
            style: dict[str, Any] = {"color": color, "linestyle": line, "label": f"{arrows(widths)}, {name.name}"}
            steps = range(1, 1 + len(course.losses))
            left.plot(steps, course.losses, **style)
            right.plot(steps, course.gradients, **style)
        left.axhline(math.log(NET[-1]), color=GREY, linewidth=1, label="chance, ln 10")
        left.set(ylabel="loss", ylim=(math.log(NET[-1]) - 1.5 * _LEFT, math.log(NET[-1]) + 3 * _LEFT))
        right.set(ylabel="root mean square gradient, first layer", yscale="log")
        right.yaxis.set_major_formatter("{x:g}")
        for axes in (left, right):
            axes.set(xlabel="step, the first is 1", xscale="log")
            axes.xaxis.set_major_formatter("{x:,g}")
            axes.grid()
        drawn.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return drawn
