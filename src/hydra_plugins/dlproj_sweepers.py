"""What chooses the settings of the jobs of `python train.py -m`: Hydra's sweepers of the project.

Hydra imports them whenever it starts, so what is heavy is imported where it is used.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice, starmap
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from dlproj.config.search import SearchConfig
from dlproj.library_internals.hydra_internals import BasicSweeper, BasicSweeperConf
from hydra_plugins.dlproj_launchers import ParallelLauncher

if TYPE_CHECKING:
    from dlproj.runs.record import Run
    from dlproj.sweeps.search import Search


@dataclass
class GridSweeperConfig(BasicSweeperConf):
    """The settings of hydra/sweeper=basic, which replaces Hydra's own: all combinations."""

    _target_: str = "hydra_plugins.dlproj_sweepers.GridSweeper"


@dataclass
class OptunaSweeperConfig(SearchConfig):
    """The settings of hydra/sweeper=optuna."""

    _target_: str = "hydra_plugins.dlproj_sweepers.OptunaSweeper"


# Chosen in config.yaml, it could not be overridden by a file of conf/search.
ConfigStore.instance().store("basic", GridSweeperConfig, "hydra/sweeper", provider="dlproj")
ConfigStore.instance().store("optuna", OptunaSweeperConfig, "hydra/sweeper", provider="dlproj")


class GridSweeper(BasicSweeper):
    """Hydra's own sweeper, followed by the comparison of the runs, whatever launcher has run them."""

    config: DictConfig
    begun = False

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Raise ConfigurationError for a launcher or a folder that cannot be used."""
        _check(config)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    @staticmethod
    def split_arguments(overrides: list[Override], max_batch_size: int | None) -> Any:
        """All combinations of the values. Raises ConfigurationError for an interval, which has no end of them."""
        from dlproj.config.checks import require

        for one in overrides:
            message = f"{one.input_line} has no end of values: add hydra/sweeper=optuna to search among them"
            require(not one.is_interval_sweep(), message)
        return BasicSweeper.split_arguments(overrides, max_batch_size)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose the first job: a misspelt setting is in all of them, an impossible value is its job's own.

        Hydra's composes every job before the first begins, at 0.15 s each, and the launcher does it again.
        """
        super().validate_batch_is_legal(batch[:1])
        self.begun = True

    def sweep(self, arguments: list[str]) -> Any:
        """Run all combinations, and compare the runs. Raises the error of the first failed job."""
        try:
            return super().sweep(arguments)
        finally:
            if self.begun and not isinstance(sys.exception(), KeyboardInterrupt | SystemExit):
                from dlproj.sweeps.view import conclude

                conclude(Path(self.config.hydra.sweep.dir))


