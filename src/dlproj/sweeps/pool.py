"""Jobs in processes of their own, several at once, forked after the heavy imports so that they start in a moment."""

import ctypes
import gc
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from dlproj.settings import UserError

_GRACE = 10.0  # seconds that jobs have to write their records when they are stopped
_TICK = 0.5  # seconds
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


@dataclass(frozen=True, slots=True)
class Job:
    """A function called in a process of its own, what it prints going to a file."""

    function: Callable[..., object]
    arguments: tuple[Any, ...]
    log: Path


Place = Mapping[str, str]  # environment variables of the jobs that run there, such as the GPU that is theirs


def run_jobs(
    jobs: Iterable[Job],
    places: Sequence[Place],
    ended: Callable[[Job, int], None],
    started: Callable[[Job], None] = lambda job: None,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Run the jobs, one in each place at a time, and call ended(job, exit code) in this process as each ends.

    A job is taken from `jobs` when a place is free for it, so that what comes next may depend on what has ended. tick
    is called every half second. A job that fails or is killed harms no other; a negative exit code is the signal that
    ended it. Ctrl-C, SIGTERM and SIGHUP end the jobs that run, then this process's work by KeyboardInterrupt or
    SystemExit(143); on Linux its death ends them, too. This process must not have used torch's threads, which a fork
    would not have.
    """
    waiting, free, running = iter(jobs), list(reversed(places)), dict[int, _Running]()
    gc.freeze()  # the processes share what is here as long as no search for garbage writes on it
    try:
        with _ended_by_signals():
            while True:
                while free and (job := next(waiting, None)):
                    _start(job, free.pop(), running)
                    started(job)
                if not running:
                    return
                for sentinel in wait(list(running), _TICK):
                    one = running.pop(sentinel)  # type: ignore[arg-type]
                    one.process.join()
                    free.append(one.place)
                    ended(one.job, one.process.exitcode or 0)
                tick()
    finally:
        _stop([one.process for one in running.values()])
        gc.unfreeze()


class _Running(NamedTuple):
    job: Job
    place: Place
    process: BaseProcess


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Within it SIGTERM and SIGHUP raise SystemExit, as Ctrl-C raises KeyboardInterrupt."""
    before = {one: signal.signal(one, _end) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _end(number: int, frame: Any) -> None:
    sys.exit(128 + number)


def _start(job: Job, place: Place, running: dict[int, _Running]) -> None:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    process = get_context("fork").Process(target=_call, args=(job, place, os.getpid()))
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # a signal must not come before the process is known
    try:
        with warnings.catch_warnings():
            # From Python 3.12 on, of threads that are not Python's, too: those of NumPy's BLAS, which can be forked.
            warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
            process.start()
        running[process.sentinel] = _Running(job, place, process)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _call(job: Job, place: Place, parent: int) -> None:
    os.environ.update(place)
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    _die_with(parent)
    log = job.log.open("w", buffering=1, encoding="utf-8")
    for stream in (1, 2):  # what is not Python's own goes there, too
        os.dup2(log.fileno(), stream)
    sys.stdout = sys.stderr = log
    try:
        job.function(*job.arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


def _die_with(parent: int) -> None:
    """Have Linux send SIGTERM when the parent ends, even by SIGKILL: nobody would read what comes of the job."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(143)


def _stop(processes: list[BaseProcess]) -> None:
    """End them, in peace within the time of grace. A second Ctrl-C changes nothing."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    deadline = time.monotonic() + _GRACE
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        process.kill()
        process.join()
    signal.signal(signal.SIGINT, before)
