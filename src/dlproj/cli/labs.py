"""`dlproj reproduce`, `study` and `bench`: the documents' experiments, figures and measurements."""

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
        typer.Argument(metavar="[SUITE | SUITE/NAME]...", help="such as lab4 or mlp/activations; without any, all"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="a few batches of at most two epochs and one seed: to see that all train")
    ] = False,
    seeds: Annotated[int | None, typer.Option(min=1, help="runs of each experiment; 3, or 1 with --quick")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="runs at once, of one thread each; as many as cores")] = None,
    cifar10_images: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="read CIFAR-10 from train/CLASS/* and test/CLASS/* in here, and mark it"),
    ] = None,
    recorded: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="a results.json: its runs of unchanged settings are not run again"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="folder for RESULTS.md, results.csv and results.json; that of the runs")
    ] = None,
) -> None:
    """Run the experiments of conf/experiment that have not been run, and put them beside the reported figures.

    Runs are kept in logs/reproduce, quick ones in logs/reproduce-quick: after an interruption it goes on with those
    that are missing. The table holds all that was ever run, and with `--recorded` what others have run; a run that dies
    is a row that says so, and the exit code is 1.

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
    found = rows(reproduce(options))
    selected = select(experiments or [], names())
    asked = [row for row in found if row.point.experiment in selected]
    judged = judgements(found, quick)
    print_table(COLUMNS, cells(asked, judged))
    for path in write(found, judged, shlex.join(["dlproj", *sys.argv[1:]]), quick, output or folder):
        print(path)
    if any(row.died for row in found):
        sys.exit(1)


def study(arguments: Annotated[list[str] | None, typer.Argument(metavar="NAME | --all")] = None) -> None:
    """Make the documents' figures and measurements again: `dlproj study --help` lists them.

    Example: `dlproj study activation_functions`
    """
    announce("reading the studies")
    from dlproj.labs.studies.study_command import run  # which brings options of its own

    run(arguments or [])


bench = typer.Typer(no_args_is_help=True, help="Measure what training costs.\n\nExample: `dlproj bench scaling`")


@bench.callback()
def _bench() -> None:
    """With a callback, typer keeps the only command's name."""


@bench.command()
def scaling(
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="SETTING=VALUE", help="as for train.py, such as model.hidden=[2048,2048] optim=sgd"),
    ] = None,
    processes: Annotated[str, typer.Option(metavar="N,N…", help="how many at once; 1 always is among them")] = "1,2,4",
    strategies: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy", help="ddp, fsdp, tensor_parallel, …; repeatable, without any, all", show_default=False
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="timed of each case")] = 20,
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="for the page, its figures and tables")] = Path(
        "logs/scaling"
    ),
    overwrite: Overwrite = False,
) -> None:
    """Time a step of an MLP by every strategy over several processes, beside what formulas predict.

    The batch is shared, however many processes there are. The page goes on to 8 and 64 GPUs on paper.

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
    found = measured(planned, steps, progress=sys.stderr.isatty())
    table = measured_table(found)
    print_table(table.columns, table.cells)
    for path in write_article(article(found, shlex.join(["dlproj", *sys.argv[1:]])), output, overwrite):
        print(path)
