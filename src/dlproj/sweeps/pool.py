"""Jobs in processes of their own, several at once, wherever there are workers for them."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dlproj.command_errors import in_one_line, is_user_error

GRACE = 10.0  # seconds that jobs have to write their records when they are stopped
_TICK = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Job:
    """A function called in a process of its own, what it prints going to a file."""

    function: Callable[..., object]
    arguments: tuple[Any, ...]
    log: Path


Place = Mapping[str, str]  # environment variables of the jobs that run there, such as the GPU that is theirs


class Workers(Protocol):
    """Where jobs run."""

    def are_free(self) -> bool:
        """Whether another job can start."""

    def start(self, job: Job) -> None:
        """Start it in a process of its own."""

    def ended(self, timeout: float) -> list[tuple[Job, int]] | None:
        """The jobs that have ended, with their exit codes, after `timeout` seconds at the latest; None: none runs."""

    def stop(self) -> None:
        """End the jobs that run, in peace within GRACE seconds."""


def run_jobs(
    jobs: Iterable[Job],
    workers: Workers,
    ended: Callable[[Job, int], None],
    started: Callable[[Job], None] = lambda job: None,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Run the jobs, and call ended(job, exit code) in this process as each ends.

    A job is taken from `jobs` when there is room for it, so that what comes next may depend on what has ended. tick
    is called every half second. A job that fails or is killed harms no other; a negative exit code is the signal that
    ended it. Ctrl-C, SIGTERM and SIGHUP end the jobs that run, then this process's work by KeyboardInterrupt or
    SystemExit(143).
    """
    waiting = iter(jobs)
    try:
        with _ended_by_signals():
            while True:
                while workers.are_free() and (job := next(waiting, None)):
                    workers.start(job)
                    started(job)
                if (over := workers.ended(_TICK)) is None:
                    return
                for job, exit_code in over:
                    ended(job, exit_code)
                tick()
    finally:
        workers.stop()


def call(job: Job, place: Place) -> int:
    """Do the job in this process, which is its own: the exit code."""
    os.environ.update(place)
    job.log.parent.mkdir(parents=True, exist_ok=True)
    log = job.log.open("w", buffering=1, encoding="utf-8")
    for stream in (1, 2):  # what is not Python's own goes there, too
        os.dup2(log.fileno(), stream)
    sys.stdout = sys.stderr = log
    try:
        job.function(*job.arguments)
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 1
    except Exception as error:
        if is_user_error(error):
            print(f"error: {in_one_line(error)}", file=sys.stderr)
        else:
            traceback.print_exc()
    except BaseException:
        traceback.print_exc()
    else:
        return 0
    return 1


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Within it SIGTERM and SIGHUP raise SystemExit, as Ctrl-C raises KeyboardInterrupt."""
    came = []

    def end(number: int, frame: Any) -> None:
        came.append(number)
        sys.exit(128 + number)

    before = {one: signal.signal(one, end) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except SystemExit:
        if came:
            sys.exit(128 + came[0])  # Ray makes a 1 of it
        raise
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