class OptunaSweeper(Sweeper):
    """Searches by Optuna; with ParallelLauncher a trial begins as soon as a slot is free, else in batches."""

    config: DictConfig
    launcher: Launcher
    parse: Callable[[list[str]], list[Override]]

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Raise ConfigurationError for a launcher or a folder that cannot be used."""
        _check(config)
        self.config = config
        self.parse = OverridesParser.create(config_loader=hydra_context.config_loader).parse_overrides
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search. Raises ConfigurationError before anything runs, UserError if no trial came to a value."""
        from dlproj.config.checks import require
        from dlproj.config.conversion import typed
        from dlproj.sweeps.view import conclude, tell_study

        require(find_spec("optuna") is not None, "hydra/sweeper=optuna needs Optuna: pip install -e '.[search]'")
        settings = {
            key: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for key, value in self.settings.items()
        }
        search_config = typed(SearchConfig, settings, "hydra.sweeper")
        parsed = self.parse(arguments)
        fixed = [str(one.input_line) for one in parsed if not one.is_sweep_override()]
        swept = [str(one.input_line).partition("=") for one in parsed if one.is_sweep_override()]
        params = search_config.params | {key: values for key, _, values in swept}
        folder = Path(self.config.hydra.sweep.dir)
        search = self._open(search_config, params, fixed, folder)
        OmegaConf.save(self.config, folder / "multirun.yaml")  # what dlproj resume repeats, so none that was refused
        self._run(search, fixed)
        conclude(folder)
        tell_study(search)

    def _open(
        self, search_config: SearchConfig, params: dict[str, Any], fixed: Sequence[str], folder: Path
    ) -> "Search":
        """Open the search in the folder, which is made if need be. Raises ConfigurationError."""
        from dlproj.config.checks import UserError
        from dlproj.sweeps.space import Space

        curves = OmegaConf.to_container(self.config.reference.curves)
        self._check_reference(search_config, curves, set(params))
        space = Space(params, fixed)
        from dlproj.sweeps.search import Search  # which imports torch: a wrong space is refused before

        folder.mkdir(parents=True, exist_ok=True)
        try:
            search = Search(search_config, space, folder)
            search.hold_to(curves)
        except UserError:
            with suppress(OSError):  # where there is something in it
                folder.rmdir()
            raise
        return search

    def _check_reference(self, search_config: SearchConfig, curves: Any, searched: set[str]) -> None:
        trainer = self.config.trainer
        epochs = None if "trainer.max_epochs" in searched else trainer.max_epochs
        search_config.check_reference(curves, trainer.evaluate_train or "trainer.evaluate_train" in searched, epochs)

    def _run(self, search: "Search", fixed: Sequence[str]) -> None:
        asked = (
            ([*fixed, *chosen, *search.reporting(trial)], " ".join(map(_short, chosen)), trial)
            for chosen, trial in search.trials()
        )
        if isinstance(self.launcher, ParallelLauncher):
            jobs = starmap(self.launcher.job, asked)
            self.launcher.run(jobs, search.expected(), lambda job: search.tell(job.trial, job.run))
            return
        done = 0
        while batch := list(islice(asked, self.config.sweep.jobs or 1)):
            returned = self.launcher.launch([overrides for overrides, _, _ in batch], done)
            for (_, _, trial), job in zip(batch, returned, strict=True):
                search.tell(trial, _run_of(job))
            done += len(batch)


def _check(config: DictConfig) -> None:
    """Raise ConfigurationError for a launcher that cannot be used and a folder that must not be written to."""
    from dlproj.config.checks import require
    from dlproj.config.consent import remember, sweep_token
    from dlproj.runs.manifest import holds_run, is_sweep, refuse_foreign

    choice = config.hydra.launcher
    require(OmegaConf.is_dict(choice), f"hydra.launcher={choice} sets a group: write hydra/launcher={choice}")
    slurm = "Slurm" in choice._target_
    message = "hydra/launcher=submitit_slurm needs Slurm's srun, which is not here: start it on a node of the cluster"
    require(not slurm or which("srun") is not None, message)
    folder = Path(config.hydra.sweep.dir)
    require(not holds_run(folder), f"{folder} holds a run, no sweep: set hydra.sweep.dir to another folder")
    if not is_sweep(folder):
        refuse_foreign(folder, ["multirun.yaml"])
    own, typed = config.hydra.runtime.config_sources, config.hydra.overrides
    remember(sweep_token([*typed.hydra, *typed.task], [one.path for one in own if one.provider == "command-line"]))


def _short(override: str) -> str:
    """The override with its number rounded for display."""
    from dlproj.formats import rounded

    key, _, value = override.partition("=")
    try:
        return f"{key}={rounded(float(value))}"
    except ValueError:
        return override


def _run_of(job: JobReturn) -> "Run | None":
    """The completed run of another launcher's job, in a folder that this machine sees, too; None if it failed."""
    from dlproj.config.checks import UserError
    from dlproj.runs.record import read_run

    try:
        run = read_run(Path(job.hydra_cfg.hydra.runtime.output_dir))  # type: ignore[union-attr]
    except UserError:
        return None
    return run if job.status is JobStatus.COMPLETED and run.result.has_ended() else None
