"""A search over settings by Optuna: which trials it asks for, what it is told of them, and where that is kept."""

import json
import math
import os
import socket
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dlproj.config.checks import DISTANCE, ConfigurationError, UserError, require
from dlproj.config.metrics import better
from dlproj.config.search import SearchConfig
from dlproj.config.sweep import TrialConfig
from dlproj.reports.comparison_table import command
from dlproj.runs.comparison import at_tested_epoch
from dlproj.runs.record import Run
from dlproj.sweeps.space import Space, as_typed, sweep_as_typed
from dlproj.training.pruning import find_trial, in_one_line, make_pruner, open_storage, storage_words

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

_OWNER = "place"  # of a trial: the machine and the sweep's folder in which it runs
_CURVES = "reference_curves"  # of a study
_RUN = "run"  # of a trial: its run's folder below the sweep's
_ANOTHER = "begin another study with hydra.sweeper.study=NAME"
_COMMAND = "command"  # of a trial: the command line of its run


class Search:
    """A study, and those of its trials that run in one sweep's folder."""

    def __init__(self, config: SearchConfig, space: Space, folder: Path) -> None:
        """Open the study, or make it. Raises ConfigurationError if that is impossible."""
        self.config = config
        self.space = space
        self.folder = folder
        self.owner = f"{socket.gethostname()}:{folder.resolve()}"
        url = config.storage or str((folder / "study.journal").resolve())
        self.template = TrialConfig(
            storage=url,
            study=config.study or folder.resolve().name,
            pruner=config.pruner,
            pruner_settings=config.pruner_settings,
            monitor=config.objectives[0],
        )
        self.asked = 0  # trials that this start has run
        points = space.grid() if config.sampler == "grid" else []
        self.study = self._open(url)
        self._check_space()
        with self._in_one_line():
            for point in points:
                self.study.enqueue_trial(point, skip_if_exists=True)
        self.total = config.trials  # trials in all
        if config.sampler == "grid":
            self.total = min(self.total, len(self._trials()))

    def _open(self, url: str) -> "Study":
        import optuna

        directions = [optuna.study.StudyDirection[f"{better(one)}imize".upper()] for one in self.config.objectives]
        with in_one_line(storage_words(url)):
            self.storage = open_storage(url)
            study = optuna.create_study(
                storage=self.storage,
                study_name=self.template.study,
                pruner=make_pruner(self.config.pruner, self.template.pruner_settings),
                directions=directions,
                load_if_exists=True,
            )
            kept, wanted = study.user_attrs.get("objectives"), list(self.config.objectives)
            if kept is None and study.directions != directions:  # another program has made it
                kept = [direction.name.lower() for direction in study.directions]
            earlier = len(study.get_trials(deepcopy=False))
        # A sampler that began anew with the same seed would choose what the earlier start, or another machine, chose.
        elsewhere = zlib.crc32(self.owner.encode()) if self.config.storage else 0
        study.sampler = make_sampler(self.config, self.config.seed + earlier + elsewhere)
        require(kept in (None, wanted), f"the study has the objectives {kept}, not {wanted}: {_ANOTHER}")
        with self._in_one_line():
            study.set_user_attr("objectives", wanted)
        return study

    def _check_space(self) -> None:
        """Raise ConfigurationError for a setting that Optuna cannot choose in another way than earlier trials have."""
        from optuna.distributions import check_distribution_compatibility

        wanted = dict(self.space.parameters())
        for trial in self._trials():
            for name in (name for name in wanted if name in trial.distributions):
                try:
                    check_distribution_compatibility(trial.distributions[name], wanted[name])
                except ValueError as error:
                    raise ConfigurationError(self._differs(name, trial.distributions[name], wanted[name])) from error

    def hold_to(self, curves: Any) -> None:
        """Note by which reported curves trials are judged. Raises ConfigurationError if earlier ones were by others."""
        if DISTANCE not in self.config.objectives:
            return
        kept, wanted = self.study.user_attrs.get(_CURVES), json.loads(json.dumps(curves))
        message = f"the study {self.template.study} has trials with other reference.curves: {_ANOTHER}"
        require(kept in (None, wanted), message)
        with self._in_one_line():
            self.study.set_user_attr(_CURVES, wanted)

    def _differs(self, name: str, before: "BaseDistribution", now: "BaseDistribution") -> str:
        return (
            f"{name}={sweep_as_typed(now)}: the study {self.template.study} has trials with "
            f"{name}={sweep_as_typed(before)}, and Optuna cannot mix the two: set it as it was, or {_ANOTHER}"
        )

    def expected(self) -> int:
        """The number of trials left for this start, if no other machine works on the study."""
        return max(0, self.total - sum(trial.state.is_finished() for trial in self._trials()))

    def _trials(self) -> "list[FrozenTrial]":
        with self._in_one_line():
            return self.study.get_trials(deepcopy=False)

    def trials(self) -> "Iterator[tuple[list[str], Trial]]":
        """Each trial with the overrides that it chooses; first those that an earlier start here has left unfinished."""
        for number in self._left_behind():
            yield self._next(find_trial(replace(self.template, number=number), (self.study, self.storage)))
        while self._begun() < self.total:
            with self._in_one_line():
                trial = self.study.ask()
                trial.set_user_attr(_OWNER, self.owner)
            yield self._next(trial)

    def _next(self, trial: "Trial") -> "tuple[list[str], Trial]":
        self.asked += 1
        with self._in_one_line():
            return self.space.suggest(trial), trial

    def _in_one_line(self) -> AbstractContextManager[None]:
        return in_one_line(f"the study {self.template.study}", "; sweep.resume goes on with what is done")

    def reporting(self, trial: "Trial") -> list[str]:
        """The overrides by which the trial's run knows where to report."""
        return replace(self.template, number=trial.number).overrides()

    def _begun(self) -> int:
        return sum(self.states().values())

    def states(self) -> dict[str, int]:
        """The number of trials that have begun, by state: complete, pruned, fail or running."""
        from optuna.trial import TrialState

        begun = (trial.state for trial in self._trials() if trial.state is not TrialState.WAITING)
        return Counter(state.name.lower() for state in begun)

    def _left_behind(self) -> list[int]:
        from optuna.trial import TrialState

        running = [trial for trial in self._trials() if trial.state is TrialState.RUNNING]
        return [trial.number for trial in running if trial.user_attrs.get(_OWNER) == self.owner]

    def tell(self, trial: "Trial", run: Run | None) -> None:
        """Tell the study of a trial's run. It fails with None, a run that diverged, or a value that is not finite."""
        with self._in_one_line():
            self._tell(trial, run)

    def _tell(self, trial: "Trial", run: Run | None) -> None:
        from optuna.trial import TrialState

        if run:
            trial.set_user_attr(_RUN, os.path.relpath(run.folder.resolve(), self.folder.resolve()))
            trial.set_user_attr(_COMMAND, command(run.result))
        judged = run is not None and run.result.status != "diverged"
        values = [at_tested_epoch(run, name) for name in self.config.objectives] if run and judged else []
        if run and run.result.status == "pruned":
            self.study.tell(trial, state=TrialState.PRUNED)
        elif values and all(map(math.isfinite, values)):
            self.study.tell(trial, values)
        else:
            self.study.tell(trial, state=TrialState.FAIL)

    def best_trials(self) -> list["BestTrial"]:
        """The trials that no other beats. Raises UserError if no trial came to a value."""
        with self._in_one_line():
            best = [self._describe(trial) for trial in self.study.best_trials]
        if not best:
            raise UserError("no trial came to a value: see the reasons above, mend the space, and begin again")
        return best

    def _describe(self, trial: "FrozenTrial") -> "BestTrial":
        owner, run = trial.user_attrs.get(_OWNER, self.owner), trial.user_attrs.get(_RUN, f"trial {trial.number}")
        here = owner == self.owner and (self.folder / run).is_dir()  # and not removed since
        return BestTrial(run if here else f"{owner}/{run}", list(trial.values), _command(trial), here)


class BestTrial(NamedTuple):
    """One of the best trials of a study."""

    run: str  # its folder below the sweep's, or the whole path with the machine for a trial of another owner
    values: list[float]  # of the objectives
    command: str  # that trains it again; of an older study the chosen settings alone
    here: bool  # whether the run is in this sweep's folder


def _command(trial: "FrozenTrial") -> str:
    chosen = " ".join(f"{name}={as_typed(value)}" for name, value in trial.params.items())
    return str(trial.user_attrs.get(_COMMAND, chosen))


def make_sampler(config: SearchConfig, seed: int) -> "BaseSampler":
    """Optuna's sampler, seeded. Raises ConfigurationError for settings that it does not have."""
    from optuna import samplers

    classes = {
        "tpe": samplers.TPESampler,
        "random": samplers.RandomSampler,
        "grid": samplers.RandomSampler,  # of the points that are enqueued it takes one after the other
        "cmaes": samplers.CmaEsSampler,
        "gp": samplers.GPSampler,
    }
    with in_one_line("hydra.sweeper.sampler_settings"):
        return classes[config.sampler](**{"seed": seed % 2**32} | dict(config.sampler_settings or {}))
