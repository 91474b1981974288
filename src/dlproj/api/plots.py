"""The figures of a run's page, drawn for a notebook."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dlproj.config.checks import UserError, one_of
from dlproj.runs.record import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = ("learning_curves", "confusion_matrix", "per_class")


def draw(run: Run, name: str) -> "Axes | Sequence[Axes]":
    """Draw one of FIGURES, show it where this is a notebook, and return its axes, one or several.

    Raises UserError for another name, or for a run that was not tested.
    """
    one_of("figure", name, FIGURES)
    figure = _figure(run, name)
    show(figure)
    axes = figure.axes
    return axes[0] if len(axes) == 1 else axes


def _figure(run: Run, name: str) -> "Figure":
    from dlproj.reports import run_figures

    result = run.result
    if name == "learning_curves":
        return run_figures.learning_curves(run.epochs, result.best_epoch, result.reference_curves)
    if not result.confusion_matrix:
        raise UserError(f"{run.folder} was not tested: plot learning_curves")
    return getattr(run_figures, name)(result.confusion_matrix, result.classes)


def show(figure: "Figure") -> None:
    """Display the figure in a notebook's output; elsewhere the caller saves it: `axes.figure.savefig(path)`."""
    try:
        from IPython import get_ipython
        from IPython.core.pylabtools import print_figure
        from IPython.display import display
    except ImportError:
        return
    if get_ipython() is not None:  # which knows how to draw a figure only after `import matplotlib.pyplot`
        display({"image/png": print_figure(figure, base64=True), "text/plain": repr(figure)}, raw=True)
