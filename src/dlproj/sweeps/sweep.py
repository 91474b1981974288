"""A sweep: the runs of one folder, of which those that are done are kept and the others run, several at once."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote

from hydra.core.override_parser.types import Quote, QuotedString

from dlproj.config.checks import ConfigurationError, DataError, UserError, one_line, require
from dlproj.config.consent import admit_sweep
from dlproj.config.data import DataConfig
from dlproj.config.root import Config
from dlproj.config.whole_files import read_yaml
from dlproj.data.shared import keep
from dlproj.runs.fingerprint import config_fingerprint
from dlproj.runs.lock import run_lock
from dlproj.runs.manifest import add, refuse_foreign
from dlproj.runs.record import read_settings, run_folders
from dlproj.sweeps.jobs import SweepJob
from dlproj.sweeps.view import View
from dlproj.sweeps.workers import Workers, run_jobs


class Sweep:
    """A sweep's folder, which holds a run in each folder below it."""

    def __init__(self, folder: Path, resume: bool, prefetch: bool) -> None:
        """Raise ConfigurationError if there is no sweep in the folder to resume.

        prefetch: read the runs' data in this process, from which they are forked.
        """
        self.folder = folder
        self.resumes = resume
        self._prefetches = prefetch
        self._prefetched: DataConfig | None = None
        self._earlier: dict[str, list[Path]] = {}  # run folders of earlier starts by fingerprint
        self._taken: dict[Path, str] = {}  # labels of this start's jobs by folder
        if resume:
            message = f"sweep.resume={folder} holds no runs of a sweep: name a folder of logs/sweeps"
            require((folder / "multirun.yaml").is_file(), message)  # logs/runs has runs, too
            with suppress(DataError):
                for run in run_folders([folder]):
                    self._earlier.setdefault(_fingerprint_of(run), []).append(run)
        self._next = 1 + max((int(path.name) for path in folder.glob("*") if path.name.isdecimal()), default=-1)

    def earlier(self, config: Config) -> Path | None:
        """The folder of an earlier start's run with these settings, finished or not; each is returned once."""
        left = self._earlier.get(config_fingerprint(config.settings()))
        return left.pop(0) if left else None

    def next_number(self) -> int:
        """A number that no run of the sweep has, as the name of a new run's folder."""
        self._next += 1
        return self._next - 1

    def run(
        self,
        jobs: Iterable[SweepJob],
        total: int,
        workers: Workers[SweepJob],
        ended: Callable[[SweepJob], None] = lambda job: None,
    ) -> list[SweepJob]:
        """Run what is not done; call ended(job) for each job once its outcome is known, and return them in that order.

        Raises ConfigurationError if another process works in the folder.
        """

        def note(job: SweepJob) -> None:
            view.ended(job)
            ended(job)

        def judge(job: SweepJob, exit_code: int) -> None:
            job.judge(exit_code)
            note(job)

        with run_lock(self.folder), View(total) as view:
            try:
                run_jobs(self._missing(jobs, view.started, note), workers, judge, view.tick)
            except (KeyboardInterrupt, SystemExit):
                where = quote(os.path.relpath(self.folder))
                ended_runs = f"{len(view.finished)} of {total} runs have ended"
                print(f"interrupted: {ended_runs}; dlproj resume {where} goes on", file=sys.stderr)
                raise
        return view.finished

    def _missing(
        self, jobs: Iterable[SweepJob], begin: Callable[[SweepJob], None], note: Callable[[SweepJob], None]
    ) -> Iterator[SweepJob]:
        for job in jobs:
            if job.config is not None:
                job.reason = self._taken_by(job) or self._keep_or_refuse(job, job.config)
            if job.config is None or job.kept or job.reason:
                note(job)
                continue
            self._prefetch(job.config)
            begin(job)
            yield job

    def _prefetch(self, config: Config) -> None:
        """Read the run's data, for it and those after it; of damaged files each run speaks itself."""
        data = replace(config.data, fold=0)  # the folds are of the same samples
        if self._prefetches and data != self._prefetched:
            keep()
            with suppress(UserError):
                data.build(config.seed).prefetch()
            self._prefetched = data

    def _taken_by(self, job: SweepJob) -> str:
        """Why the job cannot have its folder; empty where it can, which is its own from now on."""
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
        """Keep a run that is done; of another reserve the log, or return why that is impossible."""
        if self.resumes or not config.overwrite:
            job.find_run()
            job.kept = job.run is not None
        log = os.path.relpath(job.log, self.folder)
        try:
            if not job.kept:
                refuse_foreign(self.folder, [log])
                add(self.folder, {log: ""})
        except UserError as error:
            return str(error)
        return ""


def _fingerprint_of(folder: Path) -> str:
    """The fingerprint of the run in the folder; of one that cannot be read, a text that is no run's."""
    try:
        return config_fingerprint(read_settings(folder))
    except UserError:
        return str(folder)


def resume_command(sweep: Path, allow_code: bool = False) -> list[str]:
    """The command line that goes on with the sweep, from Hydra's record of it.

    allow_code: also if it can run code, and is not a command that the user has given. Raises UserError.
    """
    overrides, sources = _recorded_command(sweep)
    admit_sweep(sweep, overrides, sources, allow_code)
    own_files = [part for folder in sources for part in ("--config-dir", folder)]
    quoted = QuotedString(str(sweep), Quote.single).with_quotes()  # Hydra would split it at a comma
    kept = [one for one in overrides if not one.startswith("sweep.resume=")]
    return [sys.executable, "-P", "-m", "dlproj.cli.train", "-m", *own_files, *kept, f"sweep.resume={quoted}"]


def check_resumed(sweep: Path, typed: Sequence[str]) -> None:
    """Raise ConfigurationError if the overrides typed have none of a run, which would train the defaults there."""
    if not any(map(_is_of_runs, typed)) and any(map(_is_of_runs, _recorded_command(sweep)[0])):
        folder = quote(os.path.relpath(sweep))
        way_out = f"dlproj resume {folder} repeats them, or add them here"
        raise ConfigurationError(f"sweep.resume={folder} needs the settings of the sweep: {way_out}")


def _recorded_command(sweep: Path) -> tuple[list[str], list[str]]:
    """The overrides of the sweep's last command and its folders of settings files. Raises ConfigurationError."""
    try:
        hydra = read_yaml(sweep / "multirun.yaml")["hydra"]
        overrides = [*hydra["overrides"]["hydra"], *hydra["overrides"]["task"]]
        sources = [one["path"] for one in hydra["runtime"]["config_sources"] if one["provider"] == "command-line"]
        require(all(map(_can_be_typed, overrides + sources)), "an override is none")
    except (ConfigurationError, DataError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{sweep} holds no run and no sweep: name a folder of logs/runs or logs/sweeps"
        ) from error
    return overrides, sources


def _is_of_runs(override: str) -> bool:
    return not override.startswith(("hydra.", "hydra/", "sweep."))


def _can_be_typed(text: object) -> bool:
    """True if it can be an override or a folder: an option would have Hydra do something else."""
    return isinstance(text, str) and text != "" and not text.startswith("-") and text == one_line(text)
