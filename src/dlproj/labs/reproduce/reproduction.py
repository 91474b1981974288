"""Run what has not been run."""

import secrets
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

from dlproj.config.checks import ConfigurationError, UserError, require
from dlproj.data.data_files import brief
from dlproj.experiments import Point, composing, names, points, select
from dlproj.labs.reproduce.plan import FIXED, PlannedRun, length, on_images, plan, shortened
from dlproj.labs.reproduce.recorded import Key, Recorded, key, read, recorded
from dlproj.machine import usable_cores
from dlproj.runs.lock import run_lock
from dlproj.runs.record import read_result
from dlproj.sweeps.forks import Forks
from dlproj.sweeps.jobs import Job
from dlproj.sweeps.workers import run_jobs


@dataclass(frozen=True, slots=True)
class Options:
    """What `dlproj reproduce` was asked for."""

    wanted: Sequence[str]  # SUITE or SUITE/NAME; none: everything
    quick: bool
    seeds: int
    jobs: int  # runs at once
    folder: Path  # of the runs
    cifar10_images: Path | None  # a tree of images to read instead of CIFAR-10 itself
    recorded: Path | None = None  # a results.json whose runs need not be run again

    def check(self) -> None:
        """Raise ConfigurationError for folders that cannot be used."""
        tree = self.cifar10_images
        whole = tree is None or ((tree / "train").is_dir() and (tree / "test").is_dir())
        require(whole, f"--cifar10-images {tree} holds no train/ and test/: name a folder that does")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"{self.folder} cannot be made ({brief(error)}): work in another folder"
            ) from error


@dataclass(frozen=True, slots=True)
class Outcome:
    """A planned run, and what became of it: a run, or why it died; neither where it was not asked for."""

    planned: PlannedRun
    run: Recorded | None
    died: str = ""


def reproduce(options: Options) -> list[Outcome]:
    """Run what the options name and is not done; the outcomes of all experiments that were asked for or done before.

    Raises ConfigurationError before anything runs.
    """
    options.check()
    selected = select(options.wanted, names())
    earlier = read(options.recorded) if options.recorded else {}
    if earlier:
        print(f"{len(earlier)} runs of {options.recorded}; looking for what is not among them", flush=True)
    with run_lock(options.folder):
        planned = plan(_points(options, selected, earlier), _seeds(options, earlier), options.folder)
        outcomes = [Outcome(one, _found(one, earlier)) for one in planned]
        asked = {one.folder for one in planned if _is_asked(one, selected, options.seeds)}
        missing: dict[Path, PlannedRun] = {}
        for one in outcomes:
            if one.run is None and one.planned.folder in asked:
                missing.setdefault(one.planned.folder, one.planned)
        print(f"{len(asked)} runs, {len(missing)} of them to do, {options.jobs} at once", flush=True)
        died = _run(list(missing.values()), options.jobs)
    return [_after(one, missing, died) for one in outcomes if one.run or one.planned.folder in asked]


def _is_asked(planned: PlannedRun, selected: Sequence[str], seeds: int) -> bool:
    return planned.point.experiment in selected and planned.config.seed < seeds


def _after(before: Outcome, missing: dict[Path, PlannedRun], died: dict[Path, str]) -> Outcome:
    if before.planned.folder not in missing:
        return before
    found = _found(before.planned, {})
    reason = died.get(before.planned.folder, "") or "its record is damaged"
    return Outcome(before.planned, found, "" if found else reason)


def _found(planned: PlannedRun, earlier: Mapping[Key, Recorded]) -> Recorded | None:
    """The completed run in its folder, or else the recorded one of the same settings."""
    run = planned.found()
    return recorded(run) if run else earlier.get(key(planned.config.settings()))


def _seeds(options: Options, earlier: Iterable[Key]) -> int:
    """As many as are asked for, or as earlier calls have run."""
    found = [
        int(path.name.removeprefix("seed-"))
        for path in options.folder.glob("*/**/seed-*")
        if path.is_dir()
        if path.name.removeprefix("seed-").isdigit()
    ]
    return max([options.seeds, *(number + 1 for number in found), *(seed + 1 for _, seed in earlier)])


def _points(options: Options, selected: Sequence[str], earlier: Mapping[Key, Recorded]) -> list[Point]:
    """Of the experiments that are asked for or were before, whose runs may be shared; with recorded runs, of all."""
    wanted = [name for name in names() if earlier or name in selected or (options.folder / name).exists()]
    with composing(), warnings.catch_warnings(), ProcessPoolExecutor(usable_cores(), get_context("fork")) as pool:
        # From Python 3.12 on, where the process has threads: those that are forked only compose.
        warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
        found = list(chain.from_iterable(pool.map(partial(points, overrides=FIXED), wanted)))
    if options.cifar10_images:
        found = [on_images(point, options.cifar10_images.resolve()) for point in found]
    return [shortened(point) for point in found] if options.quick else found


@dataclass(slots=True, eq=False)
class _PlannedJob(Job):
    planned: PlannedRun


def _run(missing: Sequence[PlannedRun], at_once: int) -> dict[Path, str]:
    """Run them; return why runs died, by folder."""
    died: dict[Path, str] = {}
    ended = 0

    def say(job: _PlannedJob, exit_code: int) -> None:
        nonlocal ended
        ended += 1
        found = _found(job.planned, {})
        if found is None:
            died[job.folder] = job.why_it_died(exit_code)
        words = _in_words(found) if found else f"died: {died[job.folder]}"
        print(f"[{ended}/{len(missing)}] {job.planned.point} seed {job.planned.config.seed}: {words}", flush=True)

    if missing:
        import dlproj.training.run  # noqa: F401  # each run would import it for itself
    ordered = sorted(missing, key=lambda one: (one.config.seed, -length(one.config)))
    try:
        run_jobs([_PlannedJob(partial(_run_one, one), one.folder, one) for one in ordered], Forks([{}] * at_once), say)
    except (KeyboardInterrupt, SystemExit):
        print(f"interrupted: {ended} of {len(missing)} runs have ended; the same command goes on")
        raise
    return died


def _run_one(planned: PlannedRun) -> None:
    """Train, in the job's own process. A run that did not end is begun anew."""
    _set_aside(planned.folder)
    overrides = [f"+experiment={planned.point.experiment}", *planned.point.overrides, *FIXED]
    config = replace(planned.config, overwrite=True)
    from dlproj.training.run import run

    run(config, planned.folder, [*overrides, f"seed={planned.config.seed}"])


def _set_aside(folder: Path) -> None:
    """Rename the folder of a completed run, which has other settings; what did not end is for the next to replace."""
    try:
        if read_result(folder).has_ended():
            folder.rename(folder.with_name(f"{folder.name}-replaced-{secrets.token_hex(3)}"))
    except UserError:
        pass


def _in_words(found: Recorded) -> str:
    return f"{found.quantities['test/accuracy']:.2%} in {found.seconds:.1f} s"
