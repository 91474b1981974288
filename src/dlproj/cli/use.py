"""`dlproj evaluate`, `predict` and `export`: use a run's model."""

import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlproj.cli.options import AllowCode, Checkpoint, Overwrite, Run, Runs
from dlproj.config.checks import DataError, UserError, one_line, require
from dlproj.loop_progress import announce

if TYPE_CHECKING:
    from dlproj.inference.trained import LoadedRun


class Split(Enum):
    """The part of the data to evaluate on."""

    train = "train"
    val = "val"
    test = "test"


class PredictionFormat(Enum):
    """Output format of predictions."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"


class ExportFormat(Enum):
    """File format of an exported model."""

    onnx = "onnx"
    exported_program = "exported_program"


def evaluate(
    runs: Runs,
    split: Annotated[Split, typer.Option(help="The samples to evaluate on.")] = Split.test,
    checkpoint: Checkpoint = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="A setting of the data, such as root=FOLDER, or another data set's name. Repeatable."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all results as JSON, including the confusion matrix.")
    ] = False,
    allow_code: AllowCode = False,
) -> None:
    """Evaluate a run again; gives the figures that training printed, to the digit.

    Other data is scaled, and its words are numbered, like the training data. Of several runs a line each is printed.
    The exit code is 1 if figures differ by more than rounding from those that training recorded.

    Example: `dlproj evaluate logs/runs/20261121-012711-4532ab-mlp-digits-adam --split val --checkpoint best`
    """
    announce(f"evaluating {runs[0] if len(runs) == 1 else f'{len(runs)} runs'} on {split.value}")
    if len(runs) > 1:
        require(not as_json, "--json prints one run: name a single folder")
        _evaluate_each(runs, split.value, checkpoint, data or [], allow_code)
        return
    from dlproj.inference.evaluate import evaluate
    from dlproj.inference.output import evaluation_as_json, show_evaluation
    from dlproj.inference.trained import open_run

    trained = open_run(runs[0], checkpoint, allow_code)
    outcome = evaluate(trained, split.value, data or [], progress=sys.stdout.isatty() and not as_json)
    if as_json:
        print(evaluation_as_json(outcome))
    else:
        show_evaluation(outcome, trained.config.name)
    if outcome.differing():
        raise typer.Exit(1)


def _evaluate_each(
    runs: Sequence[Path], split: str, checkpoint: str | None, settings: Sequence[str], allow_code: bool
) -> None:
    """Print a line for each run. Raises DataError at the end if one cannot be evaluated or has other figures."""
    from dlproj.inference.evaluate import evaluate
    from dlproj.inference.output import evaluation_in_one_line
    from dlproj.inference.trained import open_run

    wrong = 0
    for run in runs:
        try:
            outcome = evaluate(open_run(run, checkpoint, allow_code), split, settings)
            words, differs = evaluation_in_one_line(outcome), bool(outcome.differing())
        except UserError as error:
            words, differs = f"skipped: {error}", True
        print(one_line(f"{run}: {words}"), flush=True)
        wrong += differs
    if wrong:
        raise DataError(f"{wrong} of {len(runs)} runs were skipped or have other figures than training recorded")


def predict(
    run: Run,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT]...",
            help="Image files or folders; or texts, files of one text each, or - for standard input, a text per line; "
            "or table files.",
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    format: Annotated[PredictionFormat, typer.Option(help="table, csv, or jsonl: one JSON object per line.")] = (
        PredictionFormat.table
    ),
    top: Annotated[int, typer.Option(min=1, help="Number of classes to name, the likeliest first.")] = 3,
    lines: Annotated[bool, typer.Option("--lines", help="Text files hold one text per line.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Inputs per batch.")] = 1000,
    output: Annotated[
        Path | None, typer.Option(help="Write the table to this file, with the class and its probabilities added.")
    ] = None,
    overwrite: Overwrite = False,
    allow_code: AllowCode = False,
) -> None:
    """Classify images, texts, rows of numbers or tables with a run's model; its training data is not needed.

    Images of any size and mode are converted to what the model reads, with a note on standard error. Texts come as
    arguments, from files or from standard input, where blank lines are skipped.

    Columns of a table are found by name, in any order; the target may be missing. A run on texts in a column of a table
    reads that column of tables.

    Inputs that cannot be read are named on standard error, the others are predicted, and the exit code is 1.

    Examples: `dlproj predict logs/runs/… photos/ --format csv > classes.csv`,
    `echo "what a film" | dlproj predict logs/runs/…`
    """
    announce(f"reading {run}")
    from dlproj.inference.output import say
    from dlproj.inference.tables import write_with_classes
    from dlproj.inference.trained import open_run

    trained = open_run(run, checkpoint, allow_code)
    for fallback in trained.fallbacks():
        say(fallback)
    if output is None:
        _print_predictions(trained, inputs or [], lines, format.value, top, batch_size)
    else:
        count = write_with_classes(trained, inputs or [], output, overwrite)
        say(f"{count:,} rows with their classes in {output}")


def _print_predictions(
    trained: "LoadedRun", inputs: Sequence[str], lines: bool, format: str, top: int, batch_size: int
) -> None:
    """Print a line for each input. Raises DataError at the end if some were left out."""
    from dlproj.inference.output import Conversions, name_left_out, say, write
    from dlproj.inference.predict import predict, read_inputs
    from dlproj.inference.tables import are_tables, predict_files

    top = min(top, len(trained.model.classes))
    conversions, left_out = Conversions(trained), list[str]()
    if are_tables(trained.data, inputs, lines):
        predictions = predict_files(trained, inputs, top, batch_size, left_out.append)
    else:
        items = read_inputs(trained.data.spec.kind, inputs, lines, left_out.append)
        predictions = predict(trained, items, top, batch_size, left_out.append)
    write(conversions.count(predictions), format, trained, top)
    if note := conversions.note():
        say(note)
    name_left_out(left_out, conversions.predicted)


def export(
    run: Run,
    format: Annotated[ExportFormat, typer.Option(help="ONNX, or torch's exported program.")] = ExportFormat.onnx,
    checkpoint: Checkpoint = None,
    output: Annotated[Path | None, typer.Option(help="The file. Default: export/model.onnx or .pt2 in RUN.")] = None,
    overwrite: Overwrite = False,
    allow_code: AllowCode = False,
) -> None:
    """Export a run's model for other programs, after checking that the outputs match.

    It maps `input`, stored pixels or word ids, to the `probabilities` of the classes, for batches of any size. The file
    also holds classes and vocabulary, as JSON under the name dlproj.json.

    Example: `dlproj export logs/runs/20261121-012711-4532ab-mlp-digits-adam --format onnx`
    """
    announce(f"writing {run} as {format.value}")
    from dlproj.inference.export import Format, export
    from dlproj.inference.trained import open_run
    from dlproj.reports.terminal import print_table

    done = export(open_run(run, checkpoint, allow_code), Format[format.value], output, overwrite)
    difference = f"{done.largest_difference:.1g} at most"
    rows = [("file", str(done.path)), ("reads", done.inputs), ("gives", done.outputs), ("differs by", difference)]
    print_table(["export", "checked"], rows)
