"""Curves and derivatives of every activation that a layer can have."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated

import torch
import typer
from matplotlib.figure import Figure
from torch import Tensor

from dlproj.config.checks import numbers_within, require, whole_numbers, within
from dlproj.config.layers import Activation
from dlproj.labs.studies.parts.activation_families import FAMILIES, swish_limits
from dlproj.labs.studies.parts.options import count, seed_option
from dlproj.labs.studies.parts.stacks import Layer, as_tanh, normal, outputs_of, random_layers
from dlproj.models.activations import activation_module
from dlproj.reports.article import Article, Column, Section, Table
from dlproj.reports.style import COLORS, INK, drawing

Function = Callable[[Tensor], Tensor]
_LEAKY, _PRELU = 0.01, 0.1  # slopes below zero: torch's, the document's
_REPORTED = {-10.0: "4.540e-5", -5.0: "6.648e-3", 0.0: "0.25", 5.0: "6.648e-3", 10.0: "4.540e-5"}  # σ'(x), mlp document
_SEARCHED = 60.0  # from zero: all derivatives are constant to 1e-20 beyond
_CUT = (-1.3, 3.0)  # of the figure
_FAMILIES_TO = 4.0  # where the families are drawn
_SAMPLES = 1000  # that a sigmoid network and its tanh network are compared on


def _at(f: Callable[[Tensor, float], Tensor], parameter: float, x: Tensor) -> Tensor:
    return f(x, parameter)


_LEAKY_RELU, _ELU, _SWISH = (family.derivative for family in FAMILIES.values())
# Derivatives in closed form. At a kink, where there is none, torch takes the one from the left.
DERIVATIVES: Mapping[Activation, Function] = {
    Activation.relu: partial(_at, _LEAKY_RELU, 0.0),
    Activation.leaky_relu: partial(_at, _LEAKY_RELU, _LEAKY),
    Activation.prelu: partial(_at, _LEAKY_RELU, _PRELU),
    Activation.elu: partial(_at, _ELU, 1.0),
    Activation.sigmoid: lambda x: (2 * (x / 2).cosh()) ** -2,  # = σ(x) (1 - σ(x)), which autograd takes
    Activation.tanh: lambda x: 1 - x.tanh() ** 2,
    Activation.swish: partial(_at, _SWISH, 1.0),
    Activation.identity: torch.ones_like,
}


def activation_functions(
    largest: Annotated[float, typer.Option(help="inputs from -LARGEST to LARGEST; 0.1 to 1000")] = 10.0,
    vanished: Annotated[float, typer.Option(help="a derivative below this counts as vanished; 1e-12 to 1")] = 0.01,
    relu_alphas: Annotated[
        str, typer.Option(help="slopes α below zero of leaky and parametric ReLU; 0 to 10")
    ] = "0,0.01,0.1,0.3",
    elu_alphas: Annotated[str, typer.Option(help="α of ELU; 0 to 10")] = "0.1,0.5,1,2",
    swish_betas: Annotated[str, typer.Option(help="β of Swish; 0 to 1e6")] = "0,0.01,0.5,1,2,10",
    layers: Annotated[str, typer.Option(help="hidden layers of sigmoid networks written with tanh")] = "1,2,4,8",
    units: Annotated[int, count("in each of them, and inputs and outputs", most=10_000)] = 64,
    seed: Annotated[int, seed_option("of their weights and inputs")] = 0,
) -> Article:
    """Curves f(x) and derivatives f'(x) of all elementwise activations that the models offer, and of their families.

    Derivatives come from torch's autograd in float64 and stand beside their closed forms; a product of many such
    factors is what a deep layer's gradient is made of (Goodfellow, Bengio & Courville 2016, 8.2.5; mlp document).
    Families: leaky and parametric ReLU, x or αx below zero; ELU, α(eˣ - 1) below zero; Swish, x σ(βx). For β → ∞ Swish
    is ReLU, for β → 0 it is x/2, as σ(0) = 1/2; the mlp document says x.

    As tanh x + 1 = 2 σ(2x), that is σ(z) = (tanh(z/2) + 1)/2, each sigmoid network is a tanh network, too: a hidden
    layer's W and b become W/2 and b/2, and what reads it, V and c, becomes V/2 and c + V 1/2.
    """
    within("--largest", largest, "[0.1, 1000]")
    within("--vanished", vanished, "[1e-12, 1]")
    parameters = {
        "leaky and parametric ReLU": numbers_within("--relu-alphas", relu_alphas, "[0, 10]"),
        "ELU": numbers_within("--elu-alphas", elu_alphas, "[0, 10]"),
        "Swish": numbers_within("--swish-betas", swish_betas, "[0, 1e6]"),
    }
    depths = whole_numbers("--layers", layers, such_as="1,2,4")
    require(max(depths) <= 100, f"--layers={layers} is too deep: set 100 or fewer")
    inputs = torch.linspace(-largest, largest, 4001, dtype=torch.float64)
    return Article(
        "activation_functions",
        "Activation functions and their derivatives",
        f"inputs from {-largest:g} to {largest:g}",
        [
            Section(
                "Curves",
                f"Each function, and dashed its derivative, where they lie between {_CUT[0]:g} and {_CUT[1]:g}. Below "
                f"zero the leaky ReLU has the slope {_LEAKY:g}, the parametric ReLU the mlp document's, {_PRELU:g}; "
                "ELU has α = 1, Swish β = 1.",
                {"curves": curves(inputs)},
            ),
            Section(
                "Families",
                "By parameter; above the functions, below their derivatives. x/2 and ReLU are Swish's limits.",
                {"families": families(inputs[inputs.abs() <= _FAMILIES_TO], parameters)},
            ),
            Section("Autograd beside the closed form", table=agreement(inputs, parameters)),
            Section("Limits of Swish", _ON_LIMITS, table=limits_table(inputs, parameters["Swish"])),
            Section("A sigmoid network as a tanh network", _ON_TANH, table=tanh_table(depths, units, seed)),
            Section(
                "Where gradients vanish",
                f"Where |f'| < {vanished:g}, and the share of the inputs from {-largest:g} to {largest:g} there.",
                table=vanishing(largest, vanished),
            ),
            Section("The sigmoid's derivative", "As reported by the mlp document.", table=sigmoid_table()),
            Section("Identities", "The largest difference of both sides over the inputs.", table=identities(inputs)),
        ],
    )


_ON_LIMITS = (
    "The largest difference of x σ(βx) from each over the inputs, and what it can be at most: βx²/4 from x/2, 0.278…/β "
    "from ReLU. x, which the mlp document names as the limit for β → 0, is not a limit: at β = 0 it is as far as x/2."
)
_ON_TANH = (
    "Networks with sigmoid in their hidden layers, weights N(0, 1/inputs), biases N(0, 1), and the same written with "
    f"tanh: the largest difference of their outputs over {_SAMPLES:,} inputs N(0, 1), both computed in float64 or both "
    "in float32, beside the largest output."
)


def function(activation: Activation) -> Function:
    """As the models compute it; the parametric ReLU with the document's slope, 0.1."""
    module = activation_module(activation).double()
    if activation is Activation.prelu:
        torch.nn.init.constant_(module.get_parameter("weight"), _PRELU)
    return module


