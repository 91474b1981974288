"""Settings found by a few steps of training, from Python."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from dlproj.api.overrides import as_overrides
from dlproj.training.rate_curve import RateCurve

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


class FoundRate:
    """The result of a learning-rate range test: its curve, and the rates that it suggests."""

    def __init__(self, curve: RateCurve) -> None:
        self._curve = curve
        self.suggestion = curve.suggestion
        self.suggestions = curve.suggestions()

    def __repr__(self) -> str:
        return f"<dlproj.FoundRate: optim.learning_rate={self.suggestion:g}, by the {self._curve.rule}>"

    @cached_property
    def curve(self) -> "pd.DataFrame":
        """A row a step: its learning_rate, its loss, and the averaged loss, by which the lowest is found."""
        import pandas as pd

        curve = self._curve
        return pd.DataFrame({"learning_rate": curve.rates, "loss": curve.losses, "averaged": curve.averaged})

    def plot(self) -> "Axes":
        """Draw the curve with its suggestions; shown at once in a notebook."""
        from dlproj.api.plots import show
        from dlproj.reports.finding_figures import rate_figure

        curve = self._curve
        figure = rate_figure(curve.rates, curve.losses, curve.averaged, self.suggestions, self.suggestion)
        show(figure)
        return figure.axes[0]


def find_learning_rate(
    *overrides: str, lowest: float = 1e-6, highest: float = 10.0, steps: int = 200, **settings: Any
) -> FoundRate:
    """Train a few steps at rates that rise from `lowest` to `highest`, and suggest optim.learning_rate.

    overrides and keywords are those of dlproj.train(). `.suggestion` is the recommended rate, `.suggestions` those of
    all rules, `.curve` a DataFrame, and `.plot()` draws it. Nothing is kept. Raises UserError.
    """
    from dlproj.api.composing import composed, own_errors
    from dlproj.api.process import unchanged_process

    with unchanged_process(), own_errors():
        config, _ = composed(as_overrides(overrides, settings))
        from dlproj.training.range_test import range_test

        return FoundRate(range_test(config, lowest, highest, steps))
