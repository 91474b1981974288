"""`dlproj runs`, `report` and `resume`: list, report and continue runs."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dlproj.cli.options import AllowCode, Overwrite, chosen
from dlproj.config.checks import DataError, one_line, require
from dlproj.runs.record import Damaged
from dlproj.start import open_streams

_PATHS = typer.Argument(metavar="PATH…", help="folders of runs or of sweeps, or folders above them", show_default=False)


def report(
    paths: Annotated[list[Path], _PATHS],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="file for the page", show_default=False)
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write one self-contained HTML page about runs, and their table as CSV and Markdown beside it.

    One run is shown in full. Several are compared: varied settings, results, curves, weights.

    Without --output the page is report.html in PATH, or in the current folder if there are several. Damaged runs are
    named and left out, and folders without a run that lie beside runs are named; the exit code is 1 if no run is left.

    Example: `dlproj report logs/sweeps/20261121-060235-a2c588-mlp-digits`
    """
    from dlproj.reports.comparison_report import write_report
    from dlproj.runs.choosing import without_run
    from dlproj.runs.record import find_runs

    runs, damaged = find_runs(paths)
    _name_skipped(damaged, runs)
    found = [run.folder for run in runs] + [run.folder for run in damaged]
    if empty := without_run(paths, found):
        print(one_line(f"no run in {', '.join(map(str, empty))}"), file=sys.stderr)
    default = paths[0] / "report.html" if len(paths) == 1 else Path("report.html")
    for path in write_report(runs, damaged, output or default, overwrite):
        print(one_line(str(path)))


def runs(
    path: Annotated[Path, typer.Argument(help="a folder above the runs")] = Path("logs"),
    limit: Annotated[int | None, typer.Option(min=1, help="show at most this many runs", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, accuracies as fractions")] = False,
) -> None:
    """List the runs on disk, newest first, with status and score.

    At a terminal it is a table, without the overrides below 110 columns; in a pipe or file, one line per run, separated
    by tabs. Runs that cannot be read are named on standard error.

    Example: `dlproj runs logs/sweeps --limit 10`
    """
    import json

    from dlproj.reports.listing import COLUMNS, as_cells, list_runs
    from dlproj.reports.terminal import print_table

    listed, damaged = list_runs(path)
    _name_skipped(damaged, listed)
    if as_json:
        print(json.dumps(listed[:limit], indent=2))
    else:
        narrow = sys.stdout.isatty() and shutil.get_terminal_size().columns < 110
        shown = len(COLUMNS) - narrow
        print_table(COLUMNS[:shown], [as_cells(run)[:shown] for run in listed[:limit]])


def resume(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN | SWEEP", help="such as logs/runs/… or logs/sweeps/…", show_default=False)
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SETTING=VALUE]...",
            help="of a RUN: train it on, also if it has ended, such as trainer.max_epochs=20",
            show_default=False,
        ),
    ] = None,
    allow_code: AllowCode = False,
) -> None:
    """Continue a run, a sweep or a search that was interrupted or killed, with the same settings, or train a run on.

    A run continues from its last checkpoint, with the same result as without the interruption. A sweep repeats its last
    command with sweep.resume: completed runs are kept, the others run.

    Example: `dlproj resume logs/sweeps/20261121-171814-0b5dd2-mlp-tpe_search`
    """
    open_streams(keep_going=True)
    if str(folder) in ("latest", "best"):
        folder = chosen(folder)
    if (folder / "config.yaml").is_file():
        _resume_run(folder, settings or [], allow_code)
        return
    require(
        not settings, f"{folder} is no single run, whose settings could change: leave out {' '.join(settings or [])}"
    )
    from dlproj.sweeps.sweep import resume_command

    command = resume_command(folder, allow_code)
    os.execv(command[0], command)


def _resume_run(folder: Path, settings: Sequence[str], allow_code: bool) -> None:
    from dlproj.reports.terminal import show
    from dlproj.runs.record import read_result

    result = read_result(folder)
    if result.has_ended() and not settings:
        print(one_line(f"{folder} is complete: there is nothing to go on with"))
        if result.status != "diverged":
            print(one_line(f"to train it on: dlproj resume {folder} trainer.max_epochs={2 * result.last_epoch}"))
    else:
        from dlproj.training.continued_run import continued_config

        if settings:
            continued_config(folder, settings, allow_code)  # refuses what cannot be before torch is imported
        from dlproj.training.run import resume_run

        result = resume_run(folder, settings, allow_code)
    show(result)


def _name_skipped(damaged: Sequence[Damaged], whole: Sequence[object]) -> None:
    """Name damaged runs on standard error. Raises DataError if no other run is left."""
    for run in damaged:
        print(one_line(f"skipped {run.folder}: {run.reason}"), file=sys.stderr)
    if not whole:
        raise DataError("no run is left that can be read: name other folders")
