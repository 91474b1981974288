"""How the signal and the gradient grow or fade through depth, by the weights' initial distribution."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from math import ceil, exp, isfinite, nan, prod, sqrt
from typing import Annotated

import numpy as np
import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from torch import Tensor, nn

from dlproj.models.activations import Activation
from dlproj.models.initializers import Initializer, InitializerConfig
from dlproj.models.layers import DenseConfig, linear
from dlproj.results import formats
from dlproj.results.article import Article, Row, Section, Table
from dlproj.results.style import COLORS, new_figure, styled
from dlproj.studies.activation_functions import derivative, function

ACTIVATIONS = (Activation.relu, Activation.sigmoid, Activation.tanh)
_STD, _LIMIT = 0.01, 0.05  # the mlp document's; Keras's
CONFIGS = {name: InitializerConfig(name) for name in Initializer} | {
    Initializer.constant: InitializerConfig(Initializer.constant, value=0.01),
    Initializer.normal: InitializerConfig(Initializer.normal, std=_STD),
    Initializer.uniform: InitializerConfig(Initializer.uniform, low=-_LIMIT, high=_LIMIT),
}
# σ² from a layer's inputs n and outputs m; weights of ones and constants are not of mean 0.
VARIANCES: Mapping[Initializer, Callable[[int, int], float]] = {
    Initializer.torch: lambda n, m: 1 / (3 * n),  # U(±1/√n)
    Initializer.zeros: lambda n, m: 0.0,
    Initializer.normal: lambda n, m: _STD**2,
    Initializer.uniform: lambda n, m: _LIMIT**2 / 3,
    Initializer.glorot_uniform: lambda n, m: 2 / (n + m),
    Initializer.glorot_normal: lambda n, m: 2 / (n + m),
    Initializer.he_uniform: lambda n, m: 2 / n,
    Initializer.he_normal: lambda n, m: 2 / n,
    Initializer.orthogonal: lambda n, m: 1 / max(n, m),
}
NET = (784, 512, 256, 128, 64, 10)  # the mlp document's
COMPARED = (Initializer.normal, Initializer.glorot_normal, Initializer.he_normal)
_REPORTED_ACCURACY = {Initializer.normal: 0.1095}  # on the test set, mlp document
_RATE, _STEPS = 0.1, 10 * ceil(60_000 / 256)  # of its training
_SHOWN = (1e-30, 1e6)  # of the figure; what leaves it is in the table


def initialisation_signal(
    depth: Annotated[int, typer.Option(min=2, help="layers")] = 20,
    width: Annotated[int, typer.Option(min=2, help="inputs, and units of each layer")] = 256,
    samples: Annotated[int, typer.Option(min=2, help="inputs sent through")] = 128,
    nets: Annotated[int, typer.Option(min=1, help="draws of the document's net that are averaged")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="of the weights and inputs")] = 0,
) -> Article:
    """The variance of layers' sums and of their gradients through a deep MLP, before any training.

    Sums z = Wa of n inputs with independent weights of mean 0 and variance σ² have Var z = nσ² E[a²], and gradients
    come back with the factor nσ² E[f'(z)²], n now the outputs. Near zero tanh has f' = 1, so Glorot & Bengio 2010 set
    nσ² = 1, n the mean of inputs and outputs. A ReLU halves both, E[f(z)²] = Var z/2 and E[f'(z)²] = 1/2, so He et al.
    2015 set nσ² = 2. A sigmoid has f' ≤ 1/4. Of wide layers z is normal, and both recursions are integrals (Poole et
    al. 2016, Schoenholz et al. 2017), taken by Gauss-Hermite quadrature. In a ReLU net without biases, weights c times
    as large make outputs c^L times as large over L layers, and the first layer's gradient c^(L - 1) times.
    """
    found = {
        (name, activation): measure(config, activation, depth, width, samples, seed)
        for name, config in CONFIGS.items()
        for activation in ACTIVATIONS
    }
    starts = {name: start(CONFIGS[name], 256, nets, seed) for name in COMPARED}
    layers = " → ".join(map(str, NET))
    return Article(
        "initialisation_signal",
        "Initialisation and the signal through depth",
        f"{depth} layers of {width} units, {samples} inputs, seed {seed}",
        [
            Section(
                "Through depth",
                "Above, the variance of each layer's sums over units and inputs; below, that of their gradients, "
                "where N(0, 1) comes in from behind the last layer. Inputs are N(0, 1), biases zero; normal is "
                f"N(0, {_STD:g}²), uniform ±{_LIMIT:g}, constant 0.01. Not drawn: zeros, where nothing passes, and "
                f"what is outside {_SHOWN[0]:g} to {_SHOWN[1]:g}.",
                {"signal": signal_figure(found)},
            ),
            Section(
                "At the ends",
                "The sums' variance at the last layer and the gradients' at the first. Predicted for infinite width "
                "and weights of mean 0, which ones and constant are not; a single ReLU net strays from that by a "
                f"factor of about e^√(5 · depth/width) = {exp(sqrt(5 * depth / width)):.1f}. Last, the share of the "
                "sums' variance that lies between inputs, not units: without it, a net tells no input from another. "
                "Shares below 1e-30 are rounding errors.",
                table=ends(found, depth, width),
            ),
            Section(
                f"The net that stays at chance: {layers}",
                f"With weights N(0, {_STD:g}²) and ReLU; Glorot's and He's beside. Factors of the sums' mean square "
                f"from layer to layer, means over {nets} nets; inputs are ten random patterns in [0, 1], each with "
                "noise, in place of images. Predicted is nσ²/2, in the first layer nσ². The last factor, of 10 units a "
                "net only, strays most.",
                table=factors(starts),
            ),
            Section(
                "Its gradients",
                "Root mean squares over a batch of 256, and over those with He's weights. Predicted is the product of "
                "σ/σ(He) over all other layers, for the same errors at the outputs; He's nets err alike on all inputs, "
                f"which makes theirs larger. Last, steps of SGD at rate {_RATE:g} that move a weight by its own size "
                f"if its gradient stays: the document's training had {_STEPS:,}.",
                table=gradients(starts),
            ),
            Section(
                "What it answers at first",
                f"With N(0, {_STD:g}²), nothing of the input is left at the outputs: all ten classes are equally "
                "likely, and the loss is ln 10 = 2.302585.",
                table=answers(starts),
            ),
        ],
    )


@dataclass(frozen=True, slots=True)
class Signal:
    """By layer (depth,), the first layer first."""

    forward: Tensor  # variance of the sums, over units and inputs
    backward: Tensor  # variance of the loss's gradients with respect to them
    share: Tensor  # of the forward variance, that between inputs


def random_layers(config: InitializerConfig, widths: Sequence[int], seed: int) -> list[nn.Linear]:
    """The models' own linear layers with zero biases."""
    zeros = InitializerConfig(Initializer.zeros)
    with torch.random.fork_rng(devices=[]):  # initialize() draws from torch's global generator
        torch.manual_seed(seed)
        return [
            linear(inputs, DenseConfig(units=units, weight_initializer=config, bias_initializer=zeros))
            for inputs, units in pairwise(widths)
        ]


def measure(
    config: InitializerConfig, activation: Activation, depth: int, width: int, samples: int, seed: int
) -> Signal:
    """In float64, which holds what float32 would round to zero or infinity."""
    generator = torch.Generator().manual_seed(seed)
    signal, behind = torch.randn(2, samples, width, generator=generator, dtype=torch.float64)
    sums = []
    for layer in random_layers(config, [width] * (depth + 1), seed):
        sums.append(layer.double()(signal))
        signal = function(activation)(sums[-1])
    gradients = torch.autograd.grad(signal, sums, behind)
    stacked = torch.stack(sums).detach()
    forward = stacked.flatten(1).var(1, correction=0)
    between = stacked.var(1, correction=0).mean(1)
    return Signal(forward, torch.stack(gradients).flatten(1).var(1, correction=0), between / forward)


def predict(gain: float, activation: Activation, depth: int) -> tuple[list[float], list[float]]:
    """Forward and backward variances by layer of infinitely wide layers, whose gain is nσ², for inputs N(0, 1)."""
    f, slope = function(activation), lambda z: derivative(activation, z)
    forward = [gain]
    while len(forward) < depth:
        forward.append(gain * _mean_square(f, forward[-1]))
    backward = [_mean_square(slope, forward[-1])]
    for variance in forward[-2::-1]:
        backward.append(backward[-1] * gain * _mean_square(slope, variance))
    return forward, backward[::-1]


# An even number: none lies at zero, where ReLU has its kink, and half of them on either side.
_NODES, _WEIGHTS = map(torch.from_numpy, np.polynomial.hermite_e.hermegauss(100))


def _mean_square(f: Callable[[Tensor], Tensor], variance: float) -> float:
    """E[f(z)²] over z from N(0, variance)."""
    return float((_WEIGHTS * f(sqrt(variance) * _NODES).detach() ** 2).sum() / _WEIGHTS.sum())


def ends(found: Mapping[tuple[Initializer, Activation], Signal], depth: int, width: int) -> Table:
    """Sums at the last layer and gradients at the first, measured and predicted."""
    rows: list[Row] = []
    for (name, activation), signal in found.items():
        forward, backward = predicted(name, activation, depth, width)
        rows.append({"initializer": name.name, "activation": activation.name,
                     "forward_predicted": forward, "forward_measured": float(signal.forward[-1]),
                     "backward_predicted": backward, "backward_measured": float(signal.backward[0]),
                     "share_between_inputs": _finite(signal.share[-1])})  # fmt: skip
    cells = [[_cell(value) for value in row.values()] for row in rows]
    columns = ("sums, predicted", "measured", "gradients, predicted", "measured", "between inputs")
    return Table(("initialiser", "activation", *columns), cells, "ends", rows)


def predicted(name: Initializer, activation: Activation, depth: int, width: int) -> tuple[float | None, float | None]:
    """Variances of the last layer's sums and of the first layer's gradients, of weights of mean 0."""
    if name not in VARIANCES:
        return None, None
    forward, backward = predict(width * VARIANCES[name](width, width), activation, depth)
    return forward[-1], backward[0]


def _finite(value: Tensor) -> float | None:
    return float(value) if value.isfinite() else None


def _cell(value: str | float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:.3g}" if isfinite(value) else "not finite"


def signal_figure(found: Mapping[tuple[Initializer, Activation], Signal]) -> Figure:
    """A column an activation, forward above backward."""
    with styled():
        figure = new_figure(10, 6.5)
        figure.set_layout_engine("constrained")
        panels = figure.subplots(2, len(ACTIVATIONS), sharex=True, sharey=True)
        for column, activation in enumerate(ACTIVATIONS):
            signals = {name: found[name, activation] for name in CONFIGS if name is not Initializer.zeros}
            _draw(panels[0, column], {name: signal.forward for name, signal in signals.items()})
            _draw(panels[1, column], {name: signal.backward for name, signal in signals.items()})
            panels[0, column].set_title(activation.name)
        panels[0, 0].set_ylabel("variance of sums")
        panels[1, 0].set_ylabel("variance of gradients")
        figure.supxlabel("layer")
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right center")
        return figure


def _draw(axes: Axes, variances: Mapping[Initializer, Tensor]) -> None:
    """Marks of lines that lie on one another stand at different layers."""
    depth = len(next(iter(variances.values())))
    stride = max(5, depth // 4)
    axes.set(yscale="log", ylim=_SHOWN)  # before the lines, whose range may be too wide to be fitted
    looks = zip(variances.items(), "os^vDPX*<>", cycle(COLORS), cycle(["-", "--", ":", "-."]), strict=False)
    for number, ((name, found), marker, color, line) in enumerate(looks):
        positive, every = found.where(found > 0, nan), (number % 5 * stride // 5, stride)
        axes.plot(range(1, depth + 1), positive, line, color=color, marker=marker, markevery=every, label=name.name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(FixedLocator([1e-30, 1e-20, 1e-10, 1]))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid()


@dataclass(frozen=True, slots=True)
class Start:
    """The document's net before its first step, means over draws."""

    squares: Tensor  # mean squares (6,) of the inputs and of each layer's sums
    gradients: Tensor  # root mean squares (5,) of the loss's gradients with respect to each layer's weights
    weights: Tensor  # root mean squares (5,)
    loss: float
    farthest: float  # of a class's probability from 1/10


def start(config: InitializerConfig, samples: int, nets: int, seed: int) -> Start:
    """Ten random patterns in [0, 1] and noise in place of the data set's images, with cross-entropy."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % NET[-1]
    patterns, noise = (torch.rand(rows, NET[0], generator=generator) for rows in (NET[-1], samples))
    inputs = (patterns[labels] + noise) / 2
    drawn = [_start_of_one(random_layers(config, NET, seed * nets + number), inputs, labels) for number in range(nets)]
    squares, gradients, weights, loss, farthest = (torch.stack(parts).mean(0) for parts in zip(*drawn, strict=True))
    return Start(squares, gradients.sqrt(), weights.sqrt(), float(loss), float(farthest))


def _start_of_one(layers: Sequence[nn.Linear], inputs: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """As Start has them, all as mean squares."""
    sums: list[Tensor] = []
    for layer in layers:
        sums.append(layer(sums[-1].relu() if sums else inputs))
    loss = nn.functional.cross_entropy(sums[-1], labels)
    weights = [layer.weight for layer in layers]
    gradients = torch.autograd.grad(loss, weights)
    farthest = (sums[-1].softmax(1) - 1 / NET[-1]).abs().max()
    squares = [_squares(tensors) for tensors in ([inputs, *sums], gradients, weights)]
    return *squares, loss.detach(), farthest.detach()


def _squares(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.detach().square().mean() for tensor in tensors])


def predicted_factors(name: Initializer) -> list[float]:
    """Of the mean square of the sums from layer to layer: nσ² in the first, nσ²/2 behind a ReLU."""
    return [n * VARIANCES[name](n, m) / (1 if place == 0 else 2) for place, (n, m) in enumerate(pairwise(NET))]


def factors(starts: Mapping[Initializer, Start]) -> Table:
    """From layer to layer, and their product since the inputs."""
    rows: list[Row] = []
    for name, found in starts.items():
        measured, expected = found.squares[1:] / found.squares[:-1], predicted_factors(name)
        rows += [{"initializer": name.name, "layer": _arrow(place), "factor_predicted": expected[place],
                  "factor_measured": float(measured[place]), "product_predicted": prod(expected[: place + 1]),
                  "product_measured": float(measured[: place + 1].prod())}
                 for place in range(len(expected))]  # fmt: skip
    cells = [[_cell(value) for value in row.values()] for row in rows]
    columns = ("factor, predicted", "measured", "product, predicted", "measured")
    return Table(("initialiser", "layer", *columns), cells, "factors", rows)


def _arrow(place: int) -> str:
    return f"{NET[place]} → {NET[place + 1]}"


def gradient_to_he(name: Initializer, place: int) -> float:
    """Predicted root mean square of a layer's gradient over that with He's weights."""
    others = [sizes for number, sizes in enumerate(pairwise(NET)) if number != place]
    return prod(sqrt(VARIANCES[name](n, m) / VARIANCES[Initializer.he_normal](n, m)) for n, m in others)


def gradients(starts: Mapping[Initializer, Start]) -> Table:
    """Of each layer's weights."""
    rows: list[Row] = []
    for name, found in starts.items():
        to_he = found.gradients / starts[Initializer.he_normal].gradients
        steps = found.weights / (_RATE * found.gradients)
        rows += [{"initializer": name.name, "layer": _arrow(place), "gradient": float(found.gradients[place]),
                  "to_he_predicted": gradient_to_he(name, place), "to_he_measured": float(to_he[place]),
                  "steps_to_move": float(steps[place])} for place in range(len(to_he))]  # fmt: skip
    cells = [(*map(_cell, list(row.values())[:-1]), f"{row['steps_to_move']:,.0f}") for row in rows]
    columns = ("gradient", "of He's, predicted", "measured", "steps to move by its size")
    return Table(("initialiser", "layer", *columns), cells, "gradients", rows)


def answers(starts: Mapping[Initializer, Start]) -> Table:
    """Outputs before any training, beside what training reached."""
    rows: list[Row] = [{"initializer": name.name, "reported_test_accuracy": _REPORTED_ACCURACY.get(name),
                        "output": float(found.squares[-1].sqrt()), "farthest_from_a_tenth": found.farthest,
                        "loss": found.loss} for name, found in starts.items()]  # fmt: skip
    cells = [
        (name.name, formats.metric("accuracy", _REPORTED_ACCURACY.get(name)), f"{found.squares[-1].sqrt():.2g}",
         f"{found.farthest:.2g}", f"{found.loss:.6f}") for name, found in starts.items()
    ]  # fmt: skip
    columns = ("reported test accuracy", "outputs", "farthest probability from 1/10", "loss")
    return Table(("initialiser", *columns), cells, "answers", rows)
