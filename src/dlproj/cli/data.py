"""`dlproj data`: look at the data sets, and fetch them ahead of time."""

from pathlib import Path
from typing import Annotated

import typer

from dlproj.cli.options import Overwrite
from dlproj.config.checks import one_line

app = typer.Typer(
    no_args_is_help=True,
    help="Look at the data sets, fetch them, or see what is kept of them.\n\nExample: `dlproj data survey fmnist`",
)


@app.command()
def survey(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="fmnist, cifar10, imdb, digits, image_folder, text_folder, …")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SETTING=VALUE", help="settings of the data, as for train.py, such as root=FOLDER or length=100"
        ),
    ] = None,
    show: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SET:N,N…", help="samples to show, such as train:0,50 test:100; by default one of each class"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="seed of the samples drawn for the grid")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="folder for the pictures; by default logs/surveys/NAME", show_default=False)
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Describe a data set: sizes, classes, statistics, and samples as text or pictures.

    The training set is the full official one, before validation is split off.

    Example: `dlproj data survey fmnist --show train:0,50 test:100,1000`
    """
    from dlproj.config.root import data_config
    from dlproj.survey.sets import parse_places, read
    from dlproj.survey.survey import check_folder, survey

    # Values after the first one of --show arrive as arguments, recognised by the missing "=".
    more = [text for text in settings or [] if "=" not in text]
    places = parse_places([*(show or []), *more])
    output = output or Path("logs/surveys") / name
    check_folder(output, overwrite)
    sets = read(data_config(name, [text for text in settings or [] if "=" in text]), seed)
    survey(sets, name, places, seed, output)


@app.command()
def fetch(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME…", help="fmnist, mnist, kmnist, emnist, qmnist, cifar10 or imdb", show_default=False
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="folder for the data sets, made if it is missing; by default the one that training reads: "
            "$DLPROJ_DATA_DIR, or data",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Download data sets and check them, for use without a network later.

    With DLPROJ_DATA_DIR set to the folder, or to a copy of it, training downloads nothing. Files that are there already
    are only checked.

    Example: `dlproj data fetch fmnist imdb --to /media/stick/dlproj-data`
    """
    from dlproj.config.checks import DataError, one_of
    from dlproj.config.data import default_root
    from dlproj.data.fetching import FOLDERS, fetch

    for name in names:
        one_of("data set", name, tuple(FOLDERS))
    folder = to or Path(default_root())
    if blocked := next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None):
        raise DataError(f"{blocked} is not a folder: set --to to one, or to a folder to be made")
    for name in names:
        print(fetch(name, folder), flush=True)


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="remove all of them; the next run reads anew")] = False,
) -> None:
    """List the decoded images and parsed tables that are kept for later runs: size, when last used, and of what.

    They are in $DLPROJ_CACHE_DIR, or in the folder cache of the data sets' folder.

    Example: `dlproj data cache --clear`
    """
    from dlproj.data.mapped_files import cache_folder, listed
    from dlproj.data.mapped_files import clear as remove
    from dlproj.reports.terminal import print_table

    found = listed()
    size = f"{len(found)} files, {sum(one.size for one in found) / 1e6:,.1f} MB in {cache_folder()}"
    if clear:
        remove()
    elif found:
        rows = [[one.path.name, f"{one.size / 1e6:,.1f} MB", f"{one.used:%Y-%m-%d %H:%M}", one.source] for one in found]
        print_table(["file", "size", "last used", "made of"], rows)
    print(one_line(f"removed {size}" if clear else size))
