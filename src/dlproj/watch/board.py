"""What is in a folder of runs now, as plain values for JSON."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
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


class Files:
    """Reads the files of runs, each again only after it has changed."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Path, Callable[..., Any]], tuple[object, Any]] = {}

    def read(self, folder: Path, name: str, reader: Callable[[Path], Any]) -> Any:
        """What reader(folder) returns for the file `name`, or the DataError that it raises."""
        changed = _changed(folder / name)
        before = self._kept.get((folder, reader))
        if before is None or before[0] != changed:
            before = self._kept[folder, reader] = (changed, _read(folder, name, reader))
        return before[1]

    def forget_all_but(self, folders: set[Path]) -> None:
        """Drop what was read in other folders."""
        self._kept = {key: value for key, value in self._kept.items() if key[0] in folders}


def _read(folder: Path, name: str, reader: Callable[[Path], Any]) -> Any:
    path = folder / name
    try:
        if path.exists() and not path.is_file():  # to read from a pipe would wait
            return damaged(path)
        return reader(folder)
    except DataError as error:
        return error
    except OSError:  # deleted meanwhile
        return damaged(path)


def _changed(path: Path) -> tuple[int, int, int] | None:
    """What differs after the file has changed; None if it is missing."""
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino


def _modified(path: Path) -> float:
    """Seconds since 1970 of the last change; 0 if the file is missing."""
    changed = _changed(path)
    return changed[0] / 1e9 if changed else 0.0


class _Found(NamedTuple):
    folder: Path
    has_report: bool
    sweep: Path | None  # the folder of the sweep that the run is part of


