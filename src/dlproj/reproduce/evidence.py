"""Whether a few seeds decide a claim: checked on their means, and on what the means could be.

A check is a function of figures, which it asks an Evidence for. Of a few runs only a mean is known, and the true mean
of all seeds lies about it as mean + s / √n · t(n − 1), with s the runs' deviation: its posterior under a flat prior
(Box & Tiao 1973, 2.4). A check is asked again and again with means drawn from there. Where it holds in 95 % of the
draws the claim is held, where it fails in 95 % it is not held, and otherwise these seeds do not decide it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from random import Random
from statistics import fmean, stdev
from typing import NamedTuple

from dlproj.reproduce.quantities import EXACT, STATISTICS, curve
from dlproj.reproduce.recorded import Recorded
from dlproj.results import formats

_DRAWS = 1000
_SURE = 0.95
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
    """Which figure of which point."""

    experiment: str
    label: str
    name: str  # a quantity, or a metric of metrics.csv
    detail: str = ""  # of a metric by epoch: which of them, or what of its curve

    def words(self) -> str:
        """The figure's name in full."""
        point = f"{self.name} of {self.experiment} {self.label}".rstrip()
        return f"{point}, {self.detail}" if self.detail else point

    def shown(self, value: float) -> str:
        """A value as people read it."""
        return f"{value:.1f}" if self.detail == "settled epoch" else formats.quantity(self.name, value)


class Mean(NamedTuple):
    """A figure of each seed."""

    values: list[float]
    is_exact: bool  # the same with every seed

    def drawn(self, random: Random) -> float:
        """What the mean over all seeds could be. Raises OneSeedError."""
        mean, freedom = fmean(self.values), len(self.values) - 1
        if self.is_exact:
            return mean
        if not freedom:
            raise OneSeedError
        error = stdev(self.values) / math.sqrt(freedom + 1)
        return mean + error * _student(freedom, random) if error else mean


def _student(freedom: int, random: Random) -> float:
    """A draw from Student's t distribution."""
    return random.gauss() / math.sqrt(sum(random.gauss() ** 2 for _ in range(freedom)) / freedom)


class Evidence:
    """The figures that checks ask for: means over the seeds, or draws of what these could be."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._means: dict[Key, Mean] = {}
        self._random: Random | None = None
        self._drawn: dict[Key, float] = {}

    def draw(self, random: Random) -> "Evidence":
        """From now on, give a new draw of each mean."""
        self._random = random
        self._drawn = {}
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
            return STATISTICS[statistic](values) if values else None

        return self._figure(Key(experiment, label, metric, statistic), of)

    def _figure(self, key: Key, of: Callable[[Recorded], float | None]) -> float:
        if key not in self._means:
            self._means[key] = self._mean(key, of)
        if self._random is None:
            return fmean(self._means[key].values)
        if key not in self._drawn:
            self._drawn[key] = self._means[key].drawn(self._random)
        return self._drawn[key]

    def _mean(self, key: Key, of: Callable[[Recorded], float | None]) -> Mean:
        runs = self._runs.get((key.experiment, key.label))
        if not runs:
            raise NotRunError(f"{key.experiment} {key.label}".rstrip())
        values = [value for run in runs if (value := of(run)) is not None]
        if not values:
            raise NotRunError(key.words())
        return Mean(values, is_exact=key.name in EXACT)

    def noted(self) -> str:
        """All that was asked for."""
        return "; ".join(f"{key.words()} {key.shown(fmean(mean.values))}" for key, mean in self._means.items())


Check = Callable[[Evidence], bool]


def judge(check: Check | None, runs: Runs) -> Verdict:
    """Check a claim on runs by experiment and label."""
    if check is None:
        return Verdict(Decision.not_judged, "there is no check of it")
    evidence = Evidence(runs)
    try:
        check(evidence)
        noted = evidence.noted()
        random = Random(0)
        share = fmean(check(evidence.draw(random)) for _ in range(_DRAWS))
    except NotRunError as missing:
        return Verdict(Decision.not_judged, f"without {missing}")
    except OneSeedError:
        return Verdict(Decision.not_decided, f"by one seed: {evidence.noted()}")
    return Verdict(_decision(share), noted if share in (0, 1) else f"{noted}; holds in {_percent(share)} of the draws")


def _decision(share: float) -> Decision:
    if share >= _SURE:
        return Decision.held
    return Decision.not_held if share <= 1 - _SURE else Decision.not_decided


def _percent(share: float) -> str:
    return f"{share:.0%}" if 0.005 < share < 0.995 else f"{share:.1%}"
