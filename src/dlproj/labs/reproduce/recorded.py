"""Runs as the table and the claims read them, and the file that keeps them: results.json.

From it the table can be written anew, and claims judged anew, without the runs' folders and without training.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlproj.config.checks import ConfigurationError, DataError
from dlproj.config.root import from_settings
from dlproj.config.whole_files import read_json
from dlproj.labs.reproduce.quantities import quantities
from dlproj.runs.fingerprint import deciding
from dlproj.runs.record import Run
from dlproj.runs.summary import finite
from dlproj.runs.validation import validated

NAME = "results.json"
_FORMAT = 1
HEADER = f'{{"format": {_FORMAT}, "points": [\n'  # how the file begins
_SHARED = ("data.root", "seed")  # a tree of images lies elsewhere on each machine: its fingerprint tells it
_SEEDS = 1000  # more than anybody runs
Key = tuple[str, int]  # the settings that decide a run, and its seed


@dataclass(frozen=True, slots=True)
class Recorded:
    """The results of one run."""

    settings: dict[str, Any]  # nested as in config.yaml
    seed: int
    quantities: dict[str, float]
    epochs: dict[int, dict[str, float]]
    machine: str
    versions: dict[str, str]
    git_commit: str | None
    data_fingerprint: str  # of the samples of train, val and test

    @property
    def seconds(self) -> float:
        """The duration of training with its validation."""
        return self.quantities["seconds"]

    @property
    def key(self) -> Key:
        """What another run of the same settings and seed shares."""
        return key(self.settings)


def recorded(run: Run) -> Recorded:
    """What is kept of a run's folder."""
    result = run.result
    return Recorded(
        run.settings,
        result.seed,
        quantities(run),
        run.epochs,
        result.machine,
        result.versions,
        result.git_commit,
        result.data_fingerprint,
    )


def key(settings: dict[str, Any]) -> Key:
    """The settings that decide a run, as text, and its seed."""
    decisive = {name: value for name, value in deciding(settings).items() if name not in _SHARED}
    return json.dumps(decisive, sort_keys=True), settings["seed"]


def as_json(runs: Iterable[Recorded]) -> str:
    """The content of results.json: each point's settings once, and a line a run."""
    points: dict[str, list[Recorded]] = {}
    for run in {run.key: run for run in runs}.values():
        points.setdefault(run.key[0], []).append(run)
    blocks = [_point_as_json(some) for some in points.values()]
    return HEADER + ",\n".join(blocks) + "\n]}\n"


def _point_as_json(runs: list[Recorded]) -> str:
    lines = [_dumped(_of_run(run)) for run in runs]
    return f'{{"settings": {_dumped(_portable(runs[0].settings))},\n "runs": [\n  ' + ",\n  ".join(lines) + "\n ]}"


def _dumped(content: Any) -> str:
    return json.dumps(finite(content), allow_nan=False)


def _portable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without what differs between machines and seeds."""
    kept = {name: value for name, value in settings.items() if name not in ("seed", "name", "reference")}
    return kept | {"data": {name: value for name, value in settings["data"].items() if name != "root"}}


def _of_run(run: Recorded) -> dict[str, Any]:
    names = sorted({name for row in run.epochs.values() for name in row})
    curves = {
        name: [run.epochs.get(epoch, {}).get(name) for epoch in range(1, max(run.epochs, default=0) + 1)]
        for name in names
    }
    return {
        "seed": run.seed,
        "quantities": run.quantities,
        "epochs": curves,
        "machine": run.machine,
        "versions": run.versions,
        "git_commit": run.git_commit,
        "data_fingerprint": run.data_fingerprint,
    }


def read(path: Path) -> dict[Key, Recorded]:
    """The runs of a results.json. Raises DataError if it is damaged or of a newer version."""
    content = read_json(path)
    if content.get("format") is not _FORMAT:
        raise DataError(f"{path} is not a results.json of this version: name one that `dlproj reproduce` has written")
    try:
        runs = [run for point in content["points"] for run in _runs(point, path)]
    except (LookupError, TypeError, ValueError, AttributeError, ConfigurationError) as error:
        raise DataError(f"{path} is damaged: take it from another copy") from error
    return {run.key: run for run in runs}


def _runs(point: dict[str, Any], path: Path) -> list[Recorded]:
    """A point's; settings that were added since have the value that they had before they were there."""
    settings = from_settings(point["settings"] | {"name": "recorded", "seed": 0}).settings()
    return [_run(one, settings | {"seed": one["seed"]}, path) for one in point["runs"]]


def _run(content: dict[str, Any], settings: dict[str, Any], path: Path) -> Recorded:
    last = max(map(len, content["epochs"].values()), default=0)
    epochs = {
        epoch: {name: values[epoch - 1] for name, values in content["epochs"].items() if values[epoch - 1] is not None}
        for epoch in range(1, last + 1)
    }
    found = {name: math.nan if value is None else value for name, value in content["quantities"].items()}
    run = validated(Recorded, content | {"settings": settings, "quantities": found, "epochs": epochs}, path)
    if not (0 <= run.seed < _SEEDS and math.isfinite(run.seconds)):
        raise ValueError("a value that cannot be")
    return run
