"""What is in a folder of runs now, as plain values for JSON."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dlproj import formats
from dlproj.config.checks import COUNTED, DataError
from dlproj.file_systems import locked_inodes
from dlproj.reports.comparison_table import best, heading, score_column, shown, table
from dlproj.runs.comparison import compare, status
from dlproj.runs.inspection import Inspection
from dlproj.runs.manifest import is_sweep
from dlproj.runs.record import Run, is_run, natural, read_epochs, read_result, read_settings, started
from dlproj.runs.summary import RunResult, finite
from dlproj.runs.validation import damaged

Values = dict[str, Any]
_SHARED_S = 0.5  # seconds for which all pages that are open share one look at the folder
_SIGN_OF_LIFE_S = 60.0  # seconds since the last change of a file, where the run's lock is not seen
_SCORES = ("val/accuracy", "val/loss", "test/accuracy")


class Board:
    """The runs and sweeps in and below a folder. Its methods may be called from several threads.

    A run's or sweep's id is the path of its folder from the root as it stands in a URL; "" is the root itself.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._lock = threading.Lock()
        self._looked = -math.inf
        self._folders: dict[str, Path] = {}  # of runs, by id
        self._runs: dict[str, Values] = {}  # by id, the running ones first, then the newest
        self._sweeps: dict[str, Values] = {}  # by id, the newest first
        self._read: dict[tuple[Path, Callable[[Path], Any]], tuple[object, Any]] = {}  # files, and when they changed
        self._first: dict[tuple[Path, float], tuple[int, float]] = {}  # first epoch seen of a run, and when it ended

    def overview(self) -> Values:
        """All runs, the running ones first, then the newest, and the sweeps."""
        with self._lock:
            self._look()
            return {"folder": str(self.root), "runs": list(self._runs.values()), "sweeps": list(self._sweeps.values())}

    def history(self, run: str) -> Values | None:
        """The run and its metrics by epoch: a list for each, with None where there is no finite value."""
        with self._lock:
            self._look()
            if run not in self._runs:
                return None
            epochs = self._file(self._folders[run], "metrics.csv", read_epochs)
            trouble = self._words(epochs) if isinstance(epochs, DataError) else ""
            ended = self._runs[run]["epoch"] or math.inf  # of the epoch that goes on there may be the validation
            rows = {} if trouble else {epoch: row for epoch, row in epochs.items() if epoch <= ended}
            names = dict.fromkeys(name for row in rows.values() for name in row)
            metrics = {name: [row.get(name) for row in rows.values()] for name in names}
            return finite({"run": self._runs[run], "epochs": list(rows), "metrics": metrics, "trouble": trouble})

    def sweep_table(self, sweep: str) -> Values | None:
        """The sweep's runs in words, the best first: columns, and each row's run and cells."""
        with self._lock:
            self._look()
            if sweep not in self._sweeps:
                return None
            runs = {run: self._whole(self._folders[run]) for run in self._of(sweep)}
            return _sweep_table({run: read for run, read in runs.items() if read}, self._runs)

    def _look(self) -> None:
        if time.monotonic() - self._looked < _SHARED_S:
            return
        self._sweeps, self._folders, locked = {}, {}, locked_inodes()
        runs = [self._run(*found, locked) for found in sorted(self._walk(), key=lambda found: natural(found[0]))]
        runs.reverse()
        runs.sort(key=lambda run: (run["status"] == "running", run["started"]), reverse=True)
        self._runs = {run["id"]: run for run in runs}
        for sweep, values in self._sweeps.items():
            states = [self._runs[run]["status"] for run in self._of(sweep)]
            values["counts"] = {state: states.count(state) for state in dict.fromkeys(states)}
        self._sweeps = {
            sweep: values for sweep, values in sorted(self._sweeps.items(), reverse=True) if values["counts"]
        }
        self._looked = time.monotonic()

    def _walk(self) -> Iterator[tuple[Path, list[str], str | None]]:
        """Folders of runs, their files and sweeps, as dlproj.runs.record finds them; notes the sweeps."""
        sweeps: dict[Path, str | None] = {}
        for name, below, files in os.walk(self.root):
            folder = Path(name)
            sweep = sweeps.get(folder.parent)
            if "multirun.yaml" in files and self._file(folder, "multirun.yaml", is_sweep) is True:
                sweep = self._id(folder)
                self._sweeps[sweep] = {"id": sweep, "name": folder.name, "report": "report.html" in files}
            sweeps[folder] = sweep
            if is_run(folder, files):
                yield folder, files, sweep
                below.clear()
            below[:] = [name for name in below if not name.startswith(".")]

    def _id(self, folder: Path) -> str:
        return "" if folder == self.root else quote(os.fsencode(folder.relative_to(self.root)))

    def _of(self, sweep: str) -> list[str]:
        return [run for run, values in self._runs.items() if values["sweep"] == sweep]

    def _words(self, error: DataError) -> str:
        return str(error).replace(f"{self.root}{os.sep}", "")

    def _file(self, folder: Path, name: str, reader: Callable[[Path], Any]) -> Any:
        """What reader(folder) returns of the file, or the DataError that it raises; read again once it has changed."""
        changed = _changed(folder / name)
        if (before := self._read.get((folder, reader))) is None or before[0] != changed:
            before = self._read[folder, reader] = (changed, _or_error(folder, name, reader))
        return before[1]

    def _run(self, folder: Path, files: list[str], sweep: str | None, locked: set[int]) -> Values:
        values: Values = {"id": self._id(folder), "folder": os.path.relpath(folder, self.root), "sweep": sweep}
        values |= {"report": "report.html" in files, "started": _started(folder), "overrides": [], "epoch": 0}
        self._folders[values["id"]] = folder
        result = self._file(folder, "summary.json", read_result)
        if isinstance(result, DataError):
            return values | {"name": folder.name, "status": "damaged", "trouble": self._words(result)}
        return values | self._outcome(folder, result, locked)

    def _outcome(self, folder: Path, result: RunResult, locked: set[int]) -> Values:
        unfinished = result.status == "running"
        live = unfinished and _is_live(folder, locked)
        rows: Any = self._file(folder, "metrics.csv", read_epochs) if unfinished else {}
        rows = {} if isinstance(rows, DataError) else rows
        epoch = max((epoch for epoch, row in rows.items() if "train/loss" in row), default=result.last_epoch)
        planned = result.last_epoch if result.has_ended() else self._planned(folder)
        metrics = rows.get(epoch, {}) if unfinished else result.metrics
        return {
            "name": result.name,
            "status": "running" if live else status(result),
            "trouble": "" if unfinished or result.status == "completed" else result.stop_reason,
            "overrides": result.overrides,
            "epoch": epoch,
            "planned": planned,
            "scores": {name: formats.metric(name, metrics.get(name)) for name in _SCORES},
            "seconds": formats.duration(result.seconds if result.has_ended() else None),
            "ends": self._ends(folder, epoch, planned) if live and planned else None,
        }

    def _planned(self, folder: Path) -> int | None:
        """The number of epochs that the settings ask for."""
        settings = self._file(folder, "config.yaml", read_settings)
        trainer = {} if isinstance(settings, DataError) else settings.get("trainer")
        epochs = trainer.get("max_epochs") if isinstance(trainer, dict) else None
        return epochs if type(epochs) is int and epochs > 0 else None

    def _ends(self, folder: Path, epoch: int, planned: int) -> float | None:
        """When training ends if all epochs take equally long, in seconds since 1970.

        By the epochs that were seen to end; the first look takes those since the run wrote its settings.
        """
        began, ended = _modified(folder / "config.yaml"), _modified(folder / "metrics.csv")
        if not 0 < epoch < planned or not 0 < began < ended:
            return None
        first, first_ended = self._first.setdefault((folder, began), (epoch, ended))
        taken = (ended - first_ended) / (epoch - first) if epoch > first else (ended - began) / epoch
        return round(ended + taken * (planned - epoch), 1)

    def _whole(self, folder: Path) -> Run | None:
        """The run as comparisons read it, without its inspection; None if it is damaged."""
        result = self._file(folder, "summary.json", read_result)
        settings = self._file(folder, "config.yaml", read_settings)
        epochs = self._file(folder, "metrics.csv", read_epochs)
        if any(isinstance(part, DataError) for part in (result, settings, epochs)):
            return None
        return Run(folder, settings, result, epochs, Inspection())


