"""What the figures of a run mean, in words: how certain its test accuracy is, overfitting, dead units."""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

from dlproj import formats
from dlproj.reports.classification import entries
from dlproj.runs.comparison import flat, fold_of, folds_of
from dlproj.runs.inspection import ByEpoch
from dlproj.runs.record import Run
from dlproj.runs.summary import RunResult

CONFIDENCE = 0.95
OVERFITTING = 0.05  # training accuracy above validation accuracy
RISE = 0.1  # of the validation loss above its lowest
UNDERFITTING = 0.8  # training accuracy below it
_IN_TRAINING = ("model.class_weights", "model.label_smoothing", "data.mixup", "data.sampling")

DEAD_UNITS = (
    "A unit is dead if its output is the same for all validation samples, such as a ReLU that is never above zero or a "
    "saturated sigmoid: it tells samples apart no longer, and gets hardly any gradient to recover by."
)


class Interval(NamedTuple):
    """An interval of an accuracy, as fractions, and the number of samples that it comes from."""

    low: float
    high: float
    samples: int


def wilson_interval(hits: int, samples: int) -> Interval:
    """Wilson's score interval of a share at CONFIDENCE. Needs samples > 0.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927); unlike the mean
    ± two standard errors it holds for few samples and near 0 and 1 (Brown, Cai and DasGupta, Statist. Sci. 16, 2001).
    """
    share, z = hits / samples, NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    centre = share + z * z / (2 * samples)
    half = z * math.sqrt(share * (1 - share) / samples + z * z / (4 * samples**2))
    low, high = ((centre + sign * half) / (1 + z * z / samples) for sign in (-1, 1))
    return Interval(max(low, 0.0), min(high, 1.0), samples)


def accuracy_interval(result: RunResult) -> Interval | None:
    """The interval of the test accuracy, from the confusion matrix; None for a run that was not tested."""
    counts = entries(result.confusion_matrix, len(result.classes))
    samples = sum(count for *_, count in counts)
    return wilson_interval(sum(n for truth, guess, n in counts if truth == guess), samples) if samples else None


def interval_words(result: RunResult) -> str:
    """The interval as text: "94.6% to 98.3%, from 360 samples"; "" for a run that was not tested."""
    interval = accuracy_interval(result)
    return f"{interval.low:.1%} to {interval.high:.1%}, from {interval.samples:,} samples" if interval else ""


def test_set_words(run: Run) -> str:
    """What the test set is, if it was held out of the training set; "" for one that comes with the data."""
    settings = flat(run.settings)
    drawn = f"drawn by data.split_seed={settings.get('data.split_seed')}"
    if folds := folds_of(run):
        return f"fold {fold_of(run)} (from 0) of {folds} folds of the training set, {drawn}"
    share = settings.get("data.test_fraction")
    return f"{share:.0%} of the data, {drawn}" if isinstance(share, float) else ""


def fit_words(run: Run) -> str:
    """Sentences on whether the run over- or underfits, at the tested or else the last epoch; "" if that is not known.

    Training accuracy is that of the evaluated training set, if logged, else the mean over the epoch's steps, unless
    these had other samples than the training set's.
    """
    epoch = run.result.tested_epoch() or max(run.epochs, default=0)
    row = run.epochs.get(epoch, {})
    stepped = (
        math.nan if training_differs(run) & {"data.mixup", "data.sampling"} else row.get("train/accuracy", math.nan)
    )
    train, val = row.get("train_eval/accuracy", stepped), row.get("val/accuracy", math.nan)
    if not (math.isfinite(train) and math.isfinite(val)):
        return ""
    figures = f"at epoch {epoch}, accuracy is {train:.1%} in training and {val:.1%} in validation"
    rise = _rise(run, epoch)
    if train - val >= OVERFITTING:
        return (
            f"Overfitting: {figures}, a gap of {100 * (train - val):.1f} points ({100 * OVERFITTING:.0f} or more). "
            "The network learns its samples by heart: more data, dropout, a penalty or fewer epochs help."
        )
    if rise >= RISE:
        return (
            f"Overfitting: at epoch {epoch} the validation loss is {rise:.0%} above its lowest ({RISE:.0%} or more). "
            "The network becomes too sure of itself: fewer epochs, dropout or a penalty help."
        )
    if train < UNDERFITTING:
        return (
            f"Underfitting: {figures}; in training it is below {UNDERFITTING:.0%}. "
            "The network does not fit its own samples yet: more epochs, more units or less regularization help."
        )
    return f"Neither over- nor underfitting: {figures}, less than {100 * OVERFITTING:.0f} points apart." + (
        " In training it is lower, since dropout acts there alone and weights improve during the epoch."
        if val > train and "train_eval/accuracy" not in row
        else ""
    )


def training_differs(run: Run) -> set[str]:
    """The settings that make train/loss, or what it is measured on, another than that of validation and test."""
    values = flat(run.settings)
    return {name for name in _IN_TRAINING if values.get(name) not in (None, 0, "shuffled")}


def training_words(runs: Sequence[Run]) -> str:
    """A sentence on settings that act on train/loss and train/accuracy alone; "" if the runs have none."""
    found = [run for run in runs if training_differs(run)]
    names = sorted(set().union(*map(training_differs, found)))
    values = [sorted({formats.setting(flat(run.settings).get(name)) for run in found}) for name in names]
    given = ", ".join(f"{name}={' or '.join(each)}" for name, each in zip(names, values, strict=True))
    compare = "compare val/loss and test/loss, which are the plain loss of the plain samples"
    return f"train/loss and train/accuracy are those of training with {given}: {compare}." if found else ""


def _rise(run: Run, epoch: int) -> float:
    """How far the validation loss at the epoch is above its lowest before, as a share of that; 0 if not known."""
    losses = [row["val/loss"] for i, row in run.epochs.items() if i <= epoch and row.get("val/loss", math.nan) > 0]
    loss = run.epochs.get(epoch, {}).get("val/loss", math.nan)
    return loss / min(losses) - 1 if losses and math.isfinite(loss) else 0.0


def dead_units_words(dead: Mapping[str, ByEpoch]) -> str:
    """What dead units are, and the shares at the end, the highest first."""
    ends = {layer: epochs[max(epochs)] for layer, epochs in dead.items() if epochs}
    found = sorted((layer for layer, share in ends.items() if share > 0), key=lambda layer: -ends[layer])
    words = ", ".join(f"{ends[layer]:.1%} of {layer}" for layer in found[:3])
    return f"{DEAD_UNITS} At the end: {words or 'none'}."


def initial_words(record: Mapping[str, str]) -> str:
    """Where the first weights came from: the checkpoint, its fingerprint, and what it did not decide."""
    parts = {"initialised anew": record.get("anew"), "not used": record.get("unused"), "inputs": record.get("inputs")}
    words = [f"{label}: {text}" for label, text in parts.items() if text]
    return "; ".join([f"{record.get('checkpoint', '')} (weights {record.get('fingerprint', '')})", *words])
