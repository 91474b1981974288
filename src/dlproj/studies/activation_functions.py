"""Curves and derivatives of every activation that a layer can have."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated

import torch
import typer
from matplotlib.figure import Figure
from torch import Tensor

from dlproj.models.activations import Activation, activation_module
from dlproj.results.article import Article, Row, Section, Table
from dlproj.results.style import COLORS, INK, new_figure, styled
from dlproj.settings import within

Function = Callable[[Tensor], Tensor]
_LEAKY, _PRELU = 0.01, 0.1  # slopes below zero: torch's, the document's
_REPORTED = {-10.0: "4.540e-5", -5.0: "6.648e-3", 0.0: "0.25", 5.0: "6.648e-3", 10.0: "4.540e-5"}  # σ'(x), mlp document
_SEARCHED = 60.0  # from zero: all derivatives are constant to 1e-20 beyond
_CUT = (-1.3, 3.0)  # of the figure


def _below(slope: float) -> Function:
    return lambda x: torch.where(x > 0, torch.ones_like(x), torch.full_like(x, slope))


# Derivatives in closed form. At a kink, where there is none, torch takes the one from the left.
DERIVATIVES: Mapping[Activation, Function] = {
    Activation.relu: _below(0.0),
    Activation.leaky_relu: _below(_LEAKY),
    Activation.prelu: _below(_PRELU),
    Activation.elu: lambda x: torch.where(x > 0, torch.ones_like(x), x.exp()),
    Activation.sigmoid: lambda x: (2 * (x / 2).cosh()) ** -2,  # = σ(x) (1 - σ(x)), which autograd takes
    Activation.tanh: lambda x: 1 - x.tanh() ** 2,
    Activation.swish: lambda x: x.sigmoid() * (1 + x * (1 - x.sigmoid())),
    Activation.identity: torch.ones_like,
}


def activation_functions(
    largest: Annotated[float, typer.Option(help="inputs from -LARGEST to LARGEST; 0.1 to 1000")] = 10.0,
    vanished: Annotated[float, typer.Option(help="a derivative below this counts as vanished; 1e-12 to 1")] = 0.01,
) -> Article:
    """Curves f(x) and derivatives f'(x) of all elementwise activations that the models offer.

    Derivatives come from torch's autograd in float64 and stand beside their closed forms. Also two identities,
    tanh x + 1 = 2 σ(2x) and swish x = x σ(x), and where derivatives vanish: a product of many such factors is what a
    deep layer's gradient is made of (Goodfellow, Bengio & Courville 2016, 8.2.5; mlp document).
    """
    within("--largest", largest, "[0.1, 1000]")
    within("--vanished", vanished, "[1e-12, 1]")
    inputs = torch.linspace(-largest, largest, 4001, dtype=torch.float64)
    return Article(
        "activation_functions",
        "Activation functions and their derivatives",
        f"inputs from {-largest:g} to {largest:g}",
        [
            Section(
                "Curves",
                f"Each function, and dashed its derivative, where they lie between {_CUT[0]:g} and {_CUT[1]:g}. Below "
                f"zero the leaky ReLU has the slope {_LEAKY:g}, the parametric ReLU the mlp document's, {_PRELU:g}.",
                {"curves": curves(inputs)},
            ),
            Section("Autograd beside the closed form", table=agreement(inputs)),
            Section(
                "Where gradients vanish",
                f"Where |f'| < {vanished:g}, and the share of the inputs from {-largest:g} to {largest:g} there.",
                table=vanishing(largest, vanished),
            ),
            Section("The sigmoid's derivative", "As reported by the mlp document.", table=sigmoid_table()),
            Section("Identities", "The largest difference of both sides over the inputs.", table=identities(inputs)),
        ],
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


def agreement(inputs: Tensor) -> Table:
    """The largest difference of autograd and closed form."""
    rows: list[Row] = []
    for activation, closed in DERIVATIVES.items():
        difference = float((derivative(function(activation), inputs) - closed(inputs)).abs().max())
        rows.append({"activation": activation.name, "largest_difference": difference})
    cells = [(str(row["activation"]), f"{row['largest_difference']:.1e}") for row in rows]
    return Table(("activation", "largest difference"), cells, "derivatives", rows)


def vanishing(largest: float, vanished: float) -> Table:
    """The intervals, and how much of those from -largest to largest they are."""
    rows: list[Row] = []
    for activation in DERIVATIVES:
        found = intervals(function(activation), vanished)
        inside = sum(max(0.0, min(high, largest) - max(low, -largest)) for low, high in found)
        rows.append({"activation": activation.name, "vanished_share": inside / (2 * largest),
                     "intervals": ", ".join(_interval(*ends) for ends in found) or "nowhere"})  # fmt: skip
    cells = [(str(row["activation"]), f"{row['vanished_share']:.1%}", str(row["intervals"])) for row in rows]
    return Table(("activation", "share", "vanished where"), cells, "vanishing", rows)


def intervals(f: Function, vanished: float) -> list[tuple[float, float]]:
    """Where |f'| is below `vanished`, from the left, with ends that are exact to 1e-9 or infinite."""
    at = torch.linspace(-_SEARCHED, _SEARCHED, 120_002, dtype=torch.float64)  # an even number: not at the kinks
    below = derivative(f, at).abs() < vanished
    places = (below[1:] != below[:-1]).nonzero()[:, 0]
    ends = crossings(lambda x: derivative(f, x).abs() < vanished, at[places], at[places + 1])
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
    """σ'(x) at the document's places."""
    places = torch.tensor(list(_REPORTED), dtype=torch.float64)
    measured = derivative(function(Activation.sigmoid), places).tolist()
    rows: list[Row] = [{"x": x, "reported": float(value), "measured": found}
            for (x, value), found in zip(_REPORTED.items(), measured, strict=True)]  # fmt: skip
    cells = [(f"{x:g}", value, _as_reported(found, value))
             for (x, value), found in zip(_REPORTED.items(), measured, strict=True)]  # fmt: skip
    return Table(("x", "reported", "measured"), cells, "sigmoid", rows)


