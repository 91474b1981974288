"""What a command does before its heavy imports: standard streams, Ctrl-C, and the environment.

It imports next to nothing.
"""

import atexit
import gc
import os
import select
import signal
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any


class Output(FileIO):
    """Standard output or error, which after a first failure leads nowhere: its reader has left, or its disk is full.

    The failure is raised unless the command is to keep going, as training does when its terminal is closed.
    """

    def __init__(self, descriptor: int, keep_going: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.keep_going = keep_going

    def write(self, data: Any) -> int:
        """Write all of it, also where another process has made the pipe non-blocking."""
        left = memoryview(data)
        try:
            while left:
                count = super().write(left)
                if count is None:
                    select.select([], [self], [])
                left = left[count or 0 :]
        except OSError as error:
            _lead_nowhere(self.fileno())
            if self.keep_going:
                return len(data)
            error.filename = "standard output" if self.fileno() == 1 else "standard error"
            raise
        return len(data)


def open_streams(keep_going: bool = False) -> None:
    """Have standard input, output and error be there, and every character printable in any locale.

    A closed one would be None, and its descriptor the next file's that is opened: a library's message might end in it.
    keep_going: a run must not end because nobody reads what it prints.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            _lead_nowhere(descriptor)
    sys.stdin = sys.stdin or TextIOWrapper(FileIO(0, closefd=False), "utf-8")
    if sys.stdout is sys.__stdout__:  # or somebody else collects what is printed
        sys.stdout = sys.__stdout__ = _text(1, sys.stdout, keep_going)  # type: ignore[misc]
    if sys.stderr is sys.__stderr__:
        sys.stderr = sys.__stderr__ = _text(2, sys.stderr, keep_going)  # type: ignore[misc]


def forget_other_tools() -> None:
    """Drop what the environment says of matplotlib's windows, of which there are none; an unknown one is an error."""
    os.environ["MPLBACKEND"] = "agg"


def end_quickly() -> None:
    """Have this process not look for garbage among all that it has imported when it ends: that takes 0.6 s."""
    atexit.register(gc.freeze)


def wait_without_spinning() -> None:
    """Have OpenMP's threads sleep soon after they have nothing to do, instead of spinning for some milliseconds.

    Beside other work spinning threads take the cores that the working ones need: with it two threads on two cores take
    three times as long beside two busy processes as one thread. GCC's library reads this when it is loaded, with torch;
    1,000 rounds of waiting are what it does by itself where there are more threads than cores.
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
    os.dup2(null, descriptor)  # which a child process inherits
    if null != descriptor:
        os.close(null)
    os.set_inheritable(descriptor, True)


def end_on_ctrl_c() -> None:
    """Have Ctrl-C end this process at once, without a word, while there is nothing yet to record.

    KeyboardInterrupt amid an import is shown as a traceback, or taken for a module that is not there. Where Ctrl-C is
    ignored, as in the background of a shell, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_on_ctrl_c() -> None:
    """Have it raise KeyboardInterrupt again, so that what has begun can be recorded."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: Any) -> None:
    os._exit(130)
