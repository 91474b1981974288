"""The command `dlproj`: one thin function a subcommand, which reads run folders and never the training code's insides.

Heavy packages are imported inside the functions, so that `dlproj runs` does not wait for torch.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dlproj.settings import UserError

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
