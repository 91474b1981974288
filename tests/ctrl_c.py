"""Ctrl-C as at a terminal: a background shell's children, and so these tests', may have been started to ignore it."""

import signal
from contextlib import contextmanager


def heed():
    """Raise KeyboardInterrupt on SIGINT from now on, in this process; preexec_fn of a child process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def heeded():
    """Within it SIGINT raises KeyboardInterrupt."""
    before = signal.getsignal(signal.SIGINT)
    heed()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
