"""A data set in numbers: sizes, classes, and the statistics of its pixels, words or features."""

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
    """What print_table() prints."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str


class Statistics(NamedTuple):
    """The values of one channel or feature."""

    low: float
    high: float
    mean: float
    deviation: float


def overview(sets: OfficialSets, name: str) -> Table:
    """Sizes, shape, type and range."""
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
            ("values", f"{inputs.min().item():g} to {inputs.max().item():g}"),
        ],
        "",
    )


def classes(sets: OfficialSets) -> Table:
    """How many samples each class has."""
    names = sets.module.spec.classes
    counts = (class_counts(samples, names) for samples in (sets.train, sets.test))
    rows = [
        (str(label), name, str(train), str(test))
        for label, (name, train, test) in enumerate(zip(names, *counts, strict=True))
    ]
    return Table(("label", "class", "training set", "test set"), rows, "Samples of each class")


def statistics(sets: OfficialSets) -> Table:
    """The table for this kind of data."""
    if sets.has_images:
        return pixels(sets, sets.module.largest_pixel)
    return words(sets) if sets.reviews is not None else features(sets)


def pixels(sets: OfficialSets, largest: int) -> Table:
    """By set and channel; the last columns are of pixels from 0 to 1."""
    rows = []
    for label, samples in (("training", sets.train), ("test", sets.test)):
        counts = pixel_counts(samples.inputs)
        for channel, of_one in zip(channel_names(len(counts)), counts, strict=True):
            found = of_counts(of_one.numpy())
            scaled = (f"{value / largest:.4f}" for value in (found.mean, found.deviation))
            rows.append((label, channel, *_written(found), *scaled))
    columns = ("set", "channel", "min", "max", "mean", "std", f"mean / {largest}", f"std / {largest}")
    return Table(columns, rows, "Pixels")


def features(sets: OfficialSets) -> Table:
    """By feature, over the training set, after all of them together."""
    values = sets.train.inputs.flatten(1).double()
    named = [("all", values), *((str(number), column) for number, column in enumerate(values.unbind(1)))]
    rows = [(name, *_written(_of_values(found))) for name, found in named]
    return Table(("feature", "min", "max", "mean", "std"), rows, "Features of the training set")


def words(sets: OfficialSets) -> Table:
    """Of the reviews before they are cut."""
    spec, reviews = sets.module.spec, sets.reviews
    assert reviews is not None
    (length,), vocabulary_size = spec.shape, spec.vocabulary_size or 0
    lengths = [sets.words(part) for part in ("train", "test")]
    ranks = [texts.ranks.numpy() for texts in (reviews.train, reviews.test)]
    shares = {"median": 50, "90 % have at most": 90, "95 % have at most": 95}
    columns = [
        ("shortest", [f"{found.min()}" for found in lengths]),
        *((label, [f"{np.percentile(found, share):g}" for found in lengths]) for label, share in shares.items()),
        ("longest", [f"{found.max()}" for found in lengths]),
        ("mean", [f"{found.mean():.2f}" for found in lengths]),
        (f"reviews cut at length={length}", [f"{share_cut(found, length):.2%}" for found in lengths]),
        (
            f"words unknown at vocabulary_size={vocabulary_size}",
            [f"{share_unknown(found, vocabulary_size):.2%}" for found in ranks],
        ),
        ("words in all", [f"{len(found)}" for found in ranks]),
        ("different words of the training set", [f"{np.unique(found[found > 0]).size}" for found in ranks]),
    ]
    return Table(("words a review", "training set", "test set"), [(label, *both) for label, both in columns], "Words")


def samples(sets: OfficialSets, places: Sequence[Place]) -> Table:
    """The samples at these places with their classes, and in words where they are no images."""
    counts = {part: sets.words(part) for part in ("train", "test")} if sets.reviews is not None else {}
    rows = []
    for place in places:
        shown = sets.shown(place)
        length = [str(counts[place.part][place.number])] if counts else []
        text = [shown] if isinstance(shown, str) else []
        rows.append((str(place), str(sets.target(place)), sets.class_name(place), *length, *text))
    told = {Kind.image: (), Kind.sequence: ("as the model reads it",), Kind.features: ("features",)}
    return Table(("sample", "label", "class", *["words"] * bool(counts), *told[sets.module.spec.kind]), rows, "Samples")


def channel_names(count: int) -> tuple[str, ...]:
    """Names for `count` channels: gray, or red, green and blue."""
    return {1: ("grey",), 3: ("red", "green", "blue")}[count]


def of_counts(counts: np.ndarray) -> Statistics:
    """Statistics of values from how often each value 0, 1, … occurs."""
    values = np.arange(len(counts))
    mean = np.average(values, weights=counts)
    variance = np.average((values - mean) ** 2, weights=counts)
    there = counts.nonzero()[0]
    return Statistics(float(there[0]), float(there[-1]), float(mean), float(variance**0.5))


def _of_values(values: Tensor) -> Statistics:
    """Statistics of float64 values."""
    deviation, mean = torch.std_mean(values, correction=0)
    return Statistics(values.min().item(), values.max().item(), mean.item(), deviation.item())


def share_cut(words: np.ndarray, length: int) -> float:
    """The share of reviews of so many words that lose some: one of the `length` ids is the start."""
    return float((words > length - 1).mean())


def share_unknown(ranks: np.ndarray, vocabulary_size: int) -> float:
    """The share of words that the model sees as unknown, as vocabulary.encode() decides it."""
    return float(((ranks == 0) | (ranks > vocabulary_size - FIRST_WORD)).mean())


def _written(found: Statistics) -> tuple[str, ...]:
    return f"{found.low:g}", f"{found.high:g}", f"{found.mean:.5g}", f"{found.deviation:.5g}"
