"""`dlproj bench scaling`: measures every strategy, and puts it beside its formula."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from rich.console import Console
from rich.progress import Progress

from dlproj.config.checks import ConfigurationError, require
from dlproj.config.root import Config
from dlproj.experiments import composing
from dlproj.labs.scaling.cases import Case, cases, job_of, settings
from dlproj.labs.scaling.cost import Cost, Job, Rates, cost, seconds
from dlproj.labs.scaling.measure import Measured, measure


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case as predicted and as measured; one that cannot be has a reason instead."""

    case: Case
    config: Config | None = None
    cost: Cost | None = None
    rates: Rates | None = None
    measured: Measured | None = None
    why_not: str = ""

    def predicted_seconds(self) -> float | None:
        """A step by the formula, at the rates measured beside it."""
        return seconds(self.cost, self.rates) if self.cost and self.rates else None

    def efficiency(self, alone: float) -> float | None:
        """The part of the processes' time that a single one, at `alone` seconds a step, needs."""
        return alone / self.measured.seconds / self.case.processes if self.measured else None


@dataclass(frozen=True, slots=True)
class Scaling:
    """All cases of one job, the single process first."""

    job: Job
    outcomes: list[Outcome]

    def alone(self) -> float:
        """Seconds a step of the single process."""
        return self._first().seconds

    def difference(self, outcome: Outcome) -> float | None:
        """The largest difference of its weights from those of the single process, after the same steps."""
        if outcome.measured is None:
            return None
        theirs = self._first().weights
        return max(float(abs(value - theirs[name]).max()) for name, value in outcome.measured.weights.items())

    def _first(self) -> Measured:
        first = self.outcomes[0].measured
        assert first is not None
        return first


def plan(overrides: Sequence[str], processes: Sequence[int], strategies: Sequence[str]) -> Scaling:
    """The cases with their costs, nothing measured yet. Raises ConfigurationError where the job itself cannot be."""
    wanted = sorted({1, *processes})
    with composing():
        base = settings(overrides)
        job, gpu = job_of(base), base.trainer.uses_gpu()
        devices = torch.cuda.device_count() if gpu else 1
        outcomes = [_planned(overrides, case, job, gpu) for case in cases(wanted, strategies, devices)]
    require(outcomes[0].config is not None, outcomes[0].why_not)
    return Scaling(job, outcomes)


def _planned(overrides: Sequence[str], case: Case, job: Job, gpu: bool) -> Outcome:
    try:
        predicted = cost(job, case.layout, scatter_by_reduce=not gpu)
        config = settings(overrides, case, job.batch)
        config.trainer.check_machine()
    except ConfigurationError as error:
        return Outcome(case, why_not=str(error))
    return Outcome(case, config, predicted)


def measured(planned: Scaling, steps: int, progress: bool = False) -> Scaling:
    """The plan with its measurements, the cases with as many processes together."""
    outcomes: list[Outcome] = []
    with Progress(console=Console(stderr=True), disable=not progress, transient=True) as bar:
        task = bar.add_task("cases", total=len(planned.outcomes))
        for processes, group in groupby(planned.outcomes, lambda outcome: outcome.case.processes):
            outcomes += _measured(list(group), planned.job, processes, steps)
            bar.update(task, completed=len(outcomes))
    return replace(planned, outcomes=outcomes)


def _measured(planned: Sequence[Outcome], job: Job, processes: int, steps: int) -> list[Outcome]:
    possible = [outcome.config for outcome in planned if outcome.config]
    if not possible:
        return list(planned)
    rates, measurements = measure(possible, job, processes, steps)
    of_possible = iter(measurements)
    return [
        replace(outcome, rates=rates, measured=next(of_possible)) if outcome.config else outcome for outcome in planned
    ]
