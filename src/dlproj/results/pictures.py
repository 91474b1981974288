"""A run's figures/ folder: the figures that its settings ask for, drawn from its record."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib.figure import Figure

from dlproj.results import figures as draw
from dlproj.results.files import write_whole
from dlproj.results.inspection import Inspection
from dlproj.results.inspector import FiguresConfig
from dlproj.results.loggers import EpochTensorBoard
from dlproj.results.style import png
from dlproj.results.summary import RunResult


def write_figures(
    config: FiguresConfig,
    result: RunResult,
    epochs: draw.Epochs,
    inspection: Inspection,
    tensorboard: EpochTensorBoard,
) -> None:
    """Draw the run's figures into figures/*.png of its folder, and show them in TensorBoard at the last epoch."""
    with _without_garbage_collection():
        for name, figure in _chosen(config, result, epochs, inspection):
            content = png(figure)
            write_whole(Path(result.folder) / "figures" / f"{name}.png", content)
            tensorboard.log_png(f"figures/{name}", content, result.last_epoch)


def _chosen(
    config: FiguresConfig, result: RunResult, epochs: draw.Epochs, inspection: Inspection
) -> Iterator[tuple[str, Figure]]:
    if config.learning_curves:
        yield "learning_curves", draw.learning_curves(epochs, result.best_epoch)
    if config.confusion_matrix:
        yield "confusion_matrix", draw.confusion_matrix(result.confusion_matrix, result.classes)
    if config.per_class:
        yield "per_class", draw.per_class(result.confusion_matrix, result.classes)
    for name, title in draw.SAMPLE_FIGURES.items():
        if samples := getattr(inspection, name):
            yield name, draw.gallery(samples, result.classes, title)
    if inspection.histograms:
        yield "histograms", draw.weight_histograms(inspection.histograms)
    for name, label in draw.LAYER_FIGURES.items():
        if values := getattr(inspection, name):
            yield name, draw.by_layer(values, label, share=name == "dead_units")


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Matplotlib makes many objects that die with their figure: looking for garbage among them takes a tenth."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
