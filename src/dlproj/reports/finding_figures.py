"""Figures of what `dlproj find` measures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dlproj.reports.style import COLORS, GREY, drawing, plain_log

Numbers = Sequence[float] | np.ndarray


def rate_figure(
    rates: Numbers, losses: Numbers, averaged: Numbers, suggestions: Mapping[str, float], recommended: float
) -> Figure:
    """Loss (n,) by learning rate (n,), each suggestion a dotted line, the recommended rate a solid one."""
    with drawing(7, 4) as figure:
        axes: Any = figure.subplots()
        axes.plot(rates, losses, color=GREY, linewidth=0.8, label="loss of the step")
        axes.plot(rates, averaged, color=COLORS[0], label="averaged")
        for color, (name, rate) in zip(COLORS[1:], suggestions.items(), strict=False):
            axes.axvline(rate, color=color, linestyle=":", label=f"{name}: {rate:.2g}")
        axes.plot(
            recommended,
            np.interp(recommended, rates, averaged),
            "o",
            color=COLORS[4],
            label=f"recommended: {recommended:g}",
        )
        low, high = float(np.min(losses)), float(losses[0])
        room = 0.1 * (high - low) + 1e-12
        axes.set_ylim(low - room, high + 5 * room)  # what comes after the loss has risen would hide the fall
        axes.set_xscale("log")
        plain_log(axes.xaxis, steps=(1,))
        axes.set(xlabel="learning rate", ylabel="loss", title="Learning-rate range test")
        axes.grid(visible=True)
        axes.legend(loc="lower left")
        return figure
