"""What a run came to, as the quantities that documents report."""

from collections.abc import Iterable

import numpy as np

from dlproj.results.classification import Counts, entries
from dlproj.results.inspection import Histogram
from dlproj.results.record import Run

LABELS = ("most_confused_class",)  # quantities that are names, of which there is no mean
_SMALL = 0.05  # the bound that the share of small weights is counted by


def quantities(run: Run) -> dict[str, float]:
    """By name: the metrics of summary.json, and what follows from the record.

    Accuracies and shares are fractions, times are seconds or say their unit. `seconds` and `seconds_an_epoch` are with
    validation, `milliseconds_a_batch` is of training alone.
    """
    result = run.result
    found = dict(result.metrics) | {
        "parameters": float(result.parameters),
        "seconds": result.seconds,
        "last_epoch": float(result.last_epoch),
        "classes": float(len(result.classes)),
    }
    if result.best_epoch is not None:
        found["best_epoch"] = float(result.best_epoch)
    if result.last_epoch:
        found["seconds_an_epoch"] = result.seconds / result.last_epoch
        found["steps_an_epoch"] = result.steps / result.last_epoch
    if result.samples_per_second:
        found["milliseconds_a_batch"] = 1000 * run.settings["data"]["batch_size"] / result.samples_per_second
    return found | _of_data(run) | _of_confusions(result.confusion_matrix, len(result.classes)) | _of_weights(run)


def _of_data(run: Run) -> dict[str, float]:
    """The official sets, and the height and width of images."""
    samples = run.result.samples
    if not samples:
        return {}
    training = samples["train"] + (0 if run.settings["data"].get("val") == "test" else samples["val"])
    found = {"training_samples": float(training), "test_samples": float(samples["test"])}
    if len(run.result.input_shape) == 3:
        found |= {"height": float(run.result.input_shape[1]), "width": float(run.result.input_shape[2])}
    return found


def _of_confusions(counts: Counts, classes: int) -> dict[str, float]:
    """Wrong test samples, and the class (from 0) most of whose samples are taken for another."""
    if not counts:
        return {}
    wrong = np.zeros(classes)
    for truth, guess, count in entries(counts, classes):
        wrong[truth] += count * (truth != guess)
    return {"wrong": float(wrong.sum()), "most_confused_class": float(wrong.argmax())}


def _of_weights(run: Run) -> dict[str, float]:
    """Of all weights and biases at the end of training, from their histograms: deviation, and share within ±0.05."""
    last = [epochs[max(epochs)] for epochs in run.inspection.histograms.values()]
    if not last:
        return {}
    values, counts = (np.concatenate(parts) for parts in zip(*map(_centers, last), strict=True))
    mean = np.average(values, weights=counts)
    deviation = np.sqrt(np.average((values - mean) ** 2, weights=counts))
    share = counts[abs(values) <= _SMALL].sum() / counts.sum()
    return {"weight_deviation": float(deviation), "small_weights": float(share)}


def _centers(histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
    edges = np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)
    return (edges[1:] + edges[:-1]) / 2, np.array(histogram.counts)


def by_epoch(runs: Iterable[Run], metric: str, epoch: int) -> list[float]:
    """A metric of metrics.csv after so many epochs, of the runs that came so far."""
    rows = (run.epochs.get(epoch, {}) for run in runs)
    return [row[metric] for row in rows if metric in row]
