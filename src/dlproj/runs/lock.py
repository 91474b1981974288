"""A lock that keeps a second process out of a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlproj.config.checks import ConfigurationError
from dlproj.file_systems import lock


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Lock the folder against a second process with the same runs. Raises ConfigurationError if it is locked."""
    with (folder / ".lock").open("a") as file:
        try:
            lock(file)
        except BlockingIOError:
            raise ConfigurationError(f"another process is at work in {folder}: wait for it") from None
        yield
