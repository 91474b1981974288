"""The command `dlproj`: one thin function a subcommand, which reads run folders and never the training code's insides.

Heavy packages are imported inside the functions, so that `dlproj runs` does not wait for torch.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

try:
    import typer

    from dlproj.config.checks import DataError, UserError, one_line
    from dlproj.launch import forget_ranks
    from dlproj.progress import announce
    from dlproj.results.record import Damaged
    from dlproj.start import end_quickly, forget_other_tools, open_streams, wait_without_spinning
except KeyboardInterrupt:
    sys.exit(130)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Train, look at runs, compare them, and use what they have learnt.\n\nExample: `dlproj report logs/runs`",
)


def _chosen(name: Path) -> Path:
    from dlproj.results.choosing import chosen_run

    return chosen_run(name)


def _names(incomplete: str) -> list[str]:
    """The runs' folders that begin so, for the Tab key."""
    from dlproj.results.choosing import LOGS
    from dlproj.results.record import run_folders

    try:
        folders = [str(folder) for folder in run_folders([LOGS])]
    except DataError:
        folders = []
    return [name for name in ["latest", "best", *reversed(folders)] if name.startswith(incomplete)]


Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="The run's folder, such as logs/runs/…; or latest, or best, in logs.",
        show_default=False,
        callback=_chosen,
        autocompletion=_names,
    ),
]
Checkpoint = Annotated[
    str | None, typer.Option(help="best, last or a file; without it, the weights that training tested.")
]


Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files there that dlproj did not write, too.")]


class Split(Enum):
    """A part of the data."""

    train = "train"
    val = "val"
    test = "test"


class PredictionFormat(Enum):
    """How predictions are written."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"


class ExportFormat(Enum):
    """What an exported model is written as."""

    onnx = "onnx"
    exported_program = "exported_program"


_ALL_ARGUMENTS: dict[str, Any] = {"ignore_unknown_options": True, "help_option_names": []}  # go to the function


@app.command(context_settings=_ALL_ARGUMENTS)
def train(arguments: Annotated[list[str] | None, typer.Argument(metavar="SETTING=VALUE…")] = None) -> None:
    """Train, test and record one classifier, or several with -m, as train.py of a checkout does.

    `dlproj train --help` lists what can be set.

    Example: `dlproj train model=mlp optim=rmsprop`
    """
    from dlproj.cli.train import start

    start("__main__", arguments or [])


@app.command()
def evaluate(
    run: Run,
    split: Annotated[Split, typer.Option(help="The samples to evaluate on.")] = Split.test,
    checkpoint: Checkpoint = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="A setting of the data, such as root=FOLDER, or another data set's name. Repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, with the confusion matrix, as JSON.")] = False,
) -> None:
    """Evaluate a run again: the figures that training printed, to the digit.

    Other data is scaled and its words are numbered as the training data was.

    Example: `dlproj evaluate logs/runs/20261121-012711-4532ab-mlp-digits-adam --split val --checkpoint best`
    """
    announce(f"evaluating {run} on {split.value}")
    from dlproj.inference.evaluate import evaluate
    from dlproj.inference.output import evaluation_as_json, show_evaluation
    from dlproj.inference.trained import open_run

    trained = open_run(run, checkpoint)
    outcome = evaluate(trained, split.value, data or [], progress=sys.stdout.isatty() and not as_json)
    if as_json:
        print(evaluation_as_json(outcome))  # noqa: T201
    else:
        show_evaluation(outcome, trained.config.name)


@app.command()
def predict(
    run: Run,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="Image files or folders; or texts, files of one text each, or - for standard input, a text a line.",
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    format: Annotated[PredictionFormat, typer.Option(help="table, csv, or jsonl: a JSON object a line.")] = (
        PredictionFormat.table
    ),
    top: Annotated[int, typer.Option(min=1, help="How many classes to name, the likeliest first.")] = 3,
    lines: Annotated[bool, typer.Option("--lines", help="Text files hold a text a line.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Inputs worked on together.")] = 1000,
) -> None:
    """Classify images, texts or rows of numbers with a run's model; its training data is not needed.

    Images may be of any size and mode: they are converted to what the model reads, which is said on standard error.
    Texts come as arguments, from files or from standard input, where blank lines are left out.

    What cannot be read is named on standard error, the rest is predicted, and the exit code is 1.

    Examples: `dlproj predict logs/runs/… photos/ --format csv > classes.csv`,
    `echo "what a film" | dlproj predict logs/runs/…`
    """
    announce(f"reading {run}")
    from dlproj.inference.output import Conversions, name_left_out, say, write
    from dlproj.inference.predict import predict, read_inputs
    from dlproj.inference.trained import open_run

    trained = open_run(run, checkpoint)
    for fallback in trained.fallbacks():
        say(fallback)
    top = min(top, len(trained.model.classes))
    conversions, left_out = Conversions(trained), list[str]()
    items = read_inputs(trained.data.spec.kind, inputs or [], lines, left_out.append)
    predictions = predict(trained, items, top, batch_size, left_out.append)
    write(conversions.count(predictions), format.value, trained, top)
    if note := conversions.note():
        say(note)
    name_left_out(left_out, conversions.predicted)


@app.command()
def export(
    run: Run,
    format: Annotated[ExportFormat, typer.Option(help="ONNX, or torch's own exported program.")] = ExportFormat.onnx,
    checkpoint: Checkpoint = None,
    output: Annotated[Path | None, typer.Option(help="The file; without it, export/model.onnx or .pt2 in RUN.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a run's model for other programs, once its outputs are found to be the model's own.

    It maps `input`, pixels or word ids as they are stored, to the classes' `probabilities`, for any number at a time.
    Classes and vocabulary are in the file, as JSON under the name dlproj.json.

    Example: `dlproj export logs/runs/20261121-012711-4532ab-mlp-digits-adam --format onnx`
    """
    announce(f"writing {run} as {format.value}")
    from dlproj.inference.export import Format, export
    from dlproj.inference.trained import open_run
    from dlproj.results.table import print_table

    done = export(open_run(run, checkpoint), Format[format.value], output, overwrite)
    difference = f"{done.largest_difference:.1g} at most"
    rows = [("file", str(done.path)), ("reads", done.inputs), ("gives", done.outputs), ("differs by", difference)]
    print_table(["export", "checked"], rows)


