"""Times in figures and tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from dlproj.labs.studies.parts.timing import QUARTILES, error_bars
from dlproj.reports.article import Column


def plot_quartiles(axes: Axes, x: Sequence[float], quartiles: ArrayLike, **style: Any) -> None:
    """Medians over x (N,) with bars from the first to the third of quartiles (N, 3)."""
    low, median, high = np.array(quartiles).reshape(-1, 3).T.tolist()
    axes.errorbar(x, median, error_bars(low, median, high), capsize=3, **style)


def _range(row: Mapping[str, Any]) -> str:
    low, _, high = (1e3 * row[name] for name in QUARTILES)
    return f"{low:,.3f} to {high:,.3f}"


QUARTILE_COLUMNS = [Column("median (ms)", ",.3f", "median_seconds", 1e3), Column("quartiles (ms)", value=_range)]
