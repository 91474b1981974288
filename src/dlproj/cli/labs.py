"""`dlproj reproduce`, `study` and `bench`: experiments, figures and measurements of the documents."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dlproj.cli.options import Overwrite
from dlproj.loop_progress import announce
from dlproj.start import open_streams


def reproduce(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SUITE | SUITE/NAME]...", help="such as lab4 or mlp/activations; default: all"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="check that all train: a few batches of at most two epochs, one seed")
    ] = False,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="seeds of each experiment; default: 3, or 1 with --quick")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="runs at once, of one thread each; default: the number of cores")
    ] = None,
    cifar10_images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="read CIFAR-10 from train/CLASS/* and test/CLASS/* there; results are marked"
        ),
    ] = None,
    recorded: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="a results.json whose runs are not repeated if their settings are unchanged"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="folder for RESULTS.md, results.csv and results.json; default: that of the runs")
    ] = None,
) -> None:
    """Run the experiments of conf/experiment that have not been run, and compare them with the reported figures.

    Runs are kept in logs/reproduce, quick ones in logs/reproduce-quick; after an interruption only missing ones are
    run. The table holds all runs so far, with `--recorded` also those of the file. A run that crashes is a row that
    says so, and the exit code is 1.

    Example: `dlproj reproduce mlp/activations --quick`
    """
    import shlex

    open_streams(keep_going=True)
    from dlproj.experiments import names, select
    from dlproj.labs.reproduce.reproduction import Options, reproduce
    from dlproj.labs.reproduce.results_table import COLUMNS, cells, check_folder, write
    from dlproj.labs.reproduce.rows import judgements, rows
    from dlproj.machine import usable_cores
    from dlproj.reports.terminal import print_table

    folder = Path("logs/reproduce-quick" if quick else "logs/reproduce")
    seeds = seeds or (1 if quick else 3)
    check_folder(output or folder, quick)
    options = Options(experiments or [], quick, seeds, jobs or usable_cores(), folder, cifar10_images, recorded)
    results = rows(reproduce(options))
    selected = select(experiments or [], names())
    asked = [row for row in results if row.point.experiment in selected]
    judged = judgements(results, quick)
    print_table(COLUMNS, cells(asked, judged))
    for path in write(results, judged, shlex.join(["dlproj", *sys.argv[1:]]), quick, output or folder):
        print(path)
    if any(row.died for row in results):
        sys.exit(1)


def study(arguments: Annotated[list[str] | None, typer.Argument(metavar="NAME | --all")] = None) -> None:
    """Repeat figures and measurements of the documents; `dlproj study --help` lists them.

    Example: `dlproj study activation_functions`
    """
    announce("reading the studies")
    from dlproj.labs.studies.study_command import run  # it parses options of its own

    run(arguments or [])


bench = typer.Typer(
    no_args_is_help=True, help="Measure the time and memory of training.\n\nExample: `dlproj bench scaling`"
)


@bench.callback()
def _bench() -> None:
    """Without a callback, typer would drop the name of the only command."""


@bench.command()
def scaling(
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="SETTING=VALUE", help="as for train.py, such as model.hidden=[2048,2048] optim=sgd"),
    ] = None,
    processes: Annotated[
        str, typer.Option(metavar="N,N…", help="numbers of processes to compare; 1 is always included")
    ] = "1,2,4",
    strategies: Annotated[
        list[str] | None,
        typer.Option("--strategy", help="ddp, fsdp, tensor_parallel, …; repeatable; default: all", show_default=False),
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="timed steps per case")] = 20,
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="folder for the page, its figures and tables")] = Path(
        "logs/scaling"
    ),
    overwrite: Overwrite = False,
) -> None:
    """Time a step of an MLP with each strategy over several processes, and compare it with formulas.

    The processes share one batch, however many there are. The page also predicts the times on 8 and 64 GPUs.

    Example: `dlproj bench scaling 'model.hidden=[2048,2048,2048]' data.batch_size=512 --processes 1,2`
    """
    import shlex

    from dlproj.config.checks import whole_numbers
    from dlproj.labs.scaling.bench import measured, plan
    from dlproj.labs.scaling.scaling_report import article, measured_table
    from dlproj.reports.article import check_folder, write_article
    from dlproj.reports.terminal import print_table

    planned = plan(settings or [], whole_numbers("--processes", processes, such_as="1,2,4"), strategies or [])
    check_folder("scaling", output, overwrite)
    measurements = measured(planned, steps, progress=sys.stderr.isatty())
    table = measured_table(measurements)
    print_table(table.columns, table.cells)
    for path in write_article(article(measurements, shlex.join(["dlproj", *sys.argv[1:]])), output, overwrite):
        print(path)
