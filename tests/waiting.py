"""Waiting for another process, with an end."""

import time


def until(condition):
    """Return when condition() is true; fail after two minutes. The pauses leave the processor to the other process."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
