"""A search over settings by Optuna: what it asks for, what it is told, and where that is kept."""

import math
import socket
import zlib
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dlproj.results.record import Run
from dlproj.settings import UserError, better, require
from dlproj.sweeps.search_config import COUNTED, SearchConfig
from dlproj.sweeps.space import Space
from dlproj.training.pruning import find_trial, in_one_line, make_pruner, open_storage
from dlproj.training.sweep_config import TrialConfig

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

_PLACE = "place"  # of a trial: the sweep's folder in which it runs, and the machine
_RUN = "run"  # of a trial: its run's folder


class Search:
    """A study, and the trials of it that run in one sweep's folder."""

    def __init__(self, config: SearchConfig, space: Space, folder: Path) -> None:
        """Open the study, or make it. Raises ConfigurationError if that is impossible."""
        installed = find_spec("optuna") is not None
        require(installed, "hydra/sweeper=optuna needs Optuna: pip install -e '.[search]'")
        self.config = config
        self.space = space
        self.place = f"{socket.gethostname()}:{folder.resolve()}"
        url = config.storage or str((folder / "study.journal").resolve())
        self.template = TrialConfig(
            storage=url,
            study=config.study or folder.resolve().name,
            pruner=config.pruner,
            pruner_settings=config.pruner_settings,
            monitor=config.objectives[0],
        )
        self.study = self._open(url)
        self.total = config.trials  # trials in all
        if config.sampler == "grid":
            points = space.all()
            self.total = min(self.total, len(points))
            for point in points:
                self.study.enqueue_trial(point, skip_if_exists=True)

    def _open(self, url: str) -> "Study":
        import optuna

        with in_one_line("hydra.sweeper.storage"):
            study = optuna.create_study(
                storage=open_storage(url),
                study_name=self.template.study,
                pruner=make_pruner(self.config.pruner, self.template.pruner_settings),
                directions=["maximize" if is_larger_better(one) else "minimize" for one in self.config.objectives],
                load_if_exists=True,
            )
        # A sampler that began anew with the same seed would choose what the earlier start, or another machine, chose.
        elsewhere = zlib.crc32(self.place.encode()) if self.config.storage else 0
        study.sampler = make_sampler(self.config, self.config.seed + len(study.trials) + elsewhere)
        kept, wanted = study.user_attrs.get("objectives"), list(self.config.objectives)
        require(kept in (None, wanted), f"the study has the objectives {kept}, not {wanted}: name another study")
        study.set_user_attr("objectives", wanted)
        return study

    def expected(self) -> int:
        """Trials that this start may run, if no other machine works on the study."""
        ended = sum(trial.state.is_finished() for trial in self.study.get_trials(deepcopy=False))
        return max(0, self.total - ended)

    def trials(self) -> "Iterator[tuple[list[str], Trial]]":
        """What one trial after the other chooses: first of those that an earlier start here has left unfinished."""
        for number in self._left_behind():
            trial = find_trial(replace(self.template, number=number), self.study)
            yield self.space.suggest(trial), trial
        while self._begun() < self.total:
            trial = self.study.ask()
            trial.set_user_attr(_PLACE, self.place)
            yield self.space.suggest(trial), trial

    def reporting(self, trial: "Trial") -> list[str]:
        """The overrides by which the trial's run knows where to report."""
        return replace(self.template, number=trial.number).overrides()

    def _begun(self) -> int:
        from optuna.trial import TrialState

        trials = self.study.get_trials(deepcopy=False)
        return sum(trial.state is not TrialState.WAITING for trial in trials)

    def _left_behind(self) -> list[int]:
        from optuna.trial import TrialState

        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [trial.number for trial in running if trial.user_attrs.get(_PLACE) == self.place]

    def tell(self, trial: "Trial", run: Run | None) -> None:
        """What came of a trial: its run, or None if it failed. So has one that diverged, or has no finite value."""
        from optuna.trial import TrialState

        if run:
            trial.set_user_attr(_RUN, run.folder.name)
        whole = run is not None and run.result.status != "diverged"
        values = [objective(run, name) for name in self.config.objectives] if run and whole else []
        if run and run.result.status == "pruned":
            self.study.tell(trial, state=TrialState.PRUNED)
        elif values and all(map(math.isfinite, values)):
            self.study.tell(trial, values)
        else:
            self.study.tell(trial, state=TrialState.FAIL)

    def front(self) -> list[tuple[str, list[float]]]:
        """Run and values of those trials that no other beats. Raises UserError if no trial came to a value."""
        best = [(str(trial.user_attrs.get(_RUN)), list(trial.values)) for trial in self.study.best_trials]
        if not best:
            raise UserError("no trial came to a value: see the reasons above, mend the space, and begin again")
        return best


def objective(run: Run, name: str) -> float:
    """Of the tested weights: the last epoch's value, or the best epoch's; NaN where there is none."""
    result = run.result
    if name in COUNTED:
        return float(getattr(result, name))
    epoch = result.best_epoch if result.tested_weights == "best" else result.last_epoch
    return run.epochs.get(epoch or 0, {}).get(name, math.nan)


def is_larger_better(name: str) -> bool:
    """Whether a search looks for a large value of an objective."""
    return name not in COUNTED and better(name) == "max"


def make_sampler(config: SearchConfig, seed: int) -> "BaseSampler":
    """Optuna's, seeded. Raises ConfigurationError for settings that it does not have."""
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
