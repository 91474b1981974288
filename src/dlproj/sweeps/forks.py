"""Worker processes of this machine, forked after the heavy imports so that a job starts in a moment.

concurrent.futures cannot do this: its pools refuse max_tasks_per_child with the fork method, end all jobs as
BrokenProcessPool when one is killed, and leave jobs running when this process is interrupted or killed.
"""

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
from typing import Any, Generic, NamedTuple

from dlproj.config.trainer import TrainerConfig
from dlproj.machine import SHARE_OF_CORES, usable_cores
from dlproj.sweeps.workers import GRACE, J, Slot, call, handling

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def make_slots(trainer: TrainerConfig, runs: int, wanted: int | None, visible: str | None = None) -> list[Slot]:
    """A slot for each run that is to go on at once, with its share of the cores and, on a GPU, its devices.

    trainer: that of all runs. wanted: how many runs at once; None is one for each core or GPU. Where there are more
    slots than GPUs, slots share them. visible: the value of CUDA_VISIBLE_DEVICES.
    """
    devices = _devices(trainer, visible)
    count = max(1, min(wanted or len(devices), runs))  # a finished search has no run left
    share = {SHARE_OF_CORES: str(max(1, usable_cores() // count))}
    return [share | devices[i % len(devices)] for i in range(count)]


def _devices(trainer: TrainerConfig, visible: str | None) -> list[dict[str, str]]:
    each = trainer.devices
    if not trainer.uses_gpu():
        return [{}] * max(1, usable_cores() // each)
    import torch

    names = visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]
    shares = [names[start : start + each] for start in range(0, len(names) - each + 1, each)]
    return [{_VISIBLE: ",".join(share)} for share in shares or [names]]


class _Running(NamedTuple, Generic[J]):
    job: J
    slot: Slot
    process: BaseProcess


class Forks(Generic[J]):
    """Workers that fork a process for each job, one at a time in each slot.

    This process must not have started torch's threads, which a fork would lack. On Linux its death ends the jobs.
    """

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._free = list(reversed(slots))
        self._running: dict[int, _Running[J]] = {}

    def has_free_slot(self) -> bool:
        return bool(self._free)

    def start(self, job: J) -> None:
        gc.freeze()  # memory stays shared between the processes as long as the garbage collector does not write on it
        slot = self._free.pop()
        interrupt = signal.getsignal(signal.SIGINT)
        process = get_context("fork").Process(target=_call, args=(job, slot, os.getpid(), interrupt))
        with _signals_held(), warnings.catch_warnings():  # a signal must not come before the process is known
            # Python 3.12 and later warn of any thread, such as those of NumPy's BLAS, which can be forked.
            warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
            process.start()
            self._running[process.sentinel] = _Running(job, slot, process)

    def ended(self, timeout: float) -> list[tuple[J, int]] | None:
        if not self._running:
            return None
        over = [self._running.pop(sentinel) for sentinel in wait(list(self._running), timeout)]  # type: ignore[arg-type]
        for one in over:
            one.process.join()
            self._free.append(one.slot)
        return [(one.job, one.process.exitcode or 0) for one in over]

    def stop(self) -> None:
        """Send SIGTERM, after GRACE seconds SIGKILL. A second Ctrl-C is ignored."""
        with handling(signal.SIG_IGN, signal.SIGINT):
            deadline = time.monotonic() + GRACE
            processes = [one.process for one in self._running.values()]
            for process in processes:
                process.terminate()
            for process in processes:
                process.join(max(0.0, deadline - time.monotonic()))
                process.kill()
                process.join()
        gc.unfreeze()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Delay SIGINT, SIGTERM and SIGHUP until the block ends.

    The mask covers this thread and a process that it forks. Another thread can still receive a signal, whose handler
    Python then runs in this one: so the handlers are replaced, too.
    """
    came: list[int] = []
    try:
        with handling(lambda number, frame: came.append(number), *_ENDING):
            signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
            try:
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    finally:
        for number in came:
            signal.raise_signal(number)


def _call(job: J, slot: Slot, parent: int, interrupt: Any) -> None:
    signal.signal(signal.SIGINT, interrupt)
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        _die_with(parent)
        sys.exit(call(job.function, job.log, slot))
    except KeyboardInterrupt:  # before the job has a log that says so
        sys.exit(130)


def _die_with(parent: int) -> None:
    """Have Linux send SIGTERM when the parent ends, even by SIGKILL: nobody would read what comes of the job."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(143)
