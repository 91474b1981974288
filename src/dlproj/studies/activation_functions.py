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

Function = Callable[[Tensor], Tensor]
_LEAKY, _PRELU, _PRELU_SHOWN = 0.01, 0.25, 0.1  # slopes below zero: torch's, torch's first, the document's
_REPORTED = {10.0: 4.540e-5, 5.0: 6.648e-3, 0.0: 0.25}  # σ'(±x), mlp document


def _below(slope: float) -> Function:
    return lambda x: torch.where(x > 0, torch.ones_like(x), torch.full_like(x, slope))


# Derivatives in closed form. At a kink, where there is none, torch takes the one from the left.
DERIVATIVES: Mapping[Activation, Function] = {
    Activation.relu: _below(0.0),
    Activation.leaky_relu: _below(_LEAKY),
    Activation.prelu: _below(_PRELU_SHOWN),
    Activation.elu: lambda x: torch.where(x > 0, torch.ones_like(x), x.exp()),
    Activation.sigmoid: lambda x: x.sigmoid() * (1 - x.sigmoid()),
    Activation.tanh: lambda x: 1 - x.tanh() ** 2,
    Activation.swish: lambda x: x.sigmoid() * (1 + x * (1 - x.sigmoid())),
    Activation.identity: torch.ones_like,
}


def activation_functions(
    largest: Annotated[float, typer.Option(min=0.1, help="inputs from -LARGEST to LARGEST")] = 10.0,
    vanished: Annotated[float, typer.Option(min=0, help="a derivative below this counts as vanished")] = 0.01,
) -> Article:
    """Curves f(x) and derivatives f'(x) of all elementwise activations that the models offer.

    Derivatives come from torch's autograd in float64 and stand beside their closed forms. Also two identities,
    tanh x + 1 = 2 σ(2x) and swish x = x σ(x), and where derivatives vanish: a product of many such factors is what a
    deep layer's gradient is made of (Goodfellow, Bengio & Courville 2016, 8.2.5; mlp document).
    """
    inputs = torch.linspace(-largest, largest, 4001, dtype=torch.float64)
    return Article(
        "activation_functions",
        "Activation functions and their derivatives",
        f"inputs from {-largest:g} to {largest:g}",
        [
            Section("Curves", "Each function, and dashed its derivative.", {"curves": curves(inputs)}),
            Section("Autograd beside the closed form", table=agreement(inputs)),
            Section(
                "Where gradients vanish", f"Inputs at which |f'| < {vanished:g}.", table=vanishing(inputs, vanished)
            ),
            Section("The sigmoid's derivative", "As reported by the mlp document.", table=sigmoid_table()),
            Section("Identities", "The largest difference of both sides over the inputs.", table=identities(inputs)),
        ],
    )


def function(activation: Activation) -> Function:
    """As the models compute it; the parametric ReLU with the document's slope, 0.1."""
    module = activation_module(activation).double()
    if activation is Activation.prelu:
        torch.nn.init.constant_(module.get_parameter("weight"), _PRELU_SHOWN)
    return module


def derivative(activation: Activation, inputs: Tensor) -> Tensor:
    """f'(x) (N,) by autograd."""
    at = inputs.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(function(activation)(at).sum(), at)
    return slopes


def agreement(inputs: Tensor) -> Table:
    """The largest difference of autograd and closed form."""
    rows: list[Row] = []
    for activation, closed in DERIVATIVES.items():
        difference = float((derivative(activation, inputs) - closed(inputs)).abs().max())
        rows.append({"activation": activation.name, "largest_difference": difference})
    cells = [(str(row["activation"]), f"{row['largest_difference']:.1e}") for row in rows]
    return Table(("activation", "largest difference"), cells, "derivatives", rows)


def vanishing(inputs: Tensor, vanished: float) -> Table:
    """The share of the inputs, and the interval around zero in which none vanishes."""
    rows: list[Row] = []
    for activation in DERIVATIVES:
        alive = derivative(activation, inputs).abs() >= vanished
        low, high = (float(inputs[alive].min()), float(inputs[alive].max())) if alive.any() else (math.nan, math.nan)
        rows.append({"activation": activation.name, "vanished_share": float((~alive).double().mean()),
                     "alive_from": low, "alive_to": high})  # fmt: skip
    cells = [
        (str(row["activation"]), f"{row['vanished_share']:.0%}", f"{row['alive_from']:.2f} to {row['alive_to']:.2f}")
        for row in rows
    ]
    return Table(("activation", "vanished", "not between"), cells, "vanishing", rows)


def sigmoid_table() -> Table:
    """σ'(x) at the document's places."""
    places = torch.tensor(list(_REPORTED), dtype=torch.float64)
    measured = derivative(Activation.sigmoid, places).tolist()
    rows: list[Row] = [{"x": x, "reported": value, "measured": found}
            for (x, value), found in zip(_REPORTED.items(), measured, strict=True)]  # fmt: skip
    cells = [(f"±{row['x']:g}", f"{row['reported']:.4g}", f"{row['measured']:.4g}") for row in rows]
    return Table(("x", "reported", "measured"), cells, "sigmoid", rows)


def identities(inputs: Tensor) -> Table:
    """The largest difference of both sides."""
    sides = {
        "tanh x + 1 = 2 σ(2x)": (inputs.tanh() + 1, 2 * (2 * inputs).sigmoid()),
        "swish x = x σ(x)": (function(Activation.swish)(inputs), inputs * inputs.sigmoid()),
        "σ'(x) = σ(x) (1 - σ(x))": (derivative(Activation.sigmoid, inputs), inputs.sigmoid() * (1 - inputs.sigmoid())),
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
            axes.plot(inputs, derivative(activation, inputs), "--", color=INK, label="f'(x)")
            axes.set_title(activation.name.replace("_", " "))
            axes.set_ylim(-1.3, 3)
            axes.grid()
        drawn.supxlabel("x")
        drawn.axes[0].legend(loc="upper left")
        return drawn