data = typer.Typer(no_args_is_help=True, help="Look at the data sets.\n\nExample: `dlproj data survey fmnist`")
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
    overwrite: Overwrite = False,
) -> None:
    """Say what a data set holds: sizes, classes, statistics, and samples in words or pictures.

    The training set is the whole official one, before validation is taken from it.

    Example: `dlproj data survey fmnist --show train:0,50 test:100,1000`
    """
    from dlproj.config.root import data_config
    from dlproj.survey.report import check_folder, survey
    from dlproj.survey.sets import parse_places, read

    # What follows the first value of --show arrives as an argument: no setting is without "=".
    more = [text for text in settings or [] if "=" not in text]
    places = parse_places([*(show or []), *more])
    output = output or Path("logs/surveys") / name
    check_folder(output, overwrite)
    sets = read(data_config(name, [text for text in settings or [] if "=" in text]), seed)
    survey(sets, name, places, seed, output)


_PATHS = typer.Argument(metavar="PATH…", help="folders of runs or of sweeps, or folders above them", show_default=False)


@app.command()
def report(
    paths: Annotated[list[Path], _PATHS],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="where the page goes", show_default=False)
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Put runs into one HTML page that needs no network, and their table into CSV and Markdown beside it.

    One run is shown by itself, several are compared: what varies, what came of it, curves over one another, weights.

    Without --output it is report.html in PATH, or in the current folder where there are several. Damaged runs are named
    and left out; the exit code is 1 if there are no others.

    Example: `dlproj report logs/sweeps/20261121-060235-a2c588-mlp-digits`
    """
    from dlproj.results.record import find_runs
    from dlproj.results.report import write_report

    runs, damaged = find_runs(paths)
    _name_skipped(damaged, runs)
    default = paths[0] / "report.html" if len(paths) == 1 else Path("report.html")
    for path in write_report(runs, damaged, output or default, overwrite):
        print(one_line(str(path)))  # noqa: T201


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


@app.command()
def resume(
    folder: Annotated[
        Path,
        typer.Argument(metavar="RUN | SWEEP", help="such as logs/runs/… or logs/sweeps/…", show_default=False),
    ],
) -> None:
    """Go on with a run, a sweep or a search that was interrupted or killed, with the settings that were typed.

    A run goes on from its last checkpoint and ends as if nothing had happened. Of a sweep what is done is kept, and the
    rest runs: it is its last command once more, with sweep.resume.

    Example: `dlproj resume logs/sweeps/20261121-171814-0b5dd2-mlp-tpe_search`
    """
    open_streams(keep_going=True)
    if str(folder) in ("latest", "best"):
        folder = _chosen(folder)
    if (folder / "config.yaml").is_file():
        _resume_run(folder)
        return
    from dlproj.sweeps.resume import command_of

    command = command_of(folder)
    os.execv(command[0], command)


def _resume_run(folder: Path) -> None:
    from dlproj.results.record import read_result
    from dlproj.results.table import show

    result = read_result(folder)
    if result.has_ended():
        print(one_line(f"{folder} is complete: there is nothing to go on with"))  # noqa: T201
    else:
        from dlproj.run import resume_run

        result = resume_run(folder)
    show(result)


@app.command()
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
    from dlproj.machine import usable_cores
    from dlproj.reproduce.reproduction import Options, reproduce
    from dlproj.reproduce.rows import judgements, rows
    from dlproj.reproduce.table import COLUMNS, cells, check_folder, write
    from dlproj.results.table import print_table

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
        print(path)  # noqa: T201
    if any(row.died for row in found):
        sys.exit(1)


bench = typer.Typer(no_args_is_help=True, help="Measure what training costs.\n\nExample: `dlproj bench scaling`")
app.add_typer(bench, name="bench")


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
    from dlproj.results.article import check_folder, write_article
    from dlproj.results.table import print_table
    from dlproj.scaling.bench import measured, plan
    from dlproj.scaling.report import article, measured_table

    planned = plan(settings or [], whole_numbers("--processes", processes, such_as="1,2,4"), strategies or [])
    check_folder("scaling", output, overwrite)
    found = measured(planned, steps, progress=sys.stderr.isatty())
    table = measured_table(found)
    print_table(table.columns, table.cells)
    for path in write_article(article(found, shlex.join(["dlproj", *sys.argv[1:]])), output, overwrite):
        print(path)  # noqa: T201


@app.command(context_settings=_ALL_ARGUMENTS)
def study(arguments: Annotated[list[str] | None, typer.Argument(metavar="NAME | --all")] = None) -> None:
    """Make the documents' figures and measurements again: `dlproj study --help` lists them.

    Example: `dlproj study activation_functions`
    """
    announce("reading the studies")
    from dlproj.studies.command import run  # which brings options of its own

    run(arguments or [])


def _name_skipped(damaged: Sequence[Damaged], whole: Sequence[object]) -> None:
    """Name what is left out on standard error. Raises DataError where nothing is left."""
    for one in damaged:
        print(one_line(f"skipped {one.folder}: {one.reason}"), file=sys.stderr)  # noqa: T201
    if not whole:
        raise DataError("no run is left that can be read: name other folders")


def main() -> None:
    """Run a subcommand: exit code 0, 1 for what the user can mend, 2 for wrong usage, 130 after Ctrl-C."""
    end_quickly()
    open_streams()
    forget_other_tools()
    forget_ranks()
    wait_without_spinning()
    try:
        try:
            app()  # typer sees to Ctrl-C, and to a reader that ends early: `dlproj runs | head`
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        sys.exit(1)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except Exception as error:
        from dlproj.command import can_be_mended, in_one_line  # which import Hydra

        if not can_be_mended(error):
            raise
        print(f"error: {in_one_line(error)}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