def derivative(f: Function, inputs: Tensor) -> Tensor:
    """f'(x) (N,) by autograd."""
    at = inputs.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(f(at).sum(), at)
    return slopes


def agreement(inputs: Tensor, parameters: Mapping[str, Sequence[float]]) -> Table:
    """The largest difference of autograd and closed form, of the models' activations and of the families."""
    pairs = {activation.name: (function(activation), closed) for activation, closed in DERIVATIVES.items()}
    pairs |= {
        f"{name}, {family.parameter} = {value:g}": (
            partial(_at, family.function, value),
            partial(_at, family.derivative, value),
        )
        for name, family in FAMILIES.items()
        for value in parameters[name]
    }
    sides = {name: (derivative(f, inputs), closed(inputs)) for name, (f, closed) in pairs.items()}
    return _differences_table("activation", sides, "derivatives")


def _differences_table(key: str, sides: Mapping[str, tuple[Tensor, Tensor]], name: str) -> Table:
    """The largest difference of each pair of tensors (N,)."""
    values = [(label, float((left - right).abs().max())) for label, (left, right) in sides.items()]
    return Table.of_values(values, [Column(key), Column("largest difference", ".1e")], name)


def limits_table(inputs: Tensor, betas: Sequence[float]) -> Table:
    """How far Swish is from its limits, and from the document's, by β."""
    rows = [{"beta": beta, **swish_limits(inputs, beta)} for beta in sorted(betas)]
    headings = ("β", "from x/2", "at most", "from x", "from ReLU", "at most")
    columns = [Column(heading, ".3g", key) for heading, key in zip(headings, rows[0], strict=True)]
    return Table.of(rows, columns, "swish_limits")


