"""Set up standard streams, Ctrl-C and the environment before a command's slow imports.

This module imports only the standard library.
"""

import atexit
import gc
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any


class Output(FileIO):
    """Standard output or error, redirected to /dev/null after a failure: the reader has left, or the disk is full.

    The failure is raised unless keep_going is set, as for training, which continues when its terminal is closed.
    """

    def __init__(self, descriptor: int, keep_going: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.keep_going = keep_going

    def write(self, data: Any) -> int:
        """Write all data, also if another process has made the pipe non-blocking."""
        remaining = memoryview(data)
        try:
            while remaining:
                count = super().write(remaining)
                if count is None:
                    select.select([], [self], [])
                remaining = remaining[count or 0 :]
        except OSError as error:
            _lead_nowhere(self.fileno())
            if self.keep_going:
                return len(data)
            error.filename = "standard output" if self.fileno() == 1 else "standard error"
            raise
        return len(data)


def open_streams(keep_going: bool = False) -> None:
    """Make sure that standard input, output and error exist, and that every character can be printed in any locale.

    A closed stream would be None, and the next file opened would get its descriptor, and messages of libraries with it.
    keep_going: do not end the command if its output cannot be written.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            _lead_nowhere(descriptor)
    sys.stdin = sys.stdin or TextIOWrapper(FileIO(0, closefd=False), "utf-8")
    if sys.stdout is sys.__stdout__:  # else output is captured by other code
        sys.stdout = sys.__stdout__ = _text(1, sys.stdout, keep_going)  # type: ignore[misc]
    if sys.stderr is sys.__stderr__:
        sys.stderr = sys.__stderr__ = _text(2, sys.stderr, keep_going)  # type: ignore[misc]


def forget_other_tools() -> None:
    """Set matplotlib's backend: there are no windows, and an unknown backend in the environment would be an error."""
    os.environ["MPLBACKEND"] = "agg"


def end_quickly() -> None:
    """Skip garbage collection of imported modules at exit, which takes 0.6 s."""
    atexit.register(gc.freeze)


@contextmanager
def unchanged_environment() -> Iterator[None]:
    """Put the environment variables back as they were."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


def wait_without_spinning() -> None:
    """Make idle OpenMP threads sleep soon, instead of spinning for some milliseconds.

    Spinning threads take cores from working ones: beside two busy processes on two cores, two spinning threads take
    three times as long as one thread. GCC's library reads the variable when it is loaded, with torch; 1,000 rounds are
    its own default if there are more threads than cores.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "1000"


def _text(descriptor: int, before: Any, keep_going: bool) -> Any:
    raw: Any = Output(descriptor, keep_going)
    if before is None:
        return TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)
    before.flush()
    buffer = raw if before.write_through else BufferedWriter(raw)  # raw: PYTHONUNBUFFERED
    return TextIOWrapper(
        buffer, before.encoding, "backslashreplace", None, bool(before.line_buffering), bool(before.write_through)
    )


def _lead_nowhere(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor)  # child processes inherit it
    if null != descriptor:
        os.close(null)
    os.set_inheritable(descriptor, True)


def end_on_ctrl_c() -> None:
    """Make Ctrl-C end this process at once, silently, while there is nothing yet to record.

    KeyboardInterrupt during an import would be shown as a traceback, or taken for a missing module. If Ctrl-C is
    ignored, as in the background of a shell, it stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_on_ctrl_c() -> None:
    """Make Ctrl-C raise KeyboardInterrupt again, so that an interrupted run is recorded."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: Any) -> None:
    os._exit(130)
