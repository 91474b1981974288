"""The runs of one sweep: those that are done are kept, the others run, several at once."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote

from dlproj.config.checks import DataError, UserError, require
from dlproj.config.data import DataConfig
from dlproj.config.root import Config
from dlproj.data.shared import keep
from dlproj.runs.fingerprint import completed, config_fingerprint
from dlproj.runs.lock import run_lock
from dlproj.runs.manifest import add, refuse_foreign
from dlproj.runs.record import read_settings, run_folders
from dlproj.sweeps.jobs import SweepJob
from dlproj.sweeps.pool import Job, Workers, run_jobs
from dlproj.sweeps.records import log_path, why_it_died
from dlproj.sweeps.view import View


class Sweep:
    """A folder with a run in each folder below it."""

    def __init__(self, folder: Path, resume: bool, reads_ahead: bool) -> None:
        """reads_ahead: whether its runs have what this process has read.

        Raises ConfigurationError if there is no sweep in the folder to resume.
        """
        self.folder = folder
        self.resumes = resume
        self._reads_ahead = reads_ahead
        self._read: DataConfig | None = None
        self._known: dict[str, list[Path]] = {}  # folders of earlier starts by what they hold
        self._taken: dict[Path, str] = {}  # labels of this start's jobs by their folders
        if resume:
            message = f"sweep.resume={folder} holds no runs of a sweep: name a folder of logs/sweeps"
            require((folder / "multirun.yaml").is_file(), message)  # logs/runs has runs, too
            with suppress(DataError):
                for run in run_folders([folder]):
                    self._known.setdefault(_held(run), []).append(run)
        self._next = 1 + max((int(path.name) for path in folder.glob("*") if path.name.isdecimal()), default=-1)

    def earlier(self, config: Config) -> Path | None:
        """The folder of an earlier start's run with these settings, finished or not: each is handed out once."""
        left = self._known.get(config_fingerprint(config.settings()))
        return left.pop(0) if left else None

    def number(self) -> int:
        """The next one that no run here has."""
        self._next += 1
        return self._next - 1

    def run(
        self,
        jobs: Iterable[SweepJob],
        total: int,
        workers: Workers,
        ended: Callable[[SweepJob], None] = lambda job: None,
    ) -> list[SweepJob]:
        """Run what is not done, and call ended(job) as soon as what came of a job is known. All jobs, as they ended.

        Raises ConfigurationError if another process works in the folder.
        """
        by_log: dict[Path, SweepJob] = {}

        def note(job: SweepJob) -> None:
            view.ended(job)
            ended(job)

        def process_ended(process: Job, exit_code: int) -> None:
            job = by_log.pop(process.log)
            _judge(job, exit_code)
            note(job)

        with run_lock(self.folder), View(total) as view:
            missing = self._missing(jobs, by_log, note)
            try:
                run_jobs(missing, workers, process_ended, lambda one: view.started(by_log[one.log]), view.tick)
            except (KeyboardInterrupt, SystemExit):
                where = f"{quote(f'sweep.resume={os.path.relpath(self.folder)}')} goes on"
                print(f"interrupted: {len(view.finished)} of {total} runs have ended; {where}", file=sys.stderr)
                raise
        return view.finished

    def _prefetch(self, config: Config) -> None:
        """Read what the run will, for it and the ones after it. What is wrong with the files is theirs to say."""
        if config.data != self._read:
            keep()
            with suppress(UserError):
                config.data.build(config.seed).prefetch()
        self._read = config.data

    def _missing(
        self, jobs: Iterable[SweepJob], by_log: dict[Path, SweepJob], note: Callable[[SweepJob], None]
    ) -> Iterator[Job]:
        for job in jobs:
            if job.config is not None:
                job.reason = self._taken_by(job) or self._keep_or_refuse(job, job.config)
            if job.config is None or job.kept or job.reason:
                note(job)
                continue
            if self._reads_ahead:
                self._prefetch(job.config)
            by_log[log_path(job.folder)] = job
            yield Job(job.train, (), log_path(job.folder))

    def _taken_by(self, job: SweepJob) -> str:
        """Why the job's folder is not its own; empty where it is, from now on."""
        folder = job.folder.resolve()
        if folder == self.folder.resolve():
            return f"{job.folder} is the sweep's own folder: set hydra.sweep.subdir to a name below it"
        if folder in self._taken:
            return (
                f"{job.folder} is the folder of {self._taken[folder]}, too: set hydra.sweep.subdir to what tells "
                "the runs apart, or leave it out"
            )
        self._taken[folder] = job.label
        return ""

    def _keep_or_refuse(self, job: SweepJob, config: Config) -> str:
        """Keep what is done; of what is not, take the log, or say why that cannot be."""
        if self.resumes or not config.overwrite:
            job.run = completed(job.folder, config_fingerprint(config.settings()))
            job.kept = job.run is not None
        log = os.path.relpath(log_path(job.folder), self.folder)
        try:
            if not job.kept:
                refuse_foreign(self.folder, [log])
                add(self.folder, {log: ""})
        except UserError as error:
            return str(error)
        return ""


def _held(folder: Path) -> str:
    """The identity of the run that the folder holds; of one that cannot be read, none that any run has."""
    try:
        return config_fingerprint(read_settings(folder))
    except UserError:
        return str(folder)


def _judge(job: SweepJob, exit_code: int) -> None:
    """Say what became of a job whose process has ended."""
    assert job.config is not None
    job.run = completed(job.folder, config_fingerprint(job.config.settings()))
    job.reason = "" if job.run else why_it_died(job.folder, exit_code)
