"""Figures of what `dlproj find` measures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dlproj.reports.style import COLORS, GREY, drawing, log_axes, plain_log

Numbers = Sequence[float] | np.ndarray
Rows = Sequence[Mapping[str, float]]


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


def batch_size_cells(rows: Rows) -> tuple[list[str], list[tuple[str, ...]]]:
    """Columns and cells of a table of batch sizes, for people."""
    columns: list[str] = ["batch size", "steps an epoch", "ms a step", "s an epoch", "peak MiB"]
    cells: list[tuple[str, ...]] = [
        (
            f"{row['batch_size']:,}",
            f"{row['steps']:,}",
            f"{1e3 * row['step_seconds']:,.2f}",
            f"{row['epoch_seconds']:,.2f}",
            f"{row['peak_bytes'] / 2**20:,.0f}",
        )
        for row in rows
    ]
    return columns, cells


def batch_size_figure(rows: Rows, recommended: int) -> Figure:
    """Seconds of an epoch's steps by batch size, the recommended one marked."""
    sizes = [int(row["batch_size"]) for row in rows]
    seconds = [row["epoch_seconds"] for row in rows]
    with drawing(7, 4) as figure:
        axes: Any = figure.subplots()
        axes.plot(sizes, seconds, "o-", color=COLORS[0])
        axes.plot(
            recommended, seconds[sizes.index(recommended)], "o", color=COLORS[4], label=f"recommended: {recommended:,}"
        )
        log_axes(axes, sizes, base=2)
        axes.tick_params(axis="x", labelrotation=45)
        axes.set(xlabel="batch size", ylabel="seconds an epoch", title="Steps of an epoch by batch size")
        axes.legend()
        return figure