class Board:
    """The runs and sweeps in and below a folder. Its methods may be called from several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._files = Files()
        self._lock = threading.Lock()
        self._looked = -math.inf
        self._found: dict[str, _Found] = {}  # by id, the running ones first, then the newest
        self._listed: dict[str, Values] = {}
        self._sweeps: dict[str, tuple[str, bool]] = {}  # by id: the folder's name, and whether it has a report
        self._first: dict[tuple[Path, float], tuple[int, float]] = {}  # first epoch seen of a run, and when it ended

    def overview(self) -> Values:
        """All runs, the running ones first, then the newest, and the sweeps."""
        with self._lock:
            self._look()
            return {
                "folder": self._shown_root(),
                "exists": self.root.is_dir(),
                "runs": list(self._listed.values()),
                "sweeps": [self._sweep(sweep) for sweep in self._sweeps],
            }

    def history(self, run: str) -> Values | None:
        """The run's metrics by epoch: a list for each metric, with None where it has no finite value."""
        with self._lock:
            self._look()
            if run not in self._found:
                return None
            epochs = self._files.read(self._found[run].folder, "metrics.csv", read_epochs)
            rows = {} if isinstance(epochs, DataError) else epochs
            names = dict.fromkeys(name for row in rows.values() for name in row)
            metrics = {name: [row.get(name) for row in rows.values()] for name in names}
            trouble = self._words(epochs) if isinstance(epochs, DataError) else ""
            return finite(
                self._listed[run] | {"epoch_numbers": list(rows), "metrics": metrics, "trouble_read": trouble}
            )

    def sweep_table(self, sweep: str) -> Values | None:
        """The sweep's runs in words, the best first: columns, and each row's run and cells."""
        with self._lock:
            self._look()
            if sweep not in self._sweeps:
                return None
            runs = {run: self._whole(run) for run in self._of(sweep)}
            return _sweep_table({run: read for run, read in runs.items() if read}, self._listed)

    def _look(self) -> None:
        if time.monotonic() - self._looked < _SHARED_S:
            return
        self._sweeps = {}
        found = list(self._walk())
        self._files.forget_all_but({one.folder for one in found} | {one.sweep for one in found if one.sweep})
        locked = locked_inodes()
        listed = [(one, self._list(one, locked)) for one in sorted(found, key=lambda one: natural(one.folder))]
        listed.reverse()
        listed.sort(key=lambda pair: pair[1]["started"] or "", reverse=True)
        listed.sort(key=lambda pair: pair[1]["status"] != "running")
        self._found = {values["id"]: one for one, values in listed}
        self._listed = {values["id"]: values for _, values in listed}
        self._sweeps = {sweep: self._sweeps[sweep] for sweep in sorted(self._sweeps, reverse=True) if self._of(sweep)}
        self._looked = time.monotonic()

    def _walk(self) -> Iterator[_Found]:
        sweeps: dict[Path, Path | None] = {}
        for name, below, files in os.walk(self.root):
            folder = Path(name)
            sweep = sweeps.get(folder.parent)
            if "multirun.yaml" in files and self._files.read(folder, "multirun.yaml", is_sweep) is True:
                sweep, self._sweeps[self._id(folder)] = folder, (folder.name, "report.html" in files)
            sweeps[folder] = sweep
            if is_run(folder, files):
                yield _Found(folder, "report.html" in files, sweep)
                below.clear()
            below[:] = [name for name in below if not name.startswith(".")]

    def _id(self, folder: Path) -> str:
        """The folder's path from the root, as it stands in a URL; "" of the root itself."""
        return "" if folder == self.root else quote(os.fsencode(folder.relative_to(self.root)))

    def _of(self, sweep: str) -> list[str]:
        return [run for run, values in self._listed.items() if values["sweep"] == sweep]

    def _shown_root(self) -> str:
        return os.path.relpath(self.root) if self.root.is_relative_to(Path.cwd()) else str(self.root)

    def _words(self, error: DataError) -> str:
        return str(error).replace(f"{self.root}{os.sep}", "")

    def _list(self, one: _Found, locked: set[int]) -> Values:
        result = self._files.read(one.folder, "summary.json", read_result)
        values = {
            "id": self._id(one.folder),
            "folder": os.path.relpath(one.folder, self.root),
            "sweep": None if one.sweep is None else self._id(one.sweep),
            "report": one.has_report,
            "started": _started(one.folder),
        }
        if isinstance(result, DataError):
            return values | {"name": one.folder.name, "status": "damaged", "trouble": self._words(result)}
        return values | self._outcome(one.folder, result, locked)

    def _outcome(self, folder: Path, result: RunResult, locked: set[int]) -> Values:
        unfinished = result.status == "running"
        live = unfinished and _is_live(folder, locked)
        rows: Any = self._files.read(folder, "metrics.csv", read_epochs) if unfinished else {}
        rows = {} if isinstance(rows, DataError) else rows
        epoch = max((epoch for epoch, row in rows.items() if "train/loss" in row), default=result.last_epoch)
        epochs = result.last_epoch if result.has_ended() else self._planned(folder)
        metrics = rows.get(epoch, {}) if unfinished else result.metrics
        return {
            "name": result.name,
            "status": "running" if live else status(result),
            "trouble": "" if unfinished or result.status == "completed" else result.stop_reason,
            "overrides": result.overrides,
            "epoch": epoch,
            "epochs": epochs,
            "best_epoch": result.best_epoch,
            "scores": {name: formats.metric(name, metrics.get(name)) for name in _SCORES},
            "seconds": formats.duration(result.seconds) if result.has_ended() else formats.NONE,
            "ends": self._ends(folder, epoch, epochs) if live else None,
        }

    def _planned(self, folder: Path) -> int | None:
        """The number of epochs that the settings ask for."""
        settings = self._files.read(folder, "config.yaml", read_settings)
        trainer = {} if isinstance(settings, DataError) else settings.get("trainer")
        epochs = trainer.get("max_epochs") if isinstance(trainer, dict) else None
        return epochs if type(epochs) is int and epochs > 0 else None

    def _ends(self, folder: Path, epoch: int, epochs: int | None) -> float | None:
        """When training ends if all epochs take equally long, in seconds since 1970.

        By the epochs that were seen to end; the first look takes those since the run wrote its settings.
        """
        began, ended = _modified(folder / "config.yaml"), _modified(folder / "metrics.csv")
        if not epoch or not epochs or not 0 < began < ended:
            return None
        first, first_ended = self._first.setdefault((folder, began), (epoch, ended))
        taken = (ended - first_ended) / (epoch - first) if epoch > first else (ended - began) / epoch
        return round(ended + taken * (epochs - epoch), 1) if epochs > epoch else None

    def _sweep(self, sweep: str) -> Values:
        name, report = self._sweeps[sweep]
        states = [self._listed[run]["status"] for run in self._of(sweep)]
        counts = {state: states.count(state) for state in dict.fromkeys(states)}
        return {"id": sweep, "name": name, "report": report, "counts": counts}

    def _whole(self, run: str) -> Run | None:
        """The run as comparisons read it, without its inspection; None if it is damaged."""
        folder = self._found[run].folder
        result = self._files.read(folder, "summary.json", read_result)
        settings = self._files.read(folder, "config.yaml", read_settings)
        epochs = self._files.read(folder, "metrics.csv", read_epochs)
        if any(isinstance(part, DataError) for part in (result, settings, epochs)):
            return None
        return Run(folder, settings, result, epochs, Inspection())


def _is_live(folder: Path, locked: set[int]) -> bool:
    """True if a process holds the run's lock, or has written to the folder just now."""
    changed = _changed(folder / ".lock")
    if changed and changed[2] in locked:
        return True
    last = max(_modified(folder / name) for name in ("metrics.csv", "summary.json", "config.yaml"))
    return time.time() - last < _SIGN_OF_LIFE_S


def _started(folder: Path) -> str | None:
    try:
        return f"{started(folder):%Y-%m-%d %H:%M}"
    except OSError:  # no summary.json, and no stamp in the name
        return None


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
