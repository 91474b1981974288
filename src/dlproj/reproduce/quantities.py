"""What a run came to, as the quantities that documents report."""

from collections.abc import Iterable
from math import ceil, prod

import numpy as np

from dlproj.results.inspection import Histogram
from dlproj.results.record import Run

SMALL = 0.05  # the bound that the share of small weights is counted by


def quantities(run: Run) -> dict[str, float]:
    """By name: the metrics of summary.json, and what follows from the record. Accuracies and shares are fractions."""
    result = run.result
    found = dict(result.metrics) | {
        "parameters": float(result.parameters),
        "seconds": result.seconds,
        "last_epoch": float(result.last_epoch),
        "samples": float(sum(result.samples.values())),
        "test_samples": float(result.samples.get("test", 0)),
        "inputs": float(prod(result.input_shape)),
        "classes": float(len(result.classes)),
        "steps_an_epoch": float(ceil(result.samples.get("train", 0) / run.settings["data"]["batch_size"])),
    }
    if result.best_epoch is not None:
        found["best_epoch"] = float(result.best_epoch)
    if result.last_epoch:
        found["seconds_an_epoch"] = result.seconds / result.last_epoch
    if result.samples_per_second:
        found["milliseconds_a_batch"] = 1000 * run.settings["data"]["batch_size"] / result.samples_per_second
    return found | _of_confusions(np.array(result.confusion_matrix)) | _of_weights(run)


def _of_confusions(counts: np.ndarray) -> dict[str, float]:
    """Wrong test samples, and the class (from 0) most of whose samples are taken for another."""
    if not counts.size:
        return {}
    wrong = counts.sum(axis=1) - counts.diagonal()
    return {"wrong": float(wrong.sum()), "most_confused_class": float(wrong.argmax())}


def _of_weights(run: Run) -> dict[str, float]:
    """Of all weights and biases at the end of training, from their histograms: deviation, and share within ±SMALL."""
    last = [epochs[max(epochs)] for epochs in run.inspection.histograms.values()]
    if not last:
        return {}
    values, counts = (np.concatenate(parts) for parts in zip(*map(_centers, last), strict=True))
    mean = np.average(values, weights=counts)
    deviation = np.sqrt(np.average((values - mean) ** 2, weights=counts))
    return {
        "weight_deviation": float(deviation),
        "small_weights": float(counts[abs(values) <= SMALL].sum() / counts.sum()),
    }


def _centers(histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
    edges = np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)
    return (edges[1:] + edges[:-1]) / 2, np.array(histogram.counts)


def by_epoch(runs: Iterable[Run], metric: str, epoch: int) -> list[float]:
    """A metric of metrics.csv after so many epochs, of the runs that came so far."""
    rows = (run.epochs.get(epoch, {}) for run in runs)
    return [row[metric] for row in rows if metric in row]
