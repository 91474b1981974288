"""Jobs in processes of their own, several at once, forked after the heavy imports so that they start in a moment."""

import ctypes
import gc
import os
import signal
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from dlproj.settings import UserError

_GRACE = 10.0  # seconds that jobs have to write their records when they are stopped
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


@dataclass(frozen=True, slots=True)
class Job:
    """A function called in a process of its own, what it prints going to a file."""

    function: Callable[..., object]
    arguments: tuple[Any, ...]
    log: Path


def run_jobs(jobs: Iterable[Job], at_once: int, ended: Callable[[Job, int], None]) -> None:
    """Run the jobs, so many at once, and call ended(job, exit code) in this process as each ends.

    A job that fails or is killed harms no other; a negative exit code is the signal that ended it. Ctrl-C, SIGTERM and
    SIGHUP end the jobs that run, then this process's work by KeyboardInterrupt or SystemExit(143); on Linux its death
    ends them, too. This process must not have used torch's threads, which a fork would not have.
    """
    waiting, running = deque(jobs), dict[int, tuple[Job, BaseProcess]]()
    gc.freeze()  # the processes share what is here as long as no search for garbage writes on it
    try:
        with _ended_by_signals():
            while waiting or running:
                while waiting and len(running) < at_once:
                    _start(waiting.popleft(), running)
                for sentinel in wait(list(running)):
                    job, process = running.pop(sentinel)  # type: ignore[arg-type]
                    process.join()
                    ended(job, process.exitcode or 0)
    finally:
        _stop([process for _, process in running.values()])
        gc.unfreeze()


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


def _start(job: Job, running: dict[int, tuple[Job, BaseProcess]]) -> None:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    process = get_context("fork").Process(target=_call, args=(job, os.getpid()))
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # a signal must not come before the process is known
    try:
        with warnings.catch_warnings():
            # From Python 3.12 on, of threads that are not Python's, too: those of NumPy's BLAS, which can be forked.
            warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
            process.start()
        running[process.sentinel] = job, process
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _call(job: Job, parent: int) -> None:
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
