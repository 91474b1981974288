"""Output of evaluations and predictions: tables for people, CSV and JSON for scripts."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

from dlproj.config.checks import DataError, one_line
from dlproj.config.layers import Activation
from dlproj.data.decoding import MODES, form
from dlproj.inference.evaluate import Evaluated
from dlproj.inference.predict import Prediction
from dlproj.inference.trained import LoadedRun
from dlproj.reports.terminal import print_table
from dlproj.runs.summary import finite
from dlproj.training.monitors.loggers import shortest

_NAME_WIDTH = 36  # characters of a name that a table shows
_FORMS = 3  # sizes and modes that a note names


def say(note: str) -> None:
    """Print a note to standard error, apart from the results."""
    print(note, file=sys.stderr)


def show_evaluation(outcome: Evaluated, name: str) -> None:
    """Print a line per metric with the value recorded in training, and to standard error whether all are equal.

    What differs by more than rounding is marked in a column of its own.
    """
    differing = outcome.differing()
    rows = [
        [metric, *(str(figures.get(metric, "")) for figures in (outcome.metrics, outcome.recorded) if figures)]
        + (["differs" if metric in differing else ""] if differing else [])
        for metric in outcome.metrics
    ]
    columns = ["metric", "evaluated", "training", ""][: len(rows[0])]
    print_table(columns, rows, f"{name}: {outcome.samples:,} samples, {outcome.weights} weights")
    say(_against_training(outcome))


def _against_training(outcome: Evaluated) -> str:
    """Whether the figures are those of training, in words."""
    equal = outcome.equals_training()
    if equal is None:
        return "training recorded no figures of these weights on this data"
    if equal:
        return "the same figures as training recorded"
    elsewhere = outcome.recorded_on not in ("", outcome.evaluated_on)
    where = f" on {outcome.recorded_on} (here: {outcome.evaluated_on})" if elsewhere else ""
    differing = [f"{name} {outcome.metrics[name]}, not {outcome.recorded[name]}" for name in outcome.differing()]
    return f"other figures than training recorded{where}" + (f": {'; '.join(differing)}" if differing else "")


def evaluation_in_one_line(outcome: Evaluated) -> str:
    """The accuracy, and whether the figures are those of training."""
    accuracy = f"{outcome.split}/accuracy"
    return f"{accuracy} {outcome.metrics[accuracy]}, {_against_training(outcome)}"


def evaluation_as_json(outcome: Evaluated) -> str:
    """Return all fields as JSON; metrics are top-level keys, and NaN becomes null."""
    content = asdict(outcome) | {"equals_training": outcome.equals_training()}
    return json.dumps(finite(content | content.pop("metrics")), indent=2, allow_nan=False)


def write_table(predictions: Iterable[Prediction], trained: LoadedRun, top: int) -> None:
    """Print a table with a line per prediction, probabilities to four digits.

    On a terminal, class and probability share a cell and long names are cut in the middle.
    """
    if sys.stdout.isatty():
        rows = [[_cut(prediction.name), *_cells(prediction)] for prediction in predictions]
        print_table(["input", "class", *(f"class {rank}" for rank in range(2, top + 1))], rows)
    else:
        rows = [[prediction.name, *_pairs(prediction, _four_digits)] for prediction in predictions]
        print_table(_columns(trained, top), rows)


def _cut(name: str) -> str:
    half = _NAME_WIDTH // 2
    return name if len(name) <= _NAME_WIDTH else f"{name[:half]}…{name[-half:]}"


def _cells(prediction: Prediction) -> list[str]:
    pairs = zip(prediction.classes, map(_four_digits, prediction.probabilities), strict=True)
    return [" ".join(pair) for pair in pairs]


def _four_digits(value: float) -> str:
    return f"{value:.4f}"


def write_csv(predictions: Iterable[Prediction], trained: LoadedRun, top: int) -> None:
    """Print the predictions as CSV with all digits, each as soon as it is computed."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_columns(trained, top))
    writer.writerows([prediction.name, *_pairs(prediction, _digits)] for prediction in predictions)


def write_jsonl(predictions: Iterable[Prediction], trained: LoadedRun, top: int) -> None:
    """Print a JSON object per line and prediction, each as soon as it is computed."""
    output = _output_name(trained)
    for prediction in predictions:
        pairs = [
            {"class": name, output: finite(shortest(value))}
            for name, value in zip(prediction.classes, prediction.probabilities, strict=True)
        ]
        print(json.dumps({"input": prediction.name} | pairs[0] | {"top": pairs}, ensure_ascii=False))


def write(predictions: Iterator[Prediction], format: str, trained: LoadedRun, top: int) -> None:
    """Print predictions in a format of WRITERS; without predictions, nothing, not even column names."""
    if (first := next(predictions, None)) is not None:
        WRITERS[format](chain([first], predictions), trained, top)


WRITERS: dict[str, Callable[[Iterable[Prediction], LoadedRun, int], None]] = {
    "table": write_table,
    "csv": write_csv,
    "jsonl": write_jsonl,
}


def _columns(trained: LoadedRun, top: int) -> list[str]:
    """Return the columns `input, class, probability, class_2, probability_2, …`."""
    suffixes = ["", *(f"_{rank}" for rank in range(2, top + 1))]
    return ["input", *(f"{word}{suffix}" for suffix in suffixes for word in ("class", _output_name(trained)))]


def _output_name(trained: LoadedRun) -> str:
    return "output" if trained.model.activation is Activation.identity else "probability"


def _pairs(prediction: Prediction, format: Callable[[float], str]) -> list[str]:
    pairs = zip(prediction.classes, map(format, prediction.probabilities), strict=True)
    return [cell for pair in pairs for cell in pair]


def _digits(value: float) -> str:
    return str(shortest(value))


def name_left_out(problems: Sequence[str], predicted: int) -> None:
    """List the problems on standard error. Raises DataError if there are any."""
    if not problems:
        return
    if not predicted and len(problems) == 1:
        raise DataError(problems[0])
    for problem in problems:
        say(f"left out: {one_line(problem)}")
    raise DataError(f"{len(problems)} of {predicted + len(problems)} inputs were left out, as listed above")


class Conversions:
    """Counts predictions and converted images as they pass through."""

    def __init__(self, trained: LoadedRun) -> None:
        self._trained = trained
        self._forms: Counter[str] = Counter()  # original forms of converted images
        self.predicted = 0

    def count(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        """Yield the predictions, counting them."""
        for prediction in predictions:
            self.predicted += 1
            if prediction.converted:
                self._forms[prediction.converted] += 1
            yield prediction

    def note(self) -> str:
        """Return `12 images converted: 640×480 RGB, … → 28×28 grey`, or "" if there are none."""
        if not self._forms:
            return ""
        channels, height, width = self._trained.data.spec.shape
        names = [name for name, _ in self._forms.most_common(_FORMS)] + ["…"] * (len(self._forms) > _FORMS)
        count = self._forms.total()
        images = f"{count:,} image{'s' if count > 1 else ''}"
        return f"{images} converted: {', '.join(names)} → {form((width, height), MODES[channels])}{self._background()}"

    def _background(self) -> str:
        data: Any = self._trained.data
        color = {0: "black", 255: "white"}[data.background]
        return f", on {color}" if any("transparent" in name for name in self._forms) else ""
