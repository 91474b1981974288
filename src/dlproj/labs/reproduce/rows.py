"""Reported beside reproduced: a row for each figure of each experiment, and a verdict on each claim."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, mode, stdev
from typing import NamedTuple

from dlproj.config.reference import unmatched
from dlproj.experiments import Point
from dlproj.labs.reproduce.claims import CLAIMS
from dlproj.labs.reproduce.evidence import Decision, Verdict, judge
from dlproj.labs.reproduce.quantities import LABELS
from dlproj.labs.reproduce.recorded import Recorded
from dlproj.labs.reproduce.reproduction import Outcome

ACCURACY = "test/accuracy"
UNEXPLAINED = "not explained"  # how a reason begins that tells what was tried in vain
NEAR = 0.015  # accuracies that differ by no more need no reason


@dataclass(frozen=True)
class Row:
    """One quantity of a point, over its seeds."""

    point: Point
    quantity: str
    reported: float | None
    runs: list[Recorded]
    died: list[str]  # for each seed that failed, why

    @cached_property
    def values(self) -> list[float]:
        """A value a seed; a run that does not produce the quantity has none."""
        found = [run.quantities.get(self.quantity) for run in self.runs]
        return [value for value in found if value is not None]

    @property
    def mean(self) -> float | None:
        """The mean over the seeds; of a label, the most frequent one."""
        if not self.values:
            return None
        return mode(self.values) if self.quantity in LABELS else fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation over the seeds; of one seed there is none, nor of a label."""
        numbers = self.quantity not in LABELS and all(map(math.isfinite, self.values))
        return stdev(self.values) if numbers and len(self.values) > 1 else None

    @property
    def difference(self) -> float | None:
        """Reproduced minus reported; None where either is missing."""
        return None if self.mean is None or self.reported is None else self.mean - self.reported

    @property
    def is_near(self) -> bool:
        """True if nothing has to be explained: there is nothing to compare, or the figures are the same."""
        near = NEAR if self.quantity.endswith("accuracy") else 0.0
        return self.difference is None or abs(self.difference) <= near

    @property
    def seconds(self) -> float | None:
        """The duration of training with its validation, the mean over the seeds."""
        return fmean(run.seconds for run in self.runs) if self.runs else None

    @property
    def reason(self) -> str:
        """Why the figure differs; empty where it does not or nobody knows."""
        config = self.point.config
        return "" if self.is_near else config.reference.reason(self.quantity, config.settings())

    @property
    def is_explained(self) -> bool:
        """True if the figure differs for a reason that was tested."""
        return bool(self.reason) and not self.reason.startswith(UNEXPLAINED)

    @property
    def remark(self) -> str:
        """What a reader must know of the figure: what it comes from, why it differs, what died."""
        remarks = [f"died: {reason}" for reason in dict.fromkeys(self.died)]
        if self.point.config.data.own_files:
            remarks.append("on images of CIFAR-10, not the original")
            if len({run.data_fingerprint for run in self.runs}) > 1:
                remarks.append("its runs read different images")
        if self.runs and not self.values:
            remarks.append(f"a run does not produce {self.quantity}")
        remarks += self._unmatched()
        remarks.append(self.reason)
        return "; ".join(filter(None, remarks))

    def _unmatched(self) -> list[str]:
        """What the first run has nothing to set beside, of the reported curves; said once a point."""
        if self.quantity != ACCURACY or not self.runs:
            return []
        config = self.point.config
        return unmatched(config.reference.curves_of(config.settings()), self.runs[0].epochs)


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """The rows of all points, in their order; of a point without reported figures, its accuracy."""
    by_point: dict[tuple[str, str], list[Outcome]] = {}
    for one in outcomes:
        by_point.setdefault((one.planned.point.experiment, one.planned.point.label), []).append(one)
    return [row for _, group in sorted(by_point.items(), key=lambda item: item[0][0]) for row in _of_point(group)]


def _of_point(outcomes: Sequence[Outcome]) -> list[Row]:
    point = outcomes[0].planned.point
    runs = [one.run for one in outcomes if one.run]
    died = [one.died for one in outcomes if one.died]
    reported = point.config.reference.figures(point.config.settings())
    return [Row(point, name, reported.get(name), runs, died) for name in reported | {ACCURACY: None}]


class Judged(NamedTuple):
    """A claim of an experiment's document, or a finding of ours, and what the runs say of it."""

    experiment: str
    claim: str
    is_ours: bool
    verdict: Verdict


def judgements(rows: Sequence[Row], quick: bool) -> list[Judged]:
    """Every claim and finding of the experiments, in their order; a quick run says nothing of them."""
    runs = {(row.point.experiment, row.point.label): row.runs for row in rows}
    references = {row.point.experiment: row.point.config.reference for row in rows}
    unjudged = Verdict(Decision.not_judged, "by a quick run")
    return [
        Judged(name, claim, ours, unjudged if quick else judge(CLAIMS.get(claim), runs))
        for name, reference in references.items()
        for ours, claims in ((False, reference.claims), (True, reference.findings))
        for claim in claims
    ]
