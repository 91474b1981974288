"""`dlproj find`: settings found by a few steps of training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlproj.cli.options import Overwrite
from dlproj.loop_progress import announce

if TYPE_CHECKING:
    from dlproj.config.root import Config

app = typer.Typer(
    no_args_is_help=True,
    help="Find a learning rate or a batch size by a few steps of training.\n\n"
    "Example: `dlproj find learning_rate data=digits model=mlp optim=sgd`",
)
_Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="SETTING=VALUE…", help="as for dlproj train, such as data=fmnist model=mlp optim=sgd"),
]
_Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="folder for the figure and its numbers; by default logs/found/NAME", show_default=False
    ),
]


@app.command("learning_rate")
def learning_rate(
    settings: _Settings = None,
    lowest: Annotated[float, typer.Option("--from", help="rate of the first step")] = 1e-6,
    highest: Annotated[float, typer.Option("--to", help="rate of the last step")] = 10.0,
    steps: Annotated[int, typer.Option(min=30, max=2000, help="steps in between, of a batch each")] = 200,
    output: _Output = None,
    overwrite: Overwrite = False,
) -> None:
    """Train a few steps at rising rates (Smith's range test), and suggest optim.learning_rate.

    The steps are those of dlproj train with these settings, from the same seed; the trained weights are dropped.

    Example: `dlproj find learning_rate data=digits model=mlp optim=sgd`
    """
    config, folder = _composed(settings or [], output, ["learning_rate.png", "learning_rate.csv"], overwrite)
    announce("trying learning rates")
    from dlproj.reports.finding_figures import rate_figure
    from dlproj.reports.style import png
    from dlproj.training.range_test import range_test

    curve = range_test(config, lowest, highest, steps)
    best, suggestions = curve.suggestion, curve.suggestions()
    figure = rate_figure(curve.rates, curve.losses, curve.averaged, suggestions, best)
    rows = [(name, f"{rate:.2g}") for name, rate in suggestions.items()]
    rows.append(("recommended", f"{best:g}, by the {curve.rule}"))
    files: dict[str, str | bytes] = {"learning_rate.png": png(figure), "learning_rate.csv": curve.csv()}
    _leave(files, folder, overwrite, rows, settings or [], f"optim.learning_rate={best:g}")


@app.command("batch_size")
def batch_size(
    settings: _Settings = None,
    seconds: Annotated[float, typer.Option(min=1, help="time after which no larger batch size is begun")] = 60.0,
    output: _Output = None,
    overwrite: Overwrite = False,
) -> None:
    """Time an epoch by batch size, up to the largest batch that fits into memory, and suggest data.batch_size.

    Sizes are doubled from 16 on. One is not tried if it would leave less than a fifth of the memory that was free.

    Example: `dlproj find batch_size data=digits model=mlp`
    """
    config, folder = _composed(settings or [], output, ["batch_size.png", "batch_size.csv"], overwrite)
    announce("trying batch sizes")
    from dlproj.reports.comparison_table import as_csv
    from dlproj.reports.finding_figures import batch_size_cells, batch_size_figure
    from dlproj.reports.style import png
    from dlproj.reports.terminal import print_table
    from dlproj.training.batch_sizes import try_batch_sizes

    found = try_batch_sizes(config, seconds)
    print_table(*batch_size_cells(found.table()))
    figure = batch_size_figure(found.table(), found.suggestion)
    files: dict[str, str | bytes] = {
        "batch_size.png": png(figure),
        "batch_size.csv": as_csv([dict(row) for row in found.table()]),
    }
    rows = [
        ("largest tried", f"{found.largest:,}, {found.end_words()}"),
        ("fastest epoch", f"{found.fastest.batch_size:,}"),
    ]
    rows.append(
        ("recommended", f"{found.suggestion}, the smallest within 20% of that; try another learning rate with it")
    )
    _leave(files, folder, overwrite, rows, settings or [], f"data.batch_size={found.suggestion}")


def _composed(settings: list[str], output: Path | None, files: list[str], overwrite: bool) -> tuple["Config", Path]:
    """The settings of one run, and the folder for the files. Raises ConfigurationError and DataError."""
    from hydra import compose
    from hydra.core.hydra_config import HydraConfig

    from dlproj.config.whole_files import check_writable
    from dlproj.experiments import composing
    from dlproj.runs.manifest import OVERWRITE, refuse_foreign
    from dlproj.runs.new_run import checked

    with composing():
        HydraConfig.instance().set_config(compose("config", settings, return_hydra_config=True))  # names the run
        config = checked(compose("config", settings))
    folder = output or Path("logs/found") / config.name
    check_writable(folder)
    if not overwrite:
        refuse_foreign(folder, files, OVERWRITE)
    return config, folder


def _leave(
    files: dict[str, str | bytes],
    folder: Path,
    overwrite: bool,
    rows: list[tuple[str, str]],
    settings: list[str],
    found: str,
) -> None:
    """Write the files, and print what was found with the command that trains with it."""
    import shlex

    from dlproj.reports.terminal import print_table
    from dlproj.runs.manifest import write_files

    paths = write_files(folder, files, overwrite)
    others = [text for text in settings if text.partition("=")[0] != found.partition("=")[0]]
    command = shlex.join(["dlproj", "train", *others, found])
    print_table(("found", "value"), [*rows, ("figure", str(paths[0])), ("train with", command)])
