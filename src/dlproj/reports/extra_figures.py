"""Figures that are no part of every run: `figures.extra` names a function of a Run that returns one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL.Image import Image

from dlproj.config.checks import require
from dlproj.config.targets import call
from dlproj.reports.run_figures import by_layer
from dlproj.runs.record import Run, read_run


def extra_figure(folder: Path, name: str, node: Mapping[str, Any]) -> Figure | Image:
    """What the function of the node makes of the run in the folder. Raises ConfigurationError where it makes none."""
    key = f"figures.extra.{name}"
    drawn: Figure | Image = call(key, node, read_run(folder))
    require(isinstance(drawn, Figure | Image), f"{key}._target_={node['_target_']} makes no {Figure.__module__}.Figure")
    return drawn


def learning_rate(run: Run) -> Figure:
    """The learning rate that each epoch began with."""
    rates = {epoch: row["learning_rate"] for epoch, row in run.epochs.items() if "learning_rate" in row}
    return by_layer({"learning rate": rates}, "Learning rate at the start of an epoch")
