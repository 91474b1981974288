"""Jobs in processes of their own, several at once, forked after the heavy imports so that they start in a moment."""

import gc
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from dlproj.settings import UserError

_GRACE = 10.0  # seconds that a job has to write its record when it is stopped


@dataclass(frozen=True, slots=True)
class Job:
    """A function called in a process of its own, what it prints going to a file."""

    function: Callable[..., object]
    arguments: tuple[Any, ...]
    log: Path


def run_jobs(jobs: Iterable[Job], at_once: int, ended: Callable[[Job, int], None]) -> None:
    """Run the jobs, so many at once, and call ended(job, exit code) in this process as each ends.

    A job that fails or is killed harms no other; a negative exit code is the signal that ended it. Whatever ends this
    function early ends the jobs that run. This process must not have used torch's threads, which a fork would not have.
    """
    waiting, running = deque(jobs), dict[int, tuple[Job, BaseProcess]]()
    gc.freeze()  # the processes share what is here as long as no search for garbage writes on it
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.popleft()
                process = _start(job)
                running[process.sentinel] = job, process
            for sentinel in wait(list(running)):
                job, process = running.pop(sentinel)  # type: ignore[arg-type]
                process.join()
                ended(job, process.exitcode or 0)
    finally:
        _stop([process for _, process in running.values()])
        gc.unfreeze()


def _start(job: Job) -> BaseProcess:
    job.log.parent.mkdir(parents=True, exist_ok=True)
    process = get_context("fork").Process(target=_call, args=(job,))
    process.start()
    return process


def _call(job: Job) -> None:
    log = job.log.open("w", buffering=1, encoding="utf-8")
    for stream in (1, 2):  # what is not Python's own goes there, too
        os.dup2(log.fileno(), stream)
    sys.stdout = sys.stderr = log
    try:
        job.function(*job.arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


def _stop(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_GRACE)
        process.kill()
        process.join()
