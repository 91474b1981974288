"""The loop that runs jobs, several at once, wherever there are workers for them."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dlproj.command_errors import in_one_line, is_user_error
from dlproj.sweeps.jobs import Job

GRACE = 10.0  # seconds that jobs have to write their records when they are stopped
_TICK = 0.5  # seconds

J = TypeVar("J", bound=Job)
Slot = Mapping[str, str]  # a worker's share of the machine: environment variables of its jobs, such as which GPU to use


class Workers(Protocol[J]):
    """What runs jobs, one at a time in each slot."""

    def has_free_slot(self) -> bool:
        """True if another job can start."""

    def start(self, job: J) -> None:
        """Start the job in a process of its own."""

    def ended(self, timeout: float) -> list[tuple[J, int]] | None:
        """Wait up to `timeout` seconds for jobs to end; return them with their exit codes, or None if none runs."""

    def stop(self) -> None:
        """Interrupt the running jobs, and kill what is left of them after GRACE seconds."""


def run_jobs(
    jobs: Iterable[J], workers: Workers[J], ended: Callable[[J, int], None], tick: Callable[[], None] = lambda: None
) -> None:
    """Run the jobs, and call ended(job, exit code) in this process as each ends; tick() every half second.

    A job is taken from `jobs` when a slot is free, so that what comes next may depend on what has ended. A job that
    fails or is killed does not affect the others; a negative exit code is the signal that ended it. Ctrl-C, SIGTERM and
    SIGHUP stop the running jobs and raise KeyboardInterrupt or SystemExit(128 + signal).
    """
    waiting = iter(jobs)
    try:
        with _ended_by_signals():
            while True:
                while workers.has_free_slot() and (job := next(waiting, None)):
                    workers.start(job)
                tick()
                if (over := workers.ended(_TICK)) is None:
                    return
                for job, exit_code in over:
                    ended(job, exit_code)
    finally:
        workers.stop()


def call(function: Callable[[], object], log: Path, slot: Slot) -> int:
    """Call a job's function in this process, which is its own, with all output going to the log; return an exit code.

    An error that the user can mend is one line in the log, any other a traceback.
    """
    os.environ.update(slot)
    log.parent.mkdir(parents=True, exist_ok=True)
    stream = log.open("w", buffering=1, encoding="utf-8")
    for descriptor in (1, 2):  # libraries write there without Python
        os.dup2(stream.fileno(), descriptor)
    sys.stdout = sys.stderr = stream
    try:
        function()
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 1
    except BaseException as error:
        if isinstance(error, Exception) and is_user_error(error):
            print(f"error: {in_one_line(error)}", file=sys.stderr)
        else:
            traceback.print_exc()
        return 1
    return 0


@contextmanager
def handling(handler: Any, *signals: signal.Signals) -> Iterator[None]:
    """Handle the signals by `handler` within the block, and as before after it."""
    before = {one: signal.getsignal(one) for one in signals}
    try:
        for one in signals:
            signal.signal(one, handler)
        yield
    finally:
        for one, previous in before.items():
            signal.signal(one, previous)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Raise SystemExit within the block on SIGTERM and SIGHUP, as Ctrl-C raises KeyboardInterrupt."""
    came = []

    def end(number: int, frame: Any) -> None:
        came.append(number)
        sys.exit(128 + number)

    with handling(end, signal.SIGTERM, signal.SIGHUP):
        try:
            yield
        except SystemExit:
            if came:
                sys.exit(128 + came[0])  # Ray raises SystemExit(1) in its place
            raise
