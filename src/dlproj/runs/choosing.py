"""Which run a command means: a folder, or the latest or the best one in logs/."""

import math
from pathlib import Path

from dlproj.config.checks import DataError, UserError
from dlproj.runs.comparison import score
from dlproj.runs.record import Run, find_runs, run_folders, started

LOGS = Path("logs")
_LISTED = 5  # of the runs that are there, in a message


def chosen_run(name: Path) -> Path:
    """The run's folder; `latest` is the one in logs/ that started last, `best` that of its data with the best score.

    The score is val/accuracy of the tested weights. Raises UserError where there is no run.
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
    """The folder itself, if it holds a run's settings. Raises UserError, naming the runs beside it."""
    try:
        if (folder / "config.yaml").is_file():
            return folder
        problem = "has no config.yaml" if folder.is_dir() else "is not a folder"
        place = folder if folder.is_dir() else folder.parent
        runs = sorted(file.parent.name for file in place.glob("*/summary.json"))
    except (OSError, ValueError) as error:  # a name that no file can have
        raise UserError(f"no run at {folder} ({error}): name a run's folder") from error
    raise UserError(f"no run at {folder}, which {problem}: name a run's folder{_those_of(place, runs)}")


def _those_of(place: Path, names: list[str]) -> str:
    """The newest by their stamps."""
    shown = ", ".join(reversed(names[-_LISTED:]))
    more = f" and {len(names) - _LISTED} older ones" if len(names) > _LISTED else ""
    return f"; in {place} there is {shown}{more}" if names else ", such as logs/runs/…"
