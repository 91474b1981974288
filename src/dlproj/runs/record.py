"""Runs as recorded in their folders, read without torch and without the settings classes."""

import csv
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from dlproj.config.checks import MOST_CLASSES_IN_ROWS, DataError
from dlproj.config.renamed import with_new_names
from dlproj.config.whole_files import read_json, read_yaml
from dlproj.runs.inspection import GRAPH_KINDS, Inspection, read_inspection
from dlproj.runs.summary import RunResult

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
        below = sorted(_run_folders(path), key=_natural)
        if not below:
            raise DataError(f"no run in {path}: name a run's folder, or one above it, such as logs")
        folders |= {folder.resolve(): folder for folder in below if folder.resolve() not in folders}
    return list(folders.values())


def read_each(folders: Sequence[Path], read: Callable[[Path], T]) -> tuple[list[T], list[Damaged]]:
    """Apply `read` to each folder; returns the results, and the folders for which it raised DataError."""
    results, damaged = [], []
    for folder in folders:
        try:
            results.append(read(folder))
        except DataError as error:
            damaged.append(Damaged(folder, str(error)))
    return results, damaged


def read_run(folder: Path) -> Run:
    """Read a run's folder. Raises DataError, naming the file that is missing or damaged."""
    result = read_result(folder)
    settings = read_settings(folder)
    run = Run(folder, settings, result, read_epochs(folder), read_inspection(folder))
    samples = [*run.inspection.gallery, *run.inspection.most_wrong]
    labels = (label for sample in samples for label in (sample.truth, sample.guess))
    if (
        not fits(run.inspection, Inspection)
        or not _drawable(run.inspection)
        or not all(0 <= label < len(result.classes) for label in labels)
    ):
        raise _damaged(folder / "inspection.json")
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
    content = read_json(folder / "summary.json")
    known = {field.name: content.pop(field.name) for field in fields(RunResult) if field.name in content}
    metrics = {key: math.nan if value is None else value for key, value in content.items() if "/" in key}
    try:
        curves = _by_epoch(known.get("reference_curves", {}))
        result = RunResult(**{"metrics": metrics} | known | {"folder": str(folder), "reference_curves": curves})
    except (AttributeError, TypeError, ValueError) as error:
        raise _damaged(folder / "summary.json") from error
    valid = fits(result, RunResult) and 0 <= result.seconds < math.inf
    if not valid or not _counts_classes(result.confusion_matrix, len(result.classes)):
        raise _damaged(folder / "summary.json")
    return result


def _by_epoch(curves: dict[str, dict[str, float]]) -> dict[str, dict[int, float]]:
    return {metric: {int(epoch): value for epoch, value in curve.items()} for metric, curve in curves.items()}


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
        raise _damaged(path) from error


def started(folder: Path) -> datetime:
    """Start of the run: the stamp in the name of its folder or sweep, else the time of summary.json."""
    for name in (folder.name, folder.resolve().parent.name):
        stamp = re.match(r"\d{8}-\d{6}(?=-)", name)
        with suppress(ValueError):  # digits that are not a date
            if stamp:
                return datetime.strptime(stamp[0], "%Y%m%d-%H%M%S")
    return datetime.fromtimestamp(os.stat(folder / "summary.json").st_mtime)


def _run_folders(path: Path) -> Iterator[Path]:
    """Folders of runs in and below path; neither a run's own subfolders nor hidden folders are searched."""
    if not path.is_dir():
        raise DataError(f"{path} is not a folder: name a run's folder, or one above it, such as logs")
    for folder, below, files in os.walk(path):
        if _is_run(Path(folder), files):
            yield Path(folder)
            below.clear()
        below[:] = [name for name in below if not name.startswith(".")]


def _is_run(folder: Path, files: Sequence[str]) -> bool:
    if "summary.json" in files:
        return True
    if "config.yaml" not in files:
        return False
    try:
        with (folder / "config.yaml").open("rb") as file:  # conf/ also has a config.yaml, with another first line
            return file.readline().startswith(b"schema:")
    except OSError:
        return True  # read_run() will report it as damaged


def _natural(folder: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(folder))]


def read_settings(folder: Path) -> dict[str, Any]:
    """Read config.yaml, nested, with old names replaced. Raises DataError if damaged."""
    content = read_yaml(folder / "config.yaml")
    if not isinstance(content.get("schema"), dict):
        raise _damaged(folder / "config.yaml")
    return with_new_names(content)


def _damaged(path: Path) -> DataError:
    return DataError(f"{path} is missing or damaged: take it from another copy")


def fits(value: Any, kind: Any) -> bool:
    """True if value has the annotated type, recursively; an int passes for a float."""
    if is_dataclass(kind):
        return isinstance(value, kind) and all(  # type: ignore[arg-type]
            fits(getattr(value, name), below) for name, below in get_type_hints(kind).items()
        )
    origin, below = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return any(fits(value, member) for member in below)
    if origin is list:
        return isinstance(value, list) and all(fits(item, below[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            fits(key, below[0]) and fits(item, below[1]) for key, item in value.items()
        )
    if kind is Any:
        return True
    if isinstance(value, bool) and kind in (int, float):
        return False
    if isinstance(value, int) and abs(value) >= 2**63:
        return False
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        return False  # a lone surrogate
    return isinstance(value, int | float if kind is float else kind)
