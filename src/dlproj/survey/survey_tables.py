"""Tables of a data set: sizes, classes, and statistics of its pixels, words or features."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dlproj.config.data import FIRST_WORD, Kind
from dlproj.data.image import pixel_counts
from dlproj.survey.sets import OfficialSets, Place, class_counts

_AXES = {Kind.image: "channels × height × width", Kind.sequence: "word ids", Kind.features: "numbers"}


class Table(NamedTuple):
    """Arguments of print_table()."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str


class Statistics(NamedTuple):
    """Statistics of one channel or feature."""

    low: float
    high: float
    mean: float
    deviation: float


def overview(sets: OfficialSets, name: str) -> Table:
    """Table of sizes, sample shape, data type and range."""
    module, inputs = sets.module, sets.train.inputs
    spec, by = module.spec, f"val={module.config.val.value}"
    train, val = module.split(sets.train, sets.test)
    return Table(
        ("data set", name),
        [
            ("training set", str(len(sets.train))),
            ("test set", str(len(sets.test))),
            (f"to train on ({by})", str(len(train))),
            (f"to validate ({by})", str(len(val))),
            ("classes", str(len(spec.classes))),
            ("one sample", f"{spec.kind.value} of {' × '.join(map(str, spec.shape))} ({_AXES[spec.kind]})"),
            ("stored as", str(inputs.dtype).removeprefix("torch.")),
            *([] if module.roles() else [("values", f"{inputs.min():g} to {inputs.max():g}")]),
        ],
        "",
    )


def classes(sets: OfficialSets) -> Table:
    """Table of the number of samples per class."""
    names = sets.module.spec.classes
    counts = (class_counts(samples, names) for samples in (sets.train, sets.test))
    rows = [
        (str(label), name, str(train), str(test))
        for label, (name, train, test) in enumerate(zip(names, *counts, strict=True))
    ]
    return Table(("label", "class", "training set", "test set"), rows, "Samples of each class")


def statistics(sets: OfficialSets) -> Table:
    """Table of statistics for this kind of data."""
    if sets.has_bytes:
        return pixels(sets, sets.module.largest_pixel)
    return words(sets) if sets.reviews is not None else features(sets)


def pixels(sets: OfficialSets, largest: float) -> Table:
    """Statistics of pixels by set and channel; the last columns are for pixels scaled to [0, 1]."""
    rows = []
    for label, samples in (("training", sets.train), ("test", sets.test)):
        counts = pixel_counts(samples.inputs)
        for channel, channel_counts in zip(channel_names(len(counts)), counts, strict=True):
            unscaled = of_counts(channel_counts.numpy())
            scaled = (f"{value / largest:.4f}" for value in (unscaled.mean, unscaled.deviation))
            rows.append((label, channel, *_written(unscaled), *scaled))
    columns = ("set", "channel", "min", "max", "mean", "std", f"mean / {largest}", f"std / {largest}")
    return Table(columns, rows, "Pixels")


def features(sets: OfficialSets) -> Table:
    """Statistics over the training set: of all features together, then of each feature."""
    columns = {name: column.double() for name, column in sets.module.feature_columns(sets.train.inputs).items()}
    named = {"all": torch.cat(list(columns.values())), **columns} if columns else {}
    rows = [(name, *_written(_of_values(column))) for name, column in named.items()]
    return Table(("feature", "min", "max", "mean", "std"), rows, "Features of the training set")


def words(sets: OfficialSets) -> Table:
    """Statistics of the texts' words or characters before truncation."""
    spec, reviews = sets.module.spec, sets.reviews
    assert reviews is not None
    unit, text = sets.unit, sets.noun
    (length,), vocabulary_size = spec.shape, spec.vocabulary_size or 0
    lengths = [sets.words(part) for part in ("train", "test")]
    ranks = [texts.ranks.numpy() for texts in (reviews.train, reviews.test) if texts is not None]
    shares = {"median": 50, "90 % have at most": 90, "95 % have at most": 95}
    columns = [
        ("shortest", [f"{counts.min()}" for counts in lengths]),
        *((label, [f"{np.percentile(counts, share):g}" for counts in lengths]) for label, share in shares.items()),
        ("longest", [f"{counts.max()}" for counts in lengths]),
        ("mean", [f"{counts.mean():.2f}" for counts in lengths]),
        (f"{text}s cut at length={length}", [f"{share_cut(found, length):.2%}" for found in lengths]),
        (
            f"{unit} unknown at vocabulary_size={vocabulary_size}",
            [f"{share_unknown(found, vocabulary_size):.2%}" for found in ranks],
        ),
        (f"{unit} in all", [f"{len(found)}" for found in ranks]),
        (f"different {unit} of the training set", [f"{np.unique(found[found > 0]).size}" for found in ranks]),
    ]
    heading = (f"{unit} a {text}", "training set", "test set")
    return Table(heading, [(label, *both) for label, both in columns], unit.capitalize())


def samples(sets: OfficialSets, places: Sequence[Place]) -> Table:
    """Table of the chosen samples with their classes, and as text unless they are images."""
    counts = {part: sets.words(part) for part in ("train", "test")} if sets.reviews is not None else {}
    rows = []
    for place in places:
        shown = sets.shown(place)
        length = [str(counts[place.part][place.number])] if counts else []
        text = [shown] if isinstance(shown, str) else []
        rows.append((str(place), str(sets.target(place)), sets.class_name(place), *length, *text))
    told = {Kind.image: (), Kind.sequence: ("as the model reads it",), Kind.features: ("features",)}
    return Table(
        ("sample", "label", "class", *[sets.unit] * bool(counts), *told[sets.module.spec.kind]), rows, "Samples"
    )


def channel_names(count: int) -> tuple[str, ...]:
    """Names for `count` channels: grey, or red, green and blue."""
    return {1: ("grey",), 3: ("red", "green", "blue")}[count]


def of_counts(counts: np.ndarray) -> Statistics:
    """Statistics of values, given the count of each value 0, 1, …"""
    values = np.arange(len(counts))
    mean = np.average(values, weights=counts)
    variance = np.average((values - mean) ** 2, weights=counts)
    occurring = counts.nonzero()[0]
    return Statistics(float(occurring[0]), float(occurring[-1]), float(mean), float(variance**0.5))


def _of_values(values: Tensor) -> Statistics:
    """Statistics of float64 values."""
    deviation, mean = torch.std_mean(values, correction=0)
    return Statistics(values.min().item(), values.max().item(), mean.item(), deviation.item())


def share_cut(words: np.ndarray, length: int) -> float:
    """Share of texts that lose words when cut to `length` ids, one of which is the start."""
    return float((words > length - 1).mean())


def share_unknown(ranks: np.ndarray, vocabulary_size: int) -> float:
    """Share of words that become unknown, by the rule of vocabulary.encode()."""
    return float(((ranks == 0) | (ranks > vocabulary_size - FIRST_WORD)).mean())


def _written(statistics: Statistics) -> tuple[str, ...]:
    return f"{statistics.low:g}", f"{statistics.high:g}", f"{statistics.mean:.5g}", f"{statistics.deviation:.5g}"