def tanh_table(depths: Sequence[int], units: int, seed: int) -> Table:
    """The largest difference of a sigmoid network and the tanh network made of it, by hidden layers and precision."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for depth in depths:
        layers, inputs = random_layers([units] * (depth + 2), generator), normal(_SAMPLES, units, generator=generator)
        rows.append({"hidden_layers": depth, **_differences(layers, inputs)})
    values = [Column(heading, ".2g") for heading in ("float64", "float32", "largest output")]
    return Table.of(rows, [Column("hidden layers"), *values], "sigmoid_as_tanh")


def _differences(layers: Sequence[Layer], inputs: Tensor) -> dict[str, float]:
    differences = {}
    for dtype in (torch.float64, torch.float32):
        own, at = [(weights.to(dtype), biases.to(dtype)) for weights, biases in layers], inputs.to(dtype)
        by_sigmoid, by_tanh = outputs_of(own, at, torch.sigmoid), outputs_of(as_tanh(own), at, torch.tanh)
        differences[str(dtype).removeprefix("torch.")] = float((by_sigmoid - by_tanh).abs().max())
    return differences | {"largest_output": float(by_sigmoid.abs().max())}


def vanishing(largest: float, vanished: float) -> Table:
    """The intervals, and how much of those from -largest to largest they are."""
    values = []
    for activation in DERIVATIVES:
        ranges = intervals(function(activation), vanished)
        inside = sum(max(0.0, min(high, largest) - max(low, -largest)) for low, high in ranges)
        text = ", ".join(_interval(*ends) for ends in ranges) or "nowhere"
        values.append((activation.name, inside / (2 * largest), text))
    columns = [
        Column("activation"),
        Column("share", ".1%", "vanished_share"),
        Column("vanished where", value="intervals"),
    ]
    return Table.of_values(values, columns, "vanishing")


def intervals(f: Function, vanished: float) -> list[tuple[float, float]]:
    """Where |f'| is below `vanished`, from the left, with ends that are exact to 1e-9 or infinite."""
    at = torch.linspace(-_SEARCHED, _SEARCHED, 120_002, dtype=torch.float64)  # an even number: not at the kinks
    below = derivative(f, at).abs() < vanished
    i = (below[1:] != below[:-1]).nonzero()[:, 0]
    ends = crossings(lambda x: derivative(f, x).abs() < vanished, at[i], at[i + 1])
    if below[0]:
        ends = [-math.inf, *ends]
    if below[-1]:
        ends = [*ends, math.inf]
    return list(zip(ends[::2], ends[1::2], strict=True))


def crossings(holds: Function, low: Tensor, high: Tensor) -> list[float]:
    """By bisection, where between each low and high what holds at one of them begins or ends to hold."""
    at_low = holds(low)
    for _ in range(40):
        middle = (low + high) / 2
        same = holds(middle) == at_low
        low, high = middle.where(same, low), high.where(same, middle)
    return high.tolist()


def _interval(low: float, high: float) -> str:
    if low == -math.inf:
        return "everywhere" if high == math.inf else f"x < {high:.2f}"
    return f"x > {low:.2f}" if high == math.inf else f"{low:.2f} < x < {high:.2f}"


def sigmoid_table() -> Table:
    """σ'(x) at the inputs of which the document reports it."""
    inputs = torch.tensor(list(_REPORTED), dtype=torch.float64)
    measured = derivative(function(Activation.sigmoid), inputs).tolist()
    rows = [
        {"x": x, "reported": float(text), "measured": value}
        for (x, text), value in zip(_REPORTED.items(), measured, strict=True)
    ]
    columns = [
        Column("x", "g"),
        Column("reported", value=lambda row: _REPORTED[row["x"]]),
        Column("measured", value=lambda row: _as_reported(row["measured"], _REPORTED[row["x"]])),
    ]
    return Table.of(rows, columns, "sigmoid")


def _as_reported(value: float, reported: str) -> str:
    """The value with as many digits as the reported one."""
    digits = len(reported.partition("e")[0].partition(".")[2])
    return f"{value:.{digits}e}".replace("e-0", "e-") if "e" in reported else f"{value:.{digits}f}"


def identities(inputs: Tensor) -> Table:
    """The largest difference of both sides."""
    sides = {
        "tanh x + 1 = 2 σ(2x)": (inputs.tanh() + 1, 2 * (2 * inputs).sigmoid()),
        "swish x = x σ(x)": (function(Activation.swish)(inputs), inputs * inputs.sigmoid()),
    }
    return _differences_table("identity", sides, "identities")


def curves(inputs: Tensor) -> Figure:
    """A function and its derivative, a panel for each activation."""
    with drawing(10, 5) as drawn:
        for axes, activation in zip(drawn.subplots(2, 4, sharex=True).flat, DERIVATIVES, strict=True):
            axes.plot(inputs, function(activation)(inputs).detach(), color=COLORS[0], label="f(x)")
            axes.plot(inputs, derivative(function(activation), inputs), "--", color=INK, label="f'(x)")
            axes.set_title(activation.name.replace("_", " "))
            axes.set_ylim(_CUT)
            axes.grid()
        drawn.supxlabel("x")
        drawn.axes[0].legend(loc="upper left")
        return drawn


def families(inputs: Tensor, parameters: Mapping[str, Sequence[float]]) -> Figure:
    """A column a family: functions above, derivatives below, a line a parameter."""
    with drawing(10, 6.6) as drawn:
        panels = drawn.subplots(2, len(FAMILIES), sharex=True)
        for (above, below), (name, family) in zip(panels.T, FAMILIES.items(), strict=True):
            for value in parameters[name]:
                above.plot(inputs, family.function(inputs, value), label=f"{family.parameter} = {value:g}")
                below.plot(inputs, family.derivative(inputs, value))
            if name == "Swish":
                above.plot(inputs, inputs / 2, ":", color=INK, label="x/2")
                above.plot(inputs, inputs.relu(), "--", color=INK, label="ReLU")
            above.set_title(name)
            below.set_xlabel("x")
            below.legend(*above.get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
            for axes in (above, below):
                axes.grid()
        panels[0, 0].set_ylabel("f(x)")
        panels[1, 0].set_ylabel("f'(x)")
        return drawn
