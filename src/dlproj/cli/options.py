"""Arguments and options shared by several commands."""

from pathlib import Path
from typing import Annotated

import typer

from dlproj.config.checks import DataError


def chosen(name: Path) -> Path:
    """The folder of `latest` or `best`, or the named folder itself. Raises UserError if it holds no run."""
    from dlproj.runs.choosing import chosen_run

    return chosen_run(name)


def run_names(incomplete: str) -> list[str]:
    """Folders of runs that begin with `incomplete`, for completion with the Tab key."""
    from dlproj.runs.choosing import LOGS
    from dlproj.runs.record import run_folders

    try:
        folders = [str(folder) for folder in run_folders([LOGS])]
    except DataError:
        folders = []
    return [name for name in ["latest", "best", *reversed(folders)] if name.startswith(incomplete)]


def chosen_each(names: list[Path]) -> list[Path]:
    """The folders of the runs that are named as for chosen(), or that are in and below the named folders."""
    from dlproj.runs.choosing import chosen_runs

    return chosen_runs(names)


Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="The run's folder, such as logs/runs/…, or latest or best in logs.",
        show_default=False,
        callback=chosen,
        autocompletion=run_names,
    ),
]
Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN…",
        help="The run's folder, such as logs/runs/…, or latest or best in logs; or several, or folders above them.",
        show_default=False,
        callback=chosen_each,
        autocompletion=run_names,
    ),
]
Checkpoint = Annotated[
    str | None, typer.Option(help="best, last or a file. Default: the weights that training tested.")
]


Overwrite = Annotated[bool, typer.Option("--overwrite", help="Also replace files that dlproj did not write.")]
AllowCode = Annotated[
    bool,
    typer.Option("--allow-code", help="Run the network or data code that RUN holds, though not trained with here."),
]
