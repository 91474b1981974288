"""The run that a command names: a folder, or the latest or the best run in logs/."""

import math
from pathlib import Path

from dlproj.config.checks import DataError, UserError
from dlproj.runs.comparison import score
from dlproj.runs.record import Run, find_runs, run_folders, started

LOGS = Path("logs")
_LISTED = 5  # runs named in a message


def chosen_run(name: Path) -> Path:
    """Return the run's folder; `latest` is the last one started in logs/, `best` the best one on the same data.

    The best has the highest val/accuracy of the tested weights. Raises UserError if there is no such run.
    """
    if name.exists() or str(name) not in ("latest", "best"):
        return existing_run(name)
    try:
        latest = max(run_folders([LOGS]), key=started)
    except DataError as error:
        raise UserError(f"{LOGS} holds no run: train one, or name a run's folder") from error
    return latest if str(name) == "latest" else _best(_data_of(latest))


def _best(data: object) -> Path:
    runs, _ = find_runs([LOGS])
    scores = {run.folder: score(run, "val/accuracy") for run in runs if _data(run) == data}
    known = {folder: value for folder, value in scores.items() if not math.isnan(value)}
    if not known:
        raise UserError(f"{LOGS} holds no completed run with val/accuracy: name a run's folder")
    return max(known, key=lambda folder: known[folder])


def _data(run: Run) -> object:
    return run.settings["schema"]["data"]


def _data_of(folder: Path) -> object:
    runs, _ = find_runs([folder])
    if not runs:
        raise UserError(f"{folder}, the latest run, is damaged: name another run's folder")
    return _data(runs[0])


def existing_run(folder: Path) -> Path:
    """Return the folder if it holds a run's settings. Raises UserError, naming the runs beside it."""
    try:
        if (folder / "config.yaml").is_file():
            return folder
        problem = "has no config.yaml" if folder.is_dir() else "is not a folder"
        parent = folder if folder.is_dir() else folder.parent
        runs = sorted(file.parent.name for file in parent.glob("*/summary.json"))
    except (OSError, ValueError) as error:  # not a valid file name
        raise UserError(f"no run at {folder} ({error}): name a run's folder") from error
    raise UserError(f"no run at {folder}, which {problem}: name a run's folder{_newest(parent, runs)}")


def _newest(parent: Path, names: list[str]) -> str:
    """Words that list the newest runs of a folder, by their stamps."""
    shown = ", ".join(reversed(names[-_LISTED:]))
    more = f" and {len(names) - _LISTED} older ones" if len(names) > _LISTED else ""
    return f"; in {parent} there is {shown}{more}" if names else ", such as logs/runs/…"
