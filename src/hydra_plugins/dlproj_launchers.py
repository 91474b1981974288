"""What runs the jobs of `python train.py -m`: Hydra's launchers of the project.

Hydra imports them whenever it starts, so what is heavy is imported where it is used.
"""

import copy
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from dlproj.library_internals.hydra_internals import failure_of
from dlproj.start import raise_on_ctrl_c

if TYPE_CHECKING:
    from dlproj.config.root import Config
    from dlproj.config.trainer import TrainerConfig
    from dlproj.sweeps.jobs import SweepJob
    from dlproj.sweeps.sweep import Sweep
    from dlproj.sweeps.workers import Workers

_log = logging.getLogger(__name__)


@dataclass
class ParallelLauncherConfig:
    """The settings of hydra/launcher=parallel, which are those of the group `sweep`."""

    _target_: str = "hydra_plugins.dlproj_launchers.ParallelLauncher"


@dataclass
class RayLauncherConfig:
    """The settings of hydra/launcher=ray."""

    _target_: str = "hydra_plugins.dlproj_launchers.RayLauncher"
    address: str | None = None  # of a cluster; auto: the one that this machine is in; unset: a new one on this machine
    num_cpus: float | None = None  # of a run; unset: one for each of its processes
    num_gpus: float | None = None  # of a run; unset: one for each of its processes where this machine has GPUs
    options: Any = None  # further ones of ray.remote by name


ConfigStore.instance().store("parallel", ParallelLauncherConfig, "hydra/launcher", provider="dlproj")
ConfigStore.instance().store("ray", RayLauncherConfig, "hydra/launcher", provider="dlproj")


