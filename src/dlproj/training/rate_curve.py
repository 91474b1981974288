"""The curve of a learning-rate range test: smoothed losses, and the rates that they suggest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dlproj.config.checks import UserError

_MEMORY = 0.98  # of the exponential moving average
_DIVERGED = 4.0  # times the lowest smoothed loss
LEAST_STEPS = 30  # of a test
_LEAST = 10  # steps below which a curve tells nothing
_NEAR = 20  # 1 / share of the steps that the average without a lag looks at on each side
_FALL = 5.0  # times its noise by which the averaged loss has to fall
# The lowest loss is the brink of divergence, and the best rate is usually within a factor of 2 below it (Bengio 2012,
# quoted by Smith 2017, section 3.3): √2 is the middle of that. fast.ai's "minimum" divides by 10 instead.
_BELOW = 1.4
LOWEST = f"lowest loss / {_BELOW:g}"


def smoothed(losses: Iterable[float], memory: float = _MEMORY) -> np.ndarray:
    """Exponential moving average (n,) of losses (n,), corrected for its start at 0 (Kingma & Ba 2015)."""
    average, averages = 0.0, []
    for i, loss in enumerate(losses, 1):
        average = memory * average + (1 - memory) * loss
        averages.append(average / (1 - memory**i))
    return np.array(averages)


def first_diverged(losses: Sequence[float]) -> int | None:
    """Index of the first loss that is not finite, or whose average is above 4 times the lowest before; else None."""
    values = np.array(losses, float)
    averages = smoothed(values)
    with np.errstate(invalid="ignore"):
        ended = ~np.isfinite(values) | (averages > _DIVERGED * np.fmin.accumulate(averages))
    return int(ended.argmax()) if ended.any() else None


def steepest(rates: np.ndarray, losses: np.ndarray) -> int:
    """Index of the rate (n,) at which the loss falls most per factor of the rate."""
    return int(np.argmin(np.diff(losses) / np.diff(np.log(rates))))


def valley(losses: np.ndarray) -> int:
    """Index in the middle of the longest falling subsequence of losses (n,): fast.ai's "valley".

    As fast.ai counts: half of its second third, from the index that lies its length before its end.
    """
    lengths = np.ones(len(losses), int)
    for i in range(1, len(losses)):
        lengths[i] = 1 + max(lengths[:i][losses[:i] > losses[i]], default=0)
    end, length = int(lengths.argmax()), int(lengths.max())
    third = length / 3
    return max(0, end - length + int(third) + int(third / 2))


@dataclass(frozen=True)
class RateCurve:
    """Losses of the steps of a range test, each at a higher learning rate than the one before."""

    rates: np.ndarray  # (n,), rising
    losses: np.ndarray  # (n,), finite: those before the loss diverged
    steps: int  # that were planned
    diverged: bool

    @classmethod
    def of(cls, rates: Sequence[float], losses: Sequence[float]) -> "RateCurve":
        """The curve up to where the loss diverges. Raises UserError if that is too early to tell anything.

        rates: those of all planned steps; of losses there may be fewer.
        """
        end = first_diverged(losses)
        kept = len(losses) if end is None else end
        curve = cls(np.array(rates[:kept]), np.array(losses[:kept]), len(rates), end is not None)
        if kept < _LEAST + len(rates) // 10 + 5:
            raise UserError(
                f"the loss diverged in step {kept + 1}, at {rates[kept]:.1g}: set --from lower, or --steps higher"
            )
        return curve

    @cached_property
    def smoothed(self) -> np.ndarray:
        """Bias-corrected moving average (n,) of the losses, as fast.ai's; it lags behind them."""
        return smoothed(self.losses)

    @cached_property
    def averaged(self) -> np.ndarray:
        """Mean (n,) of the moving averages from both sides, over a twentieth of the steps each: without a lag.

        A loss above twice the first counts as that: one high loss would hide the low ones before it.
        """
        memory, losses = 1 - _NEAR / self.steps, np.minimum(self.losses, 2 * self.losses[0])
        return (smoothed(losses, memory) + smoothed(losses[::-1], memory)[::-1]) / 2

    def suggestions(self) -> dict[str, float]:
        """The rates that the curve suggests, by the name of the rule; fast.ai has the first two.

        As in fast.ai, these two look neither at the first tenth of the planned steps nor at the last 5.
        """
        window = slice(self.steps // 10, -5)
        rates, losses = self.rates[window], self.smoothed[window]
        found = {"steepest slope": steepest(rates, losses), "valley": valley(losses)}
        return {name: float(rates[i]) for name, i in found.items()} | {LOWEST: float(self.rates[self._lowest]) / _BELOW}

    @property
    def _lowest(self) -> int:
        return int(self.averaged.argmin())

    @property
    def rule(self) -> str:
        """The name of the suggestion that is recommended: that of the lowest loss, if rates above it were tried."""
        return LOWEST if self.diverged or self._lowest < len(self.rates) - self.steps // 20 else "steepest slope"

    @property
    def suggestion(self) -> float:
        """The recommended rate, with two digits. Raises UserError if the loss has not fallen."""
        first = self.losses[: len(self.losses) // 4]
        noise = first.std() / (2 * self.steps / _NEAR) ** 0.5  # of an average over that many steps
        if not self.averaged.min() < first.mean() - _FALL * noise:
            raise UserError("the loss did not fall at any rate: set --steps or --to higher, or data.batch_size")
        return float(f"{self.suggestions()[self.rule]:.1e}")

    def csv(self) -> str:
        """A row a step: the learning rate, its loss, and the averaged loss."""
        rows = zip(self.rates, self.losses, self.averaged, strict=True)
        lines = [f"{rate:.6g},{loss:.6g},{mean:.6g}\n" for rate, loss, mean in rows]
        return "".join(["learning_rate,loss,averaged\n", *lines])
