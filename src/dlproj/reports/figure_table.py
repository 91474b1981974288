"""Every figure of a run: what it needs, and what draws it. Nothing here imports matplotlib."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlproj.config.reference import Curves
from dlproj.reports.classification import Counts
from dlproj.runs.inspection import LAYER_FIGURES, SAMPLE_FIGURES, Inspection


@dataclass(frozen=True, slots=True)
class Material:
    """What a run has to draw from: all but the last two after training, and the last two after the test."""

    inspection: Inspection
    epochs: Mapping[int, Mapping[str, float]] = field(default_factory=dict)  # metrics by epoch, from 1
    best: int | None = None  # the best epoch
    reported: Curves | None = None
    counts: Counts = ()  # the confusion matrix of the test
    classes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RunFigure:
    """A figure of a run, figures/<name>.png; a setting figures.<name>, where there is one, can leave it out."""

    name: str
    drawn_by: str  # module.function of dlproj.reports; it returns a matplotlib Figure or an image of Pillow's
    needs: Callable[[Material], Sequence[Any]]  # the function's arguments; empty where there is nothing to draw
    of_test: bool = False  # whether it is drawn after the test instead of after training


def _noted(name: str, *more: Any) -> Callable[[Material], Sequence[Any]]:
    """What an Inspection has under this name, if it has any, and further arguments."""
    return lambda of: [noted, *more] if (noted := getattr(of.inspection, name)) else []


def _samples(name: str, title: str) -> Callable[[Material], Sequence[Any]]:
    return lambda of: [noted, of.classes, title] if (noted := getattr(of.inspection, name)) else []


FIGURES = (
    RunFigure("learning_curves", "run_figures.learning_curves", lambda of: [of.epochs, of.best, of.reported]),
    RunFigure("graph", "network_figure.network", _noted("graph")),
    RunFigure("histograms", "weights_figure.weight_histograms", _noted("histograms")),
    *(
        RunFigure(name, "run_figures.by_layer", _noted(name, title, name == "dead_units"))
        for name, title in LAYER_FIGURES.items()
    ),
    RunFigure("confusion_matrix", "run_figures.confusion_matrix", lambda of: [of.counts, of.classes], of_test=True),
    RunFigure("per_class", "run_figures.per_class", lambda of: [of.counts, of.classes], of_test=True),
    *(
        RunFigure(name, "gallery.gallery", _samples(name, title), of_test=True)
        for name, title in SAMPLE_FIGURES.items()
    ),
)
