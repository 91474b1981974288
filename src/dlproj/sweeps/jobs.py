"""One run of a sweep, from when it is asked for to what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlproj.config.root import Config
from dlproj.runs.record import Run


@dataclass(slots=True, eq=False)
class SweepJob:
    """One run of a sweep."""

    label: str  # the settings that tell it from the others, as typed
    folder: Path
    config: Config | None  # None: it was refused, for the reason
    train: Callable[[], object]  # in a process of its own
    trial: Any = None  # of a search
    reason: str = ""  # why it failed
    run: Run | None = None  # what came of it, once it is done
    kept: bool = False  # whether it was done before
