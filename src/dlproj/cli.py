"""The command `dlproj`: one thin function a subcommand, which reads run folders and never the training code's insides.

Heavy packages are imported inside the functions, so that `dlproj runs` does not wait for torch.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dlproj.results.record import Damaged
from dlproj.settings import DataError, UserError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Look at runs, compare them, and use what they have learnt. Runs are made by `python train.py`.",
)

data = typer.Typer(no_args_is_help=True, help="Look at the data sets.")
app.add_typer(data, name="data")


@data.command()
def survey(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="fmnist, cifar10, imdb, digits, image_folder or feature_sum")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="SETTING=VALUE", help="settings of the data, as for train.py: root=… or length=100"),
    ] = None,
    show: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SET:N,N…", help="samples to show, such as train:0,50 test:100; by default one of each class"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="decides which samples are drawn for the grid")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="folder for the pictures; by default logs/surveys/NAME", show_default=False)
    ] = None,
) -> None:
    """Say what a data set holds: sizes, classes, statistics, and samples in words or pictures.

    The training set is the whole official one, before validation is taken from it.

    Example: `dlproj data survey fmnist --show train:0,50 test:100,1000`
    """
    from dlproj.config import data_config
    from dlproj.survey.report import survey
    from dlproj.survey.sets import parse_places, read

    # What follows the first value of --show arrives as an argument: no setting is without "=".
    more = [text for text in settings or [] if "=" not in text]
    places = parse_places([*(show or []), *more])
    sets = read(data_config(name, [text for text in settings or [] if "=" in text]), seed)
    survey(sets, name, places, seed, output or Path("logs/surveys") / name)


_PATHS = typer.Argument(metavar="PATH…", help="folders of runs or of sweeps, or folders above them", show_default=False)


@app.command()
def report(
    paths: Annotated[list[Path], _PATHS],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="where the page goes", show_default=False)
    ] = None,
) -> None:
    """Put runs into one HTML page that needs no network, and their table into CSV and Markdown beside it.

    One run is shown by itself, several are compared: what varies, what came of it, curves over one another, weights.

    Without --output it is report.html in PATH, or in the current folder where there are several. What cannot be read is
    named and left out; the exit code is 1 if nothing can.

    Example: `dlproj report logs/sweeps/20261121-060235-a2c588-mlp-digits`
    """
    from dlproj.results.record import find_runs
    from dlproj.results.report import write_report

    runs, damaged = find_runs(paths)
    _name_skipped(damaged, runs)
    default = paths[0] / "report.html" if len(paths) == 1 else Path("report.html")
    for path in write_report(runs, damaged, output or default):
        print(path)  # noqa: T201


@app.command()
def runs(
    path: Annotated[Path, typer.Argument(help="a folder above the runs")] = Path("logs"),
    limit: Annotated[int | None, typer.Option(min=1, help="show only so many", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, accuracies as fractions")] = False,
) -> None:
    """List the runs on disk, newest first, with status and score.

    At a terminal it is a table, which has no room for the overrides below 110 columns; into a pipe or a file goes a
    line a run, with tabs between. What cannot be read is named on standard error.

    Example: `dlproj runs logs/sweeps --limit 10`
    """
    import json

    from dlproj.results.listing import COLUMNS, as_cells, list_runs
    from dlproj.results.table import print_table

    listed, damaged = list_runs(path)
    _name_skipped(damaged, listed)
    if as_json:
        print(json.dumps(listed[:limit], indent=2))  # noqa: T201
    else:
        narrow = sys.stdout.isatty() and shutil.get_terminal_size().columns < 110
        shown = len(COLUMNS) - narrow
        print_table(COLUMNS[:shown], [as_cells(one)[:shown] for one in listed[:limit]])


def _name_skipped(damaged: Sequence[Damaged], whole: Sequence[object]) -> None:
    """Name what is left out on standard error. Raises DataError where nothing is left."""
    for one in damaged:
        print(f"skipped {one.folder}: {one.reason}", file=sys.stderr)  # noqa: T201
    if not whole:
        raise DataError("no run is left that can be read: name other folders")


def main() -> None:
    """Run a subcommand: exit code 0, 1 for what the user can mend, 2 for wrong usage, 130 after Ctrl-C."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `dlproj runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
