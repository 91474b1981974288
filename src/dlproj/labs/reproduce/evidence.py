"""Do a few seeds decide a claim? It is checked on their means, and on draws of what the means could be.

A check is a function of figures, which it asks an Evidence for; it says of each of its parts whether it holds. Of a few
runs only a mean is known, and the true mean of all seeds lies about it as mean + s / √n · t(n − 1), with s the runs'
deviation: its posterior under a flat prior (Box & Tiao 1973, 2.4). The parts are asked again and again with means drawn
from there; figures of the same runs are drawn together, so that a difference between them keeps its own spread. A claim
is held where all parts hold together in 95 % of the draws. It is not held where one of its k parts fails in all but
5 % / k of them (Bonferroni), since one of many fails by chance. Otherwise these seeds do not decide it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from random import Random
from statistics import fmean
from typing import NamedTuple

from dlproj import formats
from dlproj.labs.reproduce.quantities import EXACT, STATISTICS, curve
from dlproj.labs.reproduce.recorded import Recorded

_DRAWS = 1000
_DOUBT = 0.05
Runs = Mapping[tuple[str, str], Sequence[Recorded]]  # by experiment and label, each over its seeds


class Decision(Enum):
    """What the runs say of a claim."""

    held = "held"
    not_held = "not held"
    not_decided = "not decided"  # by so few seeds
    not_judged = "not judged"  # for want of runs or of a check


class Verdict(NamedTuple):
    """What the runs say of a claim, and by which figures."""

    decision: Decision
    evidence: str


class NotRunError(Exception):
    """A check asks for what has not been run."""


class OneSeedError(Exception):
    """A check asks for a figure that differs between seeds, of which there is one."""


class Key(NamedTuple):
    """A figure of a point."""

    experiment: str
    label: str
    name: str  # a quantity, or a metric of metrics.csv
    detail: str = ""  # of a metric by epoch: which of them, or what of its curve

    def words(self) -> str:
        """The figure's name in full."""
        point = f"{self.name} of {self.experiment} {self.label}".rstrip()
        return f"{point}, {self.detail}" if self.detail else point

    def shown(self, value: float) -> str:
        """The value formatted for display."""
        return f"{value:.1f}" if self.detail == "settled epoch" else formats.quantity(self.name, value)


class Mean(NamedTuple):
    """A figure of each seed that has it, by its place among the point's runs."""

    values: dict[int, float]
    is_exact: bool  # the same with every seed

    def mean(self) -> float:
        """The mean over the seeds."""
        return fmean(self.values.values())


