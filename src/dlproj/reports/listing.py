"""The list of runs on disk, with start, status and score."""

import math
import os
from pathlib import Path
from typing import Any

from dlproj import formats
from dlproj.reports.comparison_table import shown
from dlproj.runs.comparison import status
from dlproj.runs.record import Damaged, read_each, read_result, run_folders, started

COLUMNS = ("started", "folder", "status", "test\naccuracy", "tested\nepoch", "time", "overrides")


def list_runs(path: Path) -> tuple[list[dict[str, Any]], list[Damaged]]:
    """List the runs in and below path, newest first, and the damaged ones. Raises DataError if there are none.

    A run is a dictionary as `--json` prints it: accuracy as a fraction, None for missing values.
    """
    listed, damaged = read_each(run_folders([path]), _listed)
    listed.reverse()  # runs of a sweep share its stamp: the last one first
    return sorted(listed, key=lambda run: run["started"], reverse=True), damaged


def _listed(folder: Path) -> dict[str, Any]:
    result = read_result(folder)
    accuracy = result.metrics.get("test/accuracy", math.nan)
    return {
        "started": f"{started(folder):%Y-%m-%d %H:%M:%S}",
        "folder": os.path.relpath(folder),
        "name": result.name,
        "status": status(result),
        "test/accuracy": accuracy if math.isfinite(accuracy) else None,
        "tested_epoch": result.tested_epoch(),
        "best_epoch": result.best_epoch,
        "seconds": result.seconds if result.has_ended() else None,
        "seed": result.seed,
        "overrides": result.overrides,
    }


def as_cells(one: dict[str, Any]) -> list[str]:
    """Format a listed run, in the order of COLUMNS."""
    keys = ("started", "folder", "status", "test/accuracy", "tested_epoch", "seconds")
    cells = [shown(key, one[key]) for key in keys]
    return [*cells, " ".join(one["overrides"]) or formats.NONE]
