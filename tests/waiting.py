"""Waiting for another process, with an end."""

import time


def until(condition):
    """Return when condition() is true; fail after two minutes."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
