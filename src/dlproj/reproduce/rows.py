"""Reported beside reproduced: a row for each figure of each experiment, and a verdict on each claim."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from dlproj.data.image_folder import ImageFolderConfig
from dlproj.reproduce.claims import Verdict, judge
from dlproj.reproduce.experiments import Point
from dlproj.reproduce.plan import PlannedRun
from dlproj.reproduce.quantities import quantities
from dlproj.reproduce.reproduction import why_it_died
from dlproj.results.record import Run, read_run

ACCURACY = "test/accuracy"


@dataclass(slots=True)
class Row:
    """One quantity of a point, over its seeds."""

    point: Point
    quantity: str
    reported: float | None
    runs: list[Run]
    died: list[str] = field(default_factory=list)  # for each seed that failed, why

    @property
    def values(self) -> list[float]:
        """A value a seed; a run that does not produce the quantity has none."""
        found = [quantities(run).get(self.quantity) for run in self.runs]
        return [value for value in found if value is not None]

    @property
    def mean(self) -> float | None:
        """Over the seeds."""
        return fmean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """The sample standard deviation over the seeds; of one seed there is none."""
        return stdev(self.values) if len(self.values) > 1 and all(map(math.isfinite, self.values)) else None

    @property
    def difference(self) -> float | None:
        """Reproduced less reported."""
        return None if self.mean is None or self.reported is None else self.mean - self.reported

    @property
    def seconds(self) -> float | None:
        """Of a training with its validation, the mean over the seeds."""
        return fmean(run.result.seconds for run in self.runs) if self.runs else None

    @property
    def remark(self) -> str:
        """What a reader must know of the figure: what it comes from, why it differs, what died."""
        remarks = [f"died: {reason}" for reason in dict.fromkeys(self.died)]
        if isinstance(self.point.config.data, ImageFolderConfig):
            remarks.append("on images of CIFAR-10, not the original")
        if self.runs and not self.values:
            remarks.append(f"a run does not produce {self.quantity}")
        if self.point.config.reference.reason and self.reported is not None:
            remarks.append(self.point.config.reference.reason)
        return "; ".join(remarks)


def rows(planned: Sequence[PlannedRun]) -> list[Row]:
    """The rows of all points, in their order; of a point without reported figures, its accuracy."""
    by_point: dict[int, list[PlannedRun]] = {}
    for one in planned:
        by_point.setdefault(id(one.point), []).append(one)
    return [row for group in by_point.values() for row in _of_point(group)]


def _of_point(planned: Sequence[PlannedRun]) -> list[Row]:
    point = planned[0].point
    runs = [read_run(one.folder) for one in planned if one.is_done()]
    died = [why_it_died(one.folder) for one in planned if not one.is_done()]
    reference = point.config.reference
    reported = reference.figures(point.config.settings())
    return [Row(point, name, reported.get(name), runs, died) for name in reported | {ACCURACY: None}]


def verdicts(rows: Sequence[Row]) -> dict[str, dict[str, Verdict]]:
    """By experiment, its claims and what the runs say of them."""
    runs = {(row.point.experiment, row.point.label): row.runs for row in rows}
    claims = {row.point.experiment: row.point.config.reference.claims for row in rows}
    return {name: {claim: judge(claim, runs) for claim in some} for name, some in claims.items()}
