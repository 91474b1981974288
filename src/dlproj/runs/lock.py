"""One process at a time in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlproj.config.checks import ConfigurationError
from dlproj.file_systems import lock


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the folder against a second process that would run the same runs into the same places."""
    with (folder / ".lock").open("a") as file:
        try:
            lock(file)
        except BlockingIOError:
            raise ConfigurationError(f"another process is at work in {folder}: wait for it") from None
        yield
