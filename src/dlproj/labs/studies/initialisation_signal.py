"""How the signal and the gradient grow or fade through depth, by the weights' initial distribution."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, groupby, product
from math import exp, inf, isfinite, log, nan, sqrt
from typing import Annotated, Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from torch import Tensor

from dlproj import formats
from dlproj.config.layers import Activation, Initializer
from dlproj.data.batches import generator
from dlproj.labs.studies.activation_functions import DERIVATIVES, derivative
from dlproj.labs.studies.parts import chance
from dlproj.labs.studies.parts.initial_weights import CONFIGS, CONSTANT, LIMIT, STD, VARIANCES, random_layers
from dlproj.labs.studies.parts.options import count, seed_option
from dlproj.loop_progress import progress
from dlproj.models.activations import activation_module
from dlproj.reports.article import Article, Column, Section, Table
from dlproj.reports.style import COLORS, drawing

ACTIVATIONS = tuple(DERIVATIVES)
_DRAWN = (Activation.relu, Activation.sigmoid, Activation.tanh)
_SHOWN = (1e-30, 1e6)  # of the figure; what leaves it is in the tables
Signals = Mapping[tuple[Initializer, Activation], "Signal"]


def initialisation_signal(
    depth: Annotated[int, count("layers", 2, 1000)] = 20,
    width: Annotated[int, count("inputs, and units of each layer", least=2)] = 256,
    samples: Annotated[int, count("inputs sent through", least=2)] = 128,
    nets: Annotated[int, count("draws of the document's net that are averaged", most=10_000)] = 50,
    seed: Annotated[int, seed_option("of the weights and inputs")] = 0,
) -> Article:
    """The variance of layers' sums and of their gradients through a deep MLP, before any training.

    Sums z = Wa of n inputs with independent weights of mean 0 and variance σ² have Var z = nσ² E[a²], and gradients
    come back with the factor nσ² E[f'(z)²], n now the outputs. Near zero tanh has f' = 1, so Glorot & Bengio 2010 set
    nσ² = 1, n the mean of inputs and outputs. A ReLU halves both, E[f(z)²] = Var z/2 and E[f'(z)²] = 1/2, so He et al.
    2015 set nσ² = 2. A sigmoid has f' ≤ 1/4. Of wide layers z is normal, and both recursions are integrals (Poole et
    al. 2016, Schoenholz et al. 2017), taken by the midpoint rule. In a ReLU net without biases, weights c times
    as large make outputs c^L times as large over L layers, and the first layer's gradient c^(L - 1) times.
    """
    signals = {
        (name, activation): measure(name, activation, depth, width, samples, seed)
        for name, activation in progress([*product(CONFIGS, ACTIVATIONS)], "networks")
    }
    rows = ends(signals, depth, width)
    strays = exp(sqrt(5 * depth / width))
    return Article(
        "initialisation_signal",
        "Initialisation and the signal through depth",
        f"{depth} layers of {width} units, {samples} inputs, seed {seed}",
        [
            Section(
                "Through depth",
                "Above, the variance of each layer's sums over units and inputs; below, that of their gradients, "
                "where N(0, 1) comes in from behind the last layer. Inputs are N(0, 1), biases zero; normal is "
                f"N(0, {STD:g}²), uniform ±{LIMIT:g}, constant {CONSTANT:g}. Not drawn: zeros, where nothing passes, "
                f"what is outside {_SHOWN[0]:g} to {_SHOWN[1]:g}, and the other activations, which the tables have.",
                {"signal": signal_figure(signals)},
            ),
            Section(
                "Which weights keep the signal",
                "Of each activation the initialiser whose sums and gradients end nearest to where they began: by which "
                "factor their variances change through depth, the sums' from the first layer to the last, the "
                "gradients' from the last to the first.",
                table=keepers(signals),
            ),
            Section(
                "The sums of the last layer",
                "Their variance. Last, the least and the most of measured over predicted; predictions, all of them in "
                "ends.csv, are for infinite width and weights of mean 0, which ones and constant are not. In a ReLU "
                f"net a single draw strays from them by a factor of e^±√(5 · depth/width), {1 / strays:.2g} to "
                f"{strays:.2g}, as one standard deviation: 2 max(z, 0)² has variance 5.",
                table=across(rows, "forward_measured", "forward_predicted", "ends"),
            ),
            Section(
                "The gradients of the first layer's sums",
                "Their variance.",
                table=across(rows, "backward_measured", "backward_predicted"),
            ),
            Section(
                "What the last layer tells of the inputs",
                "The share of its sums' variance that lies between inputs, not units: without it, a net tells no input "
                "from another. Shares below 1e-30 are rounding errors.",
                table=across(rows, "share_between_inputs"),
            ),
            *chance.sections(nets, seed),
        ],
    )


@dataclass(frozen=True, slots=True)
class Signal:
    """By layer (depth,), the first layer first."""

    forward: Tensor  # variance of the sums, over units and inputs
    backward: Tensor  # variance of the loss's gradients with respect to them
    share: Tensor  # of the forward variance, that between inputs


def measure(name: Initializer, activation: Activation, depth: int, width: int, samples: int, seed: int) -> Signal:
    """A random network's signal, in float64, which holds what float32 would round to zero or infinity."""
    source = generator("signal", seed)
    signal, behind = torch.randn(2, samples, width, generator=source, dtype=torch.float64)
    between_layers = activation_module(activation).double()
    sums = []
    for layer in random_layers(name, [width] * (depth + 1), seed, list(Initializer).index(name)):
        sums.append(layer.double()(signal))
        signal = between_layers(sums[-1])
    gradients = torch.autograd.grad(signal, sums, behind)
    stacked = torch.stack(sums).detach()
    forward = stacked.flatten(1).var(1, correction=0)
    between = stacked.var(1, correction=0).mean(1)
    return Signal(forward, torch.stack(gradients).flatten(1).var(1, correction=0), between / forward)


def predict(gain: float, activation: Activation, depth: int) -> tuple[list[float], list[float]]:
    """Forward and backward variances by layer of infinitely wide layers, whose gain is nσ², for inputs N(0, 1)."""
    f = activation_module(activation).double()
    slope = partial(derivative, f)
    forward = [gain]
    while len(forward) < depth:
        forward.append(gain * _mean_square(f, forward[-1]))
    backward = [_mean_square(slope, forward[-1])]
    for variance in forward[-2::-1]:
        backward.append(backward[-1] * gain * _mean_square(slope, variance))
    return forward, backward[::-1]


# An even number: none lies at zero, where ReLU has its kink, and half of them on either side. Of a function that falls
# off like the normal density, the midpoint rule's error falls faster than any power of the step.
_NODES = (torch.arange(-5000, 5000, dtype=torch.float64) + 0.5) * (12 / 5000)
_WEIGHTS = (-_NODES.square() / 2).exp()


def _mean_square(f: Callable[[Tensor], Tensor], variance: float) -> float:
    """E[f(z)²] over z from N(0, variance)."""
    return float((_WEIGHTS * f(sqrt(variance) * _NODES).detach() ** 2).sum() / _WEIGHTS.sum())


def keepers(signals: Signals) -> Table:
    """The initialiser that keeps the signal best, an activation a row."""
    rows = []
    for activation in ACTIVATIONS:
        changes = {name: _changes(signals[name, activation]) for name in CONFIGS}
        best = min(changes, key=lambda name: _farthest(changes[name]))
        rows.append((activation.name, best.name, *changes[best]))
    columns = [
        Column("activation"),
        Column("kept best by", value="initializer"),
        Column("sums", ".2g", "factor_of_sums"),
        Column("gradients", ".2g", "factor_of_gradients"),
    ]
    return Table.of_values(rows, columns, "keepers")


def _changes(signal: Signal) -> tuple[float, float]:
    """By which factor the variances of sums and of gradients change from where they come in to where they end."""
    return float(signal.forward[-1] / signal.forward[0]), float(signal.backward[0] / signal.backward[-1])


def _farthest(factors: Sequence[float]) -> float:
    """The largest distance from 1, as a logarithm; infinite where a factor is zero or not finite."""
    return max(abs(log(factor)) if isfinite(factor) and factor > 0 else inf for factor in factors)


def ends(signals: Signals, depth: int, width: int) -> list[dict[str, Any]]:
    """Sums at the last layer and gradients at the first, measured and predicted."""
    rows = []
    for (name, activation), signal in signals.items():
        forward, backward = predicted(name, activation, depth, width)
        rows.append(
            {
                "initializer": name.name,
                "activation": activation.name,
                "forward_predicted": forward,
                "forward_measured": float(signal.forward[-1]),
                "backward_predicted": backward,
                "backward_measured": float(signal.backward[0]),
                "share_between_inputs": float(signal.share[-1]) if signal.share[-1].isfinite() else None,
            }
        )
    return rows


def across(rows: Sequence[Mapping[str, Any]], key: str, expected: str = "", name: str = "") -> Table:
    """A row an initialiser, a column an activation; where something is expected, last the range of their ratios."""
    cells = []
    for initializer, group in groupby(rows, lambda row: row["initializer"]):
        by_activation = list(group)
        ratios = [row[key] / row[expected] for row in by_activation if expected and row[expected]]
        values = [_cell(row[key]) for row in by_activation]
        cells.append([initializer, *values, *([_range(ratios)] if expected else [])])
    columns = ("initialiser", *(activation.name for activation in ACTIVATIONS))
    return Table((*columns, "÷ predicted") if expected else columns, cells, name, rows if name else ())


def _range(ratios: Sequence[float]) -> str:
    return f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else formats.NONE


def predicted(name: Initializer, activation: Activation, depth: int, width: int) -> tuple[float | None, float | None]:
    """Variances of the last layer's sums and of the first layer's gradients, of weights of mean 0."""
    if name not in VARIANCES:
        return None, None
    forward, backward = predict(width * VARIANCES[name](width, width), activation, depth)
    return forward[-1], backward[0]


def _cell(value: float | None) -> str:
    if value is None:
        return formats.NONE
    return f"{value:.2g}" if isfinite(value) else "not finite"


def signal_figure(signals: Signals) -> Figure:
    """A column an activation, forward above backward."""
    with drawing(10, 6.5) as figure:
        panels = figure.subplots(2, len(_DRAWN), sharex=True, sharey=True)
        for column, activation in enumerate(_DRAWN):
            own = {name: signals[name, activation] for name in CONFIGS if name is not Initializer.zeros}
            _draw(panels[0, column], {name: signal.forward for name, signal in own.items()})
            _draw(panels[1, column], {name: signal.backward for name, signal in own.items()})
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
    for i, ((name, variance), marker, color, line) in enumerate(looks):
        positive, every = variance.where(variance > 0, nan), (i % 5 * stride // 5, stride)
        axes.plot(range(1, depth + 1), positive, line, color=color, marker=marker, markevery=every, label=name.name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(FixedLocator([1e-30, 1e-20, 1e-10, 1]))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid()
