"""Processes of this machine, forked after the heavy imports so that they start in a moment."""

import ctypes
import gc
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from dlproj.sweeps.pool import GRACE, Job, Place, call

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


class _Running(NamedTuple):
    job: Job
    place: Place
    process: BaseProcess


class Forks:
    """One process in each place at a time; on Linux this one's death ends them.

    This process must not have used torch's threads, which a fork would not have.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._free = list(reversed(places))
        self._running: dict[int, _Running] = {}

    def are_free(self) -> bool:
        """True if a worker slot is free."""
        return bool(self._free)

    def start(self, job: Job) -> None:
        """Fork."""
        gc.freeze()  # the processes share what is here as long as no search for garbage writes on it
        place = self._free.pop()
        interrupt = signal.getsignal(signal.SIGINT)
        process = get_context("fork").Process(target=_call, args=(job, place, os.getpid(), interrupt))
        with _signals_held(), warnings.catch_warnings():  # a signal must not come before the process is known
            # From Python 3.12 on, of all threads, too: those of NumPy's BLAS can be forked.
            warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
            process.start()
            self._running[process.sentinel] = _Running(job, place, process)

    def ended(self, timeout: float) -> list[tuple[Job, int]] | None:
        """With their exit codes, those that have; None: none runs."""
        if not self._running:
            return None
        over = [self._running.pop(sentinel) for sentinel in wait(list(self._running), timeout)]  # type: ignore[arg-type]
        for one in over:
            one.process.join()
            self._free.append(one.place)
        return [(one.job, one.process.exitcode or 0) for one in over]

    def stop(self) -> None:
        """End them. A second Ctrl-C changes nothing."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        deadline = time.monotonic() + GRACE
        processes = [one.process for one in self._running.values()]
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            process.kill()
            process.join()
        signal.signal(signal.SIGINT, before)
        gc.unfreeze()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Delay SIGINT, SIGTERM and SIGHUP until the block ends.

    The mask covers this thread and a process that it forks. Another thread can still receive a signal, whose handler
    Python then runs in this one: so the handlers are replaced, too.
    """
    came: list[int] = []
    before = {one: signal.getsignal(one) for one in _ENDING}
    try:
        for one in _ENDING:
            signal.signal(one, lambda number, frame: came.append(number))
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        for one, handler in before.items():
            signal.signal(one, handler)
        for number in came:
            signal.raise_signal(number)


def _call(job: Job, place: Place, parent: int, interrupt: Any) -> None:
    signal.signal(signal.SIGINT, interrupt)
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        _die_with(parent)
        sys.exit(call(job, place))
    except KeyboardInterrupt:  # before the job has a log that says so
        sys.exit(130)


def _die_with(parent: int) -> None:
    """Have Linux send SIGTERM when the parent ends, even by SIGKILL: nobody would read what comes of the job."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(143)
