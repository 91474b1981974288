"""The run that a command names: a folder, or the latest or the best run in logs/."""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dlproj.config.checks import DataError, UserError
from dlproj.runs.comparison import score
from dlproj.runs.record import Run, find_runs, run_folders, started

LOGS = Path("logs")
_OTHERS = (
    "arrays",
    "found",
    "reproduce",
    "scaling",
    "studies",
    "surveys",
    "wandb",
)  # what dlproj keeps in logs/ beside runs
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


def chosen_runs(names: Sequence[Path]) -> list[Path]:
    """Return the runs' folders, each as of chosen_run(); those in and below a folder of runs in natural order.

    Raises UserError where there is no run.
    """
    folders: list[Path] = []
    for name in names:
        below = [] if (name / "config.yaml").is_file() or not name.is_dir() else _below(name)
        folders += below if len(below) > 1 else [chosen_run(*below or [name])]
    return list(dict.fromkeys(folders))


def _below(path: Path) -> list[Path]:
    with suppress(DataError):
        return run_folders([path])
    return []


def without_run(paths: Sequence[Path], folders: Sequence[Path]) -> list[Path]:
    """Subfolders of paths that have none of the runs' folders in them, but lie beside some that have.

    Of where one works, which is the current folder, those above it and a folder with runs/ or sweeps/, none is meant.
    """
    runs, here = [folder.resolve() for folder in folders], Path.cwd()
    empty = []
    for path in paths:
        holds = {run.relative_to(path.resolve()).parts[:1] for run in runs if run.is_relative_to(path.resolve())}
        at_work = here.is_relative_to(path.resolve()) or any((path / name).is_dir() for name in ("runs", "sweeps"))
        if () not in holds and not at_work:
            names = sorted(one.name for one in path.iterdir() if one.is_dir() and (one.name,) not in holds)
            empty += [path / name for name in names if name not in _OTHERS and not name.startswith(".")]
    return empty


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