class Draw:
    """What the mean over all seeds of a point's figures could be: one draw, the same for all figures of a run.

    With zᵢ from N(0, 1) for each run, Σ zᵢ (xᵢ − mean) / √(n (n − 1)) is a draw of N(0, s² / n); divided by the root of
    a draw of χ²(n − 1) / (n − 1) it is one of Student's t distribution, times s / √n.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._normal: dict[int, float] = {}
        self._scale: dict[int, float] = {}

    def of(self, figure: Mean) -> float:
        """A draw of its mean. Raises OneSeedError."""
        mean, freedom = figure.mean(), len(figure.values) - 1
        if figure.is_exact:
            return mean
        if not freedom:
            raise OneSeedError
        shift = sum(self._z(run) * (value - mean) for run, value in figure.values.items())
        return mean + shift / math.sqrt(freedom * (freedom + 1)) / self._chi(freedom)

    def _z(self, run: int) -> float:
        if run not in self._normal:
            self._normal[run] = self._random.gauss()
        return self._normal[run]

    def _chi(self, freedom: int) -> float:
        if freedom not in self._scale:
            self._scale[freedom] = math.sqrt(sum(self._random.gauss() ** 2 for _ in range(freedom)) / freedom)
        return self._scale[freedom]


class Evidence:
    """The figures that checks ask for: means over the seeds, or draws of what these could be."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._means: dict[Key, Mean] = {}
        self._random: Random | None = None
        self._draws: dict[tuple[str, str], Draw] = {}

    def draw(self, random: Random) -> "Evidence":
        """From now on, give a new draw of each mean."""
        self._random = random
        self._draws = {}
        return self

    def __call__(self, experiment: str, label: str = "", quantity: str = "test/accuracy") -> float:
        """The mean of a quantity. Raises NotRunError."""
        return self._figure(Key(experiment, label, quantity), lambda run: run.quantities.get(quantity))

    def epoch(self, number: int, experiment: str, label: str = "", metric: str = "val/accuracy") -> float:
        """The mean of a metric after so many epochs. Raises NotRunError."""
        key = Key(experiment, label, metric, f"after epoch {number}")
        return self._figure(key, lambda run: run.epochs.get(number, {}).get(metric))

    def curve(self, statistic: str, experiment: str, label: str = "", metric: str = "val/loss") -> float:
        """The mean of one of STATISTICS of a metric's values by epoch. Raises NotRunError."""

        def of(run: Recorded) -> float | None:
            values = curve(run.epochs, metric)
            if not values:
                return None
            return STATISTICS[statistic](values) if all(map(math.isfinite, values)) else math.nan

        return self._figure(Key(experiment, label, metric, statistic), of)

    def _figure(self, key: Key, of: Callable[[Recorded], float | None]) -> float:
        if key not in self._means:
            self._means[key] = self._mean(key, of)
        if self._random is None:
            return self._means[key].mean()
        point = key.experiment, key.label
        if point not in self._draws:
            self._draws[point] = Draw(self._random)
        return self._draws[point].of(self._means[key])

    def _mean(self, key: Key, of: Callable[[Recorded], float | None]) -> Mean:
        runs = self._runs.get((key.experiment, key.label))
        if not runs:
            raise NotRunError(f"{key.experiment} {key.label}".rstrip())
        values = {place: value for place, run in enumerate(runs) if (value := of(run)) is not None}
        if not values:
            raise NotRunError(key.words())
        if not all(map(math.isfinite, values.values())):
            raise NotRunError(f"{key.words()}, which is not finite in each run")
        return Mean(values, is_exact=key.name in EXACT)

    def noted(self) -> str:
        """The figures that were asked for, with their means, as text."""
        return "; ".join(f"{key.words()} {key.shown(mean.mean())}" for key, mean in self._means.items())


Check = Callable[[Evidence], bool | list[bool]]  # of each part, whether it holds


def judge(check: Check | None, runs: Runs) -> Verdict:
    """Check a claim on runs by experiment and label."""
    if check is None:
        return Verdict(Decision.not_judged, "there is no check of it")
    evidence = Evidence(runs)
    try:
        _parts(check(evidence))
        random = Random(0)
        draws = [_parts(check(evidence.draw(random))) for _ in range(_DRAWS)]
    except NotRunError as missing:
        return Verdict(Decision.not_judged, f"without {missing}")
    except OneSeedError:
        return Verdict(Decision.not_decided, f"by one seed: {evidence.noted()}")
    share = fmean(map(all, draws))
    noted = evidence.noted()
    return Verdict(_decision(draws), noted if share in (0, 1) else f"{noted}; holds in {_percent(share)} of the draws")


def _parts(found: bool | list[bool]) -> list[bool]:
    return found if isinstance(found, list) else [found]


def _decision(draws: Sequence[list[bool]]) -> Decision:
    """The decision, by whether each part of the check holds in each draw."""
    if fmean(map(all, draws)) >= 1 - _DOUBT:
        return Decision.held
    lowest = min(map(fmean, zip(*draws, strict=True)))
    return Decision.not_held if lowest <= _DOUBT / len(draws[0]) else Decision.not_decided


def _percent(share: float) -> str:
    return f"{share:.0%}" if 0.005 < share < 0.995 else f"{share:.1%}"