def _as_reported(value: float, reported: str) -> str:
    """With as many digits."""
    digits = len(reported.partition("e")[0].partition(".")[2])
    return f"{value:.{digits}e}".replace("e-0", "e-") if "e" in reported else f"{value:.{digits}f}"


def identities(inputs: Tensor) -> Table:
    """The largest difference of both sides."""
    sides = {
        "tanh x + 1 = 2 σ(2x)": (inputs.tanh() + 1, 2 * (2 * inputs).sigmoid()),
        "swish x = x σ(x)": (function(Activation.swish)(inputs), inputs * inputs.sigmoid()),
    }
    rows: list[Row] = [{"identity": name, "largest_difference": float((left - right).abs().max())}
            for name, (left, right) in sides.items()]  # fmt: skip
    cells = [(str(row["identity"]), f"{row['largest_difference']:.1e}") for row in rows]
    return Table(("identity", "largest difference"), cells, "identities", rows)


def curves(inputs: Tensor) -> Figure:
    """A panel an activation."""
    with styled():
        drawn = new_figure(10, 5)
        drawn.set_layout_engine("constrained")
        for axes, activation in zip(drawn.subplots(2, 4, sharex=True).flat, DERIVATIVES, strict=True):
            axes.plot(inputs, function(activation)(inputs).detach(), color=COLORS[0], label="f(x)")
            axes.plot(inputs, derivative(function(activation), inputs), "--", color=INK, label="f'(x)")
            axes.set_title(activation.name.replace("_", " "))
            axes.set_ylim(_CUT)
            axes.grid()
        drawn.supxlabel("x")
        drawn.axes[0].legend(loc="upper left")
        return drawn