def _or_error(folder: Path, name: str, reader: Callable[[Path], Any]) -> Any:
    path = folder / name
    try:
        if path.exists() and not path.is_file():  # to read from a pipe would wait
            return damaged(path)
        return reader(folder)
    except DataError as error:
        return error


def _changed(path: Path) -> tuple[int, int, int] | None:
    """What differs after the file has changed; None if it is missing."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino


def _modified(path: Path) -> float:
    """Seconds since 1970 of the last change; 0 if the file is missing."""
    changed = _changed(path)
    return changed[0] / 1e9 if changed else 0.0


def _is_live(folder: Path, locked: set[int]) -> bool:
    """True if a process holds the run's lock, or has written to the folder just now."""
    lock = _changed(folder / ".lock")
    last = max(_modified(folder / name) for name in ("metrics.csv", "summary.json", "config.yaml"))
    return (lock is not None and lock[2] in locked) or time.time() - last < _SIGN_OF_LIFE_S


def _started(folder: Path) -> str:
    try:
        return f"{started(folder):%Y-%m-%d %H:%M:%S}"
    except OSError:  # no summary.json, and no stamp in the name
        return ""


def _sweep_table(runs: dict[str, Run], listed: dict[str, Values]) -> Values:
    if not runs:
        return {"best": "", "columns": [], "rows": []}
    comparison = compare(list(runs.values()))
    score = score_column(comparison) if comparison.chooses in COUNTED else f"{comparison.chooses} best"
    keys = ["run", *comparison.varied, "status", *dict.fromkeys(["test/accuracy", score]), "last_epoch", "seconds"]
    ids = [list(runs)[i] for i in comparison.ranking()]
    rows = [row | {"status": listed[run]["status"]} for run, row in zip(ids, table(comparison), strict=True)]
    cells = [[shown(key, row[key]) for key in keys] for row in rows]
    chosen = best(comparison)
    return {
        "best": chosen.words if chosen else "",
        "columns": [heading(key) for key in keys],
        "rows": [{"id": run, "cells": line} for run, line in zip(ids, cells, strict=True)],
    }
