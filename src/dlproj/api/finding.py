"""Settings found by a few steps of training, from Python."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from dlproj.api.overrides import as_overrides
from dlproj.config.root import Config
from dlproj.training.rate_curve import RateCurve

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dlproj.training.batch_sizes import BatchSizes

T = TypeVar("T")


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
        from dlproj.reports.finding_figures import rate_figure

        curve = self._curve
        return _shown(rate_figure(curve.rates, curve.losses, curve.averaged, self.suggestions, self.suggestion))


class FoundBatchSize:
    """The result of trying batch sizes: what each takes, the largest that fitted, and the suggested one."""

    def __init__(self, found: "BatchSizes") -> None:
        self._rows = found.table()
        self.suggestion, self.largest, self.fastest = found.suggestion, found.largest, found.fastest.batch_size

    def __repr__(self) -> str:
        return f"<dlproj.FoundBatchSize: data.batch_size={self.suggestion}, the largest {self.largest}>"

    @property
    def table(self) -> "pd.DataFrame":
        """A row a batch size: steps an epoch, seconds a step and an epoch, bytes at the peak."""
        import pandas as pd

        return pd.DataFrame(self._rows)

    def plot(self) -> "Axes":
        """Draw the seconds of an epoch by batch size; shown at once in a notebook."""
        from dlproj.reports.finding_figures import batch_size_figure

        return _shown(batch_size_figure(self._rows, self.suggestion))


def _shown(figure: "Figure") -> "Axes":
    from dlproj.api.plots import show

    show(figure)
    return figure.axes[0]


def find_learning_rate(
    *overrides: str, lowest: float = 1e-6, highest: float = 10.0, steps: int = 200, **settings: Any
) -> FoundRate:
    """Train a few steps at rates that rise from `lowest` to `highest`, and suggest optim.learning_rate.

    overrides and keywords are those of dlproj.train(). `.suggestion` is the recommended rate, `.suggestions` those of
    all rules, `.curve` a DataFrame, and `.plot()` draws it. Nothing is kept. Raises UserError.
    """
    from dlproj.training.range_test import range_test

    return FoundRate(_tried(lambda config: range_test(config, lowest, highest, steps), overrides, settings))


def find_batch_size(*overrides: str, seconds: float = 60.0, **settings: Any) -> FoundBatchSize:
    """Time an epoch by batch size, doubled from 16 up to the largest that fits, and suggest data.batch_size.

    overrides and keywords are those of dlproj.train(). No larger size is begun after `seconds`. `.suggestion` is the
    smallest with an epoch within a fifth of the fastest, `.largest` and `.fastest` are others, `.table` is a DataFrame,
    and `.plot()` draws it. Nothing is kept. Raises UserError.
    """
    from dlproj.training.batch_sizes import try_batch_sizes

    return FoundBatchSize(_tried(lambda config: try_batch_sizes(config, seconds), overrides, settings))


def _tried(find: Callable[[Config], T], overrides: Sequence[str], settings: Mapping[str, Any]) -> T:
    from dlproj.api.composing import composed, own_errors
    from dlproj.api.process import unchanged_process

    with unchanged_process(), own_errors():
        return find(composed(as_overrides(overrides, settings))[0])
