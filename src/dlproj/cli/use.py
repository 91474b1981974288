"""`dlproj evaluate`, `predict` and `export`: use what a run has learnt."""

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from dlproj.cli.options import Checkpoint, Overwrite, Run
from dlproj.loop_progress import announce


class Split(Enum):
    """The part of the data to evaluate on."""

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
        print(evaluation_as_json(outcome))
    else:
        show_evaluation(outcome, trained.config.name)


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
    from dlproj.reports.terminal import print_table

    done = export(open_run(run, checkpoint), Format[format.value], output, overwrite)
    difference = f"{done.largest_difference:.1g} at most"
    rows = [("file", str(done.path)), ("reads", done.inputs), ("gives", done.outputs), ("differs by", difference)]
    print_table(["export", "checked"], rows)
