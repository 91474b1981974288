"""How evaluations, predictions and exports are shown: tables for people, CSV and JSON for scripts."""

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

_NAME_WIDTH = 36  # characters of a text that a table shows
_FORMS = 3  # sizes and modes named in a note


def say(note: str) -> None:
    """A note beside the results, on standard error."""
    print(note, file=sys.stderr)


def show_evaluation(outcome: Evaluated, name: str) -> None:
    """A line a metric, with what training recorded, and on standard error whether both are equal."""
    equal = outcome.equals_training()
    rows = [
        [metric, *(str(figures.get(metric, "")) for figures in (outcome.metrics, outcome.recorded) if figures)]
        for metric in outcome.metrics
    ]
    columns = ["metric", "evaluated", "training"][: 3 if outcome.recorded else 2]
    print_table(columns, rows, f"{name}: {outcome.samples:,} samples, {outcome.weights} weights")
    if equal is None:
        say("training recorded no figures of these weights on this data")
    elif equal:
        say("the same figures as training recorded")
    else:
        elsewhere = outcome.recorded_on not in ("", outcome.evaluated_on)
        where = f" on {outcome.recorded_on} (here: {outcome.evaluated_on})" if elsewhere else ""
        say(f"other figures than training recorded{where}")


def evaluation_as_json(outcome: Evaluated) -> str:
    """Everything, the metrics beside the other entries under their own names; NaN, which is not JSON, as null."""
    content = asdict(outcome) | {"equals_training": outcome.equals_training()}
    return json.dumps(finite(content | content.pop("metrics")), indent=2, allow_nan=False)


def write_table(predictions: Iterable[Prediction], trained: LoadedRun, top: int) -> None:
    """A table with a line a prediction, probabilities to four digits.

    At a terminal, class and probability share a cell and long names are cut in the middle.
    """
    if sys.stdout.isatty():
        rows = [[_cut(one.name), *_together(one)] for one in predictions]
        print_table(["input", "class", *(f"class {place}" for place in range(2, top + 1))], rows)
    else:
        print_table(_columns(trained, top), [[one.name, *_pairs(one, _four_digits)] for one in predictions])


def _cut(name: str) -> str:
    half = _NAME_WIDTH // 2
    return name if len(name) <= _NAME_WIDTH else f"{name[:half]}…{name[-half:]}"


def _together(one: Prediction) -> list[str]:
    pairs = zip(one.classes, map(_four_digits, one.probabilities), strict=True)
    return [" ".join(pair) for pair in pairs]


def _four_digits(value: float) -> str:
    return f"{value:.4f}"


def write_csv(predictions: Iterable[Prediction], trained: LoadedRun, top: int) -> None:
    """The same as CSV with all digits, each line as it comes."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_columns(trained, top))
    writer.writerows([one.name, *_pairs(one, _digits)] for one in predictions)


def write_jsonl(predictions: Iterable[Prediction], trained: LoadedRun, top: int) -> None:
    """A JSON object a line, each as it comes."""
    output = _output_name(trained)
    for one in predictions:
        pairs = [
            {"class": name, output: finite(shortest(value))}
            for name, value in zip(one.classes, one.probabilities, strict=True)
        ]
        print(json.dumps({"input": one.name} | pairs[0] | {"top": pairs}, ensure_ascii=False))


def write(predictions: Iterator[Prediction], format: str, trained: LoadedRun, top: int) -> None:
    """Write them in this format; nothing, not even the names of the columns, where there are none."""
    if (first := next(predictions, None)) is not None:
        WRITERS[format](chain([first], predictions), trained, top)


WRITERS: dict[str, Callable[[Iterable[Prediction], LoadedRun, int], None]] = {
    "table": write_table,
    "csv": write_csv,
    "jsonl": write_jsonl,
}


def _columns(trained: LoadedRun, top: int) -> list[str]:
    """`input, class, probability, class_2, probability_2, …`."""
    numbers = ["", *(f"_{place}" for place in range(2, top + 1))]
    return ["input", *(f"{word}{number}" for number in numbers for word in ("class", _output_name(trained)))]


def _output_name(trained: LoadedRun) -> str:
    return "output" if trained.model.activation is Activation.identity else "probability"


def _pairs(one: Prediction, written: Callable[[float], str]) -> list[str]:
    pairs = zip(one.classes, map(written, one.probabilities), strict=True)
    return [cell for pair in pairs for cell in pair]


def _digits(value: float) -> str:
    return str(shortest(value))


def name_left_out(problems: Sequence[str], predicted: int) -> None:
    """Name on standard error what could not be predicted. Raises DataError if there is anything."""
    if not problems:
        return
    if not predicted and len(problems) == 1:
        raise DataError(problems[0])
    for problem in problems:
        say(f"left out: {one_line(problem)}")
    raise DataError(f"{len(problems)} of {predicted + len(problems)} inputs were left out, as named above")


class Conversions:
    """Counts the predictions that pass through, and what was converted among them."""

    def __init__(self, trained: LoadedRun) -> None:
        self._trained = trained
        self._found: Counter[str] = Counter()
        self.predicted = 0

    def count(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        """Yield the predictions, counting them."""
        for one in predictions:
            self.predicted += 1
            if one.converted:
                self._found[one.converted] += 1
            yield one

    def note(self) -> str:
        """`12 images converted: 640×480 RGB, … → 28×28 grey`; empty where none was."""
        if not self._found:
            return ""
        channels, height, width = self._trained.data.spec.shape
        names = [name for name, _ in self._found.most_common(_FORMS)] + ["…"] * (len(self._found) > _FORMS)
        count = self._found.total()
        images = f"{count:,} image{'s' if count > 1 else ''}"
        return f"{images} converted: {', '.join(names)} → {form((width, height), MODES[channels])}{self._ground()}"

    def _ground(self) -> str:
        data: Any = self._trained.data
        shown = {0: "black", 255: "white"}[data.background]
        return f", on {shown}" if any("transparent" in name for name in self._found) else ""
