"""What a run came to, as the quantities that documents report."""

from collections.abc import Callable, Mapping
from statistics import fmean

import numpy as np

from dlproj.reports.classification import Counts, entries
from dlproj.runs.inspection import Histogram
from dlproj.runs.record import Run

LABELS = ("most_confused_class",)  # quantities that are names, of which there is no mean
# Those that the settings alone decide: every seed has the same.
EXACT = ("parameters", "training_samples", "test_samples", "classes", "height", "width", "steps_an_epoch")
_SMALL = 0.05  # the bound that the share of small weights is counted by
_SETTLED = 0.95  # of the whole fall of a loss

Epochs = Mapping[int, Mapping[str, float]]  # a run's metrics by epoch, counted from 1


def quantities(run: Run) -> dict[str, float]:
    """By name: the metrics of summary.json, and what follows from the record.

    Accuracies and shares are fractions, times are seconds or say their unit. `seconds`, `seconds_an_epoch` and
    `total_milliseconds_a_batch` are of training with its data loading and validation, `milliseconds_a_batch` is of
    training alone. The gaps compare both sets after the last epoch, in eval mode; they need trainer.evaluate_train.
    """
    result = run.result
    found = dict(result.metrics) | {
        "parameters": float(result.parameters),
        "seconds": result.seconds,
        "seconds_on_gpu" if result.peak_gpu_memory_bytes else "seconds_on_cpu": result.seconds,
        "last_epoch": float(result.last_epoch),
        "classes": float(len(result.classes)),
    }
    if result.best_epoch is not None:
        found["best_epoch"] = float(result.best_epoch)
    if result.last_epoch:
        found["seconds_an_epoch"] = result.seconds / result.last_epoch
        found["steps_an_epoch"] = result.steps / result.last_epoch
    if result.steps:
        found["total_milliseconds_a_batch"] = 1000 * result.seconds / result.steps
    if result.samples_per_second:
        found["milliseconds_a_batch"] = 1000 * run.settings["data"]["batch_size"] / result.samples_per_second
    found |= _of_data(run) | _of_confusions(result.confusion_matrix, len(result.classes)) | _of_weights(run)
    return found | _gaps(result.metrics)


def _gaps(metrics: Mapping[str, float]) -> dict[str, float]:
    """How much better the model does on what it was trained on: in loss, and in accuracy."""
    both = {name: [metrics.get(f"{split}/{name}") for split in ("val", "train_eval")] for name in ("loss", "accuracy")}
    known = {name: (val, train) for name, (val, train) in both.items() if val is not None and train is not None}
    return {f"{name}_gap": val - train if name == "loss" else train - val for name, (val, train) in known.items()}


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


def curve(epochs: Epochs, metric: str) -> list[float]:
    """The values of a metric, epoch by epoch; those in which it was not logged left out."""
    return [row[metric] for _, row in sorted(epochs.items()) if metric in row]


def settled(values: list[float]) -> float:
    """The epoch, from 1, by which a loss has made 95 % of its way from the first epoch's value down to its lowest."""
    floor = values[0] - _SETTLED * (values[0] - min(values))
    return 1.0 + next(index for index, value in enumerate(values) if value <= floor)


def trend(values: list[float]) -> float:
    """The mean of the later half of the epochs less that of the earlier half; a middle one counts in neither."""
    half = len(values) // 2
    return fmean(values[-half:]) - fmean(values[:half]) if half else 0.0


Statistic = Callable[[list[float]], float]
# Of a curve, by the words in which a claim's evidence names them.
STATISTICS: dict[str, Statistic] = {"settled epoch": settled, "trend": trend, "lowest": min, "highest": max}