class ParallelLauncher(Launcher):
    """Runs each job in a process of its own, several at once; what an earlier start has done is kept."""

    config: DictConfig
    hydra_context: HydraContext
    task_function: TaskFunction
    sweep: "Sweep"
    forks = True  # whether its runs share what this process has read and imported

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Open the sweep's folder. Raises ConfigurationError if there is no sweep to resume."""
        from dlproj.config.checks import require
        from dlproj.launch import started_by_torchrun
        from dlproj.sweeps.sweep import Sweep, check_resumed

        setup_globals()
        HydraConfig.instance().set_config(config)
        self._said: set[str] = set()
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        OmegaConf.to_object(config.sweep)  # which refuses an empty sweep.resume
        require(not started_by_torchrun(), "-m starts each run's processes itself: set trainer=ddp, without torchrun")
        self.sweep = Sweep(Path(config.hydra.sweep.dir), config.sweep.resume is not None, self.forks)
        if self.sweep.resumes:
            check_resumed(self.sweep.folder, config.hydra.overrides.task)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Check all jobs, then run them. The return value of a failed job raises UserError."""
        common = set.intersection(*map(set, job_overrides)) if len(job_overrides) > 1 else set()
        labels = [" ".join(one for one in overrides if one not in common) for overrides in job_overrides]
        jobs = self.run(list(map(self.job, job_overrides, labels)), len(labels))
        failed = sum(job.run is None for job in jobs)
        return [_returned(job, f"{failed} of {len(jobs)} runs failed", self.sweep.folder) for job in jobs]

    def run(
        self, jobs: "Iterable[SweepJob]", total: int, ended: Callable[["SweepJob"], None] = lambda job: None
    ) -> "list[SweepJob]":
        """Run the jobs, each taken from the iterable when a slot is free, and call ended(job) as each ends."""
        trainer: Any = OmegaConf.to_object(self.config.trainer)
        settings: Any = OmegaConf.to_object(self.config.sweep)
        workers = self._workers(trainer, settings.jobs, total)
        raise_on_ctrl_c()
        self.sweep.folder.mkdir(parents=True, exist_ok=True)
        return self.sweep.run(jobs, total, workers, ended)

    def _workers(self, trainer: "TrainerConfig", at_once: int | None, total: int) -> "Workers[SweepJob]":
        import torch
        import torch.utils.tensorboard

        import dlproj.training.run  # noqa: F401  # as the line above: each run would import it for itself
        from dlproj.reports.pictures import draw_here
        from dlproj.sweeps.forks import Forks, make_slots

        torch.set_num_threads(1)  # of this process, which forks
        draw_here()
        return Forks(make_slots(trainer, total, at_once, os.environ.get("CUDA_VISIBLE_DEVICES")))

    def job(self, overrides: Sequence[str], label: str, trial: Any = None) -> "SweepJob":
        """Compose and check a job; one that is refused says why.

        label: the overrides that tell it from the others. trial: that of a search.
        """
        from dlproj.command_errors import in_one_line, is_user_error
        from dlproj.runs.new_run import checked
        from dlproj.sweeps.jobs import SweepJob

        try:
            composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            HydraConfig.instance().set_config(composed)
            config = checked(_without_hydra(composed), alone=False)
        except Exception as error:
            if not is_user_error(error):
                raise
            folder = self.sweep.folder / str(self.sweep.next_number())
            return SweepJob(lambda: None, folder, label, None, trial, reason=in_one_line(error))
        self._say_unread(config, label)
        self._place(composed, self.sweep.earlier(config))
        folder = self.sweep.folder / composed.hydra.sweep.subdir
        return SweepJob(self._task(composed), folder, label, config, trial)

    def _place(self, composed: DictConfig, earlier: Path | None) -> None:
        """Give the job its folder and number: those of the earlier run that it resumes, or new ones."""
        with read_write(composed.hydra), open_dict(composed):
            composed.trainer.progress_bar = False
            composed.hydra.sweep.dir = str(self.sweep.folder)  # its default names the choice of model and data
            if earlier:
                composed.hydra.sweep.subdir = str(earlier.relative_to(self.sweep.folder))
            number = int(earlier.name) if earlier and earlier.name.isdecimal() else self.sweep.next_number()
            composed.hydra.job.num, composed.hydra.job.id = number, str(number)

    def _say_unread(self, config: "Config", label: str) -> None:
        """Warn of a setting that has no effect in a run, once for all runs."""
        from dlproj.config.checks import ConfigurationError

        try:
            config.check_read()
        except ConfigurationError as error:
            if str(error) not in self._said:
                _log.warning("%s: %s", label or "all runs", error)
            self._said.add(str(error))

    def _task(self, composed: DictConfig) -> Callable[[], None]:
        return partial(self._train, composed)

    def _train(self, composed: DictConfig) -> None:
        """Train, in the job's own process. Raises what Hydra's job raised."""
        done = run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=composed,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        if done.status is JobStatus.FAILED:
            raise failure_of(done)


class RayLauncher(ParallelLauncher):
    """Runs each job as a task of a Ray cluster."""

    forks = False

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def _workers(self, trainer: "TrainerConfig", at_once: int | None, total: int) -> "Workers[SweepJob]":
        from dlproj.sweeps.ray_tasks import RayTasks

        options = dict(self.settings["options"] or {})
        for name, each in (("num_cpus", 1), ("num_gpus", int(trainer.uses_gpu()))):
            given = self.settings[name]
            options[name] = each * trainer.devices if given is None else given
        return RayTasks(self.settings["address"], options, at_once)

    def _task(self, composed: DictConfig) -> Callable[[], None]:
        with read_write(composed.hydra):
            OmegaConf.resolve(composed)  # by the resolvers of this process: its stamp is the sweep's
        return partial(self._train_elsewhere, composed, Singleton.get_state())

    def _train_elsewhere(self, composed: DictConfig, hydra_state: Any) -> None:
        Singleton.set_state(hydra_state)
        setup_globals()
        self._train(composed)


@dataclass
class _FailedJob(JobReturn):
    error: Exception = field(kw_only=True)

    @property  # type: ignore[misc]
    def return_value(self) -> Any:
        """Raise, without the line that Hydra would print: it was said when it happened."""
        raise self.error


def _returned(job: "SweepJob", failure: str, folder: Path) -> JobReturn:
    from dlproj.config.checks import UserError

    if job.run is not None:
        return JobReturn(overrides=job.run.result.overrides, status=JobStatus.COMPLETED)
    resume = quote(f"sweep.resume={os.path.relpath(folder)}")
    error = UserError(f"{failure}: the same command with {resume} runs what is missing")
    return _FailedJob(status=JobStatus.FAILED, error=error)


def _without_hydra(composed: DictConfig) -> DictConfig:
    task = copy.deepcopy(composed)
    with open_dict(task):
        del task["hydra"]
    return task
