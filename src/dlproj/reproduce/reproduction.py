"""Run what has not been run, and put all of it into a table."""

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dlproj.reproduce.experiments import Point, composing, names, points, select
from dlproj.reproduce.plan import FIXED, PlannedRun, on_images, plan, shortened
from dlproj.results.record import read_result
from dlproj.run import run
from dlproj.settings import ConfigurationError, UserError
from dlproj.sweeps.pool import Job, run_jobs

LOG = "log.txt"


@dataclass(frozen=True, slots=True)
class Options:
    """What `dlproj reproduce` was asked for."""

    wanted: Sequence[str]  # SUITE or SUITE/NAME; none: everything
    quick: bool
    seeds: int
    jobs: int  # runs at once
    folder: Path  # of the runs
    cifar10_images: Path | None  # a tree of images to read instead of CIFAR-10 itself


def reproduce(options: Options) -> list[PlannedRun]:
    """Run what the options name and is not done. Returns all the runs; those that failed are not done.

    Raises ConfigurationError before anything runs.
    """
    with _alone_in(options.folder):
        planned = plan(_points(options), options.seeds, options.folder)
        missing = list({one.folder: one for one in planned if not one.is_done()}.values())
        print(f"{len(planned)} runs, {len(missing)} of them to do, {options.jobs} at once", flush=True)  # noqa: T201
        _run(missing, options.jobs)
    return planned


def _points(options: Options) -> list[Point]:
    with composing():
        found = [point for name in select(options.wanted, names()) for point in points(name, FIXED)]
    if options.cifar10_images:
        found = [on_images(point, options.cifar10_images) for point in found]
    return [shortened(point) for point in found] if options.quick else found


def _run(missing: Sequence[PlannedRun], at_once: int) -> None:
    by_log = {one.folder / LOG: one for one in missing}
    ended = 0

    def say(job: Job, exit_code: int) -> None:
        nonlocal ended
        ended += 1
        one = by_log[job.log]
        words = f"{one.point} seed {one.config.seed}: {outcome(one)}"
        print(f"[{ended}/{len(missing)}] {words}", flush=True)  # noqa: T201

    for one in missing:
        shutil.rmtree(one.folder, ignore_errors=True)  # a run that did not end, or one of other settings
    run_jobs([Job(run, (one.config, one.folder, _overrides(one)), log) for log, one in by_log.items()], at_once, say)


def _overrides(planned: PlannedRun) -> list[str]:
    return [f"+experiment={planned.point.experiment}", *planned.point.overrides, f"seed={planned.config.seed}"]


def outcome(planned: PlannedRun) -> str:
    """What a run came to in a few words: its accuracy, or why it died."""
    if not planned.is_done():
        return f"died: {why_it_died(planned.folder)}"
    result = read_result(planned.folder)
    return f"{result.metrics['test/accuracy']:.2%} in {result.seconds:.1f} s"


def why_it_died(folder: Path) -> str:
    """The reason in its summary, else the last line that it printed."""
    try:
        result = read_result(folder)
        if result.stop_reason:
            return result.stop_reason.splitlines()[0]
    except UserError:
        pass
    try:
        lines = [line for line in (folder / LOG).read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1].removeprefix("error: ") if lines else "killed without a word"


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder against a second `dlproj reproduce`, which would run the same runs into the same places."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"another dlproj reproduce works in {folder}: wait for it") from None
        yield
