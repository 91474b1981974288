"""Runs as recorded in their folders, read without torch and without the settings classes."""

import csv
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dlproj.config.checks import MOST_CLASSES_IN_ROWS, DataError
from dlproj.config.renamed import with_new_names
from dlproj.config.whole_files import read_json, read_yaml
from dlproj.runs.inspection import GRAPH_KINDS, Inspection, read_inspection
from dlproj.runs.summary import RunResult
from dlproj.runs.validation import damaged, validated

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """A run as recorded in its folder."""

    folder: Path
    settings: dict[str, Any]  # nested as in config.yaml, including `schema`
    result: RunResult
    epochs: dict[int, dict[str, float]]  # metrics.csv by epoch, from 1, with the metrics logged in that epoch
    inspection: Inspection


class Damaged(NamedTuple):
    """A run's folder that cannot be read, and the reason."""

    folder: Path
    reason: str


def find_runs(paths: Sequence[Path]) -> tuple[list[Run], list[Damaged]]:
    """Read the runs in and below paths, each once; damaged ones are returned separately.

    Raises DataError if a path is not a folder or holds no run, not even a damaged one.
    """
    return read_each(run_folders(paths), read_run)


def run_folders(paths: Sequence[Path]) -> list[Path]:
    """Folders of the runs in and below paths, each once, in natural order: 2 before 10.

    Raises DataError if a path is not a folder or holds no run.
    """
    folders: dict[Path, Path] = {}
    for path in paths:
        below = sorted(_run_folders(path), key=natural)
        if not below:
            raise DataError(f"no run in {path}: name a run's folder, or one above it, such as logs")
        folders |= {folder.resolve(): folder for folder in below if folder.resolve() not in folders}
    return list(folders.values())


def read_each(folders: Sequence[Path], read: Callable[[Path], T]) -> tuple[list[T], list[Damaged]]:
    """Apply `read` to each folder; returns the results, and the folders for which it raised DataError."""
    results, others = [], []
    for folder in folders:
        try:
            results.append(read(folder))
        except DataError as error:
            others.append(Damaged(folder, str(error)))
    return results, others


def read_run(folder: Path) -> Run:
    """Read a run's folder. Raises DataError, naming the file that is missing or damaged."""
    result = read_result(folder)
    settings = read_settings(folder)
    run = Run(folder, settings, result, read_epochs(folder), read_inspection(folder))
    samples = [*run.inspection.gallery, *run.inspection.most_wrong]
    labels = (label for sample in samples for label in (sample.truth, sample.guess))
    if not _drawable(run.inspection) or not all(0 <= label < len(result.classes) for label in labels):
        raise damaged(folder / "inspection.json")
    return run


def _drawable(inspection: Inspection) -> bool:
    histograms = [histogram for epochs in inspection.histograms.values() for histogram in epochs.values()]
    graph = all(
        node.kind in GRAPH_KINDS and all(0 <= read < i for read in node.reads)
        for i, node in enumerate(inspection.graph)
    )
    return (
        graph
        and all(inspection.histograms.values())
        and all(
            math.isfinite(bins.high - bins.low) and bins.low < bins.high and bins.counts and min(bins.counts) >= 0
            for bins in histograms
        )
    )


def read_result(folder: Path) -> RunResult:
    """Read summary.json; null, stored for a metric that was not finite, becomes NaN. Raises DataError if damaged."""
    path = folder / "summary.json"
    content = read_json(path)
    metrics = {key: math.nan if value is None else value for key, value in content.items() if "/" in key}
    result = validated(RunResult, {"metrics": metrics} | content | {"folder": ""}, path)
    result.folder = str(folder)  # which, unlike JSON, may hold halves of characters
    if not 0 <= result.seconds < math.inf:
        raise damaged(path, "seconds")
    if not _counts_classes(result.confusion_matrix, len(result.classes)):
        raise damaged(path, "confusion_matrix")
    if result.class_weights is not None and len(result.class_weights) != len(result.classes):
        raise damaged(path, "class_weights")
    return result


def _counts_classes(matrix: list[list[int]], size: int) -> bool:
    """True if a confusion matrix has a row and a column for each class, or is empty, as for a run not tested.

    With many classes it may list the entries above 0 instead.
    """
    if matrix == [] or {len(matrix), *map(len, matrix)} == {size}:
        return True
    return size > MOST_CLASSES_IN_ROWS and all(
        len(row) == 3 and 0 <= row[0] < size and 0 <= row[1] < size for row in matrix
    )


def read_epochs(folder: Path) -> dict[int, dict[str, float]]:
    """Read the metrics of each epoch; empty before the first epoch has ended. Raises DataError if damaged."""
    path = folder / "metrics.csv"
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {
            int(row.pop("epoch")): {name: float(value) for name, value in row.items() if value != ""} for row in rows
        }
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise damaged(path) from error


def started(folder: Path) -> datetime:
    """Start of a run or sweep: the stamp in the name of its folder or sweep, else the time of its record."""
    for name in (folder.name, folder.resolve().parent.name):
        stamp = re.match(r"\d{8}-\d{6}(?=-)", name)
        with suppress(ValueError):  # digits that are not a date
            if stamp:
                return datetime.strptime(stamp[0], "%Y%m%d-%H%M%S")
    record = folder / "summary.json"
    return datetime.fromtimestamp(os.stat(record if record.exists() else folder / "multirun.yaml").st_mtime)


def _run_folders(path: Path) -> Iterator[Path]:
    """Folders of runs in and below path; neither a run's own subfolders nor hidden folders are searched."""
    if not path.is_dir():
        raise DataError(f"{path} is not a folder: name a run's folder, or one above it, such as logs")
    for folder, below, files in os.walk(path):
        if is_run(Path(folder), files):
            yield Path(folder)
            below.clear()
        below[:] = [name for name in below if not name.startswith(".")]


def is_run(folder: Path, files: Sequence[str]) -> bool:
    """True if the folder, which holds these files, is that of a run."""
    if "summary.json" in files:
        return True
    if "config.yaml" not in files:
        return False
    try:
        if not (folder / "config.yaml").is_file():
            return True  # a pipe, which nobody may ever write to, or a link to nowhere
        with (folder / "config.yaml").open("rb") as file:  # conf/ also has a config.yaml, with another first line
            return file.readline().startswith(b"schema:")
    except OSError:
        return True  # read_run() will report it as damaged


def natural(folder: Path) -> list[tuple[int, str]]:
    """Sort key of natural order: 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(folder))]


def read_settings(folder: Path) -> dict[str, Any]:
    """Read config.yaml, nested, with old names replaced. Raises DataError if damaged."""
    content = read_yaml(folder / "config.yaml")
    if not isinstance(content.get("schema"), dict):
        raise damaged(folder / "config.yaml")
    return with_new_names(content)
