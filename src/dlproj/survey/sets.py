"""Official training and test set of a data set, and samples chosen or drawn from them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from dlproj.config.checks import ConfigurationError, DataError
from dlproj.config.data import DataConfig, Kind
from dlproj.config.figures import PLACES
from dlproj.data.base import DataModule
from dlproj.data.batches import Samples, generator
from dlproj.data.texts import TextDataModule
from dlproj.data.tokenized import TokenizedTexts

MOST_CLASSES = 20  # shown by default: an image folder may have a thousand
A_CLASS = 10  # samples of each class in the grid


class Place(NamedTuple):
    """A sample's official set and its index in that set, from 0."""

    part: str  # "train" or "test"
    number: int

    def __str__(self) -> str:
        return f"{self.part}:{self.number}"


@dataclass(frozen=True, slots=True)
class OfficialSets:
    """The split of a data set into training and test samples: `train` is before validation is split off."""

    module: DataModule
    train: Samples
    test: Samples
    reviews: TokenizedTexts | None = None  # of texts: the words before truncation

    @property
    def has_images(self) -> bool:
        """True if a sample is an image."""
        return self.module.spec.kind is Kind.image

    @property
    def has_bytes(self) -> bool:
        """True if a sample is an image with uint8 pixels, whose values can be counted."""
        return self.has_images and self.train.inputs.dtype == torch.uint8

    def shown(self, place: Place) -> np.ndarray | str:
        """The sample as returned by DataModule.shown()."""
        return self.module.shown(getattr(self, place.part).inputs[place.number])

    def target(self, place: Place) -> int:
        """Index of the sample's class, from 0."""
        return int(getattr(self, place.part).targets[place.number])

    def class_name(self, place: Place) -> str:
        """Name of the sample's true class."""
        return self.module.spec.classes[self.target(place)]

    @property
    def unit(self) -> str:
        """What a text is split into: words or characters."""
        return self.module.config.tokens.value if isinstance(self.module, TextDataModule) else ""

    @property
    def noun(self) -> str:
        """What a text is called: a review or a text."""
        return self.module.noun if isinstance(self.module, TextDataModule) else ""

    def words(self, part: str) -> np.ndarray:
        """Number of words of each text (N,), before truncation, without the start id."""
        assert self.reviews is not None
        return np.diff(getattr(self.reviews, part).offsets.numpy())


def read(config: DataConfig, seed: int) -> OfficialSets:
    """Download missing files and read both sets. Raises DataError."""
    module = config.build(seed)
    module.prepare_data()
    train, test = module.with_test_set(*module.load())
    return OfficialSets(module, train, test, module.uncut())


def parse_places(texts: Iterable[str]) -> list[Place]:
    """Parse texts such as `train:0,50`. Raises ConfigurationError."""
    places = []
    for text in texts:
        if not re.fullmatch(PLACES, text):
            raise ConfigurationError(
                f"{text} is neither a setting nor samples: write SETTING=VALUE, or train: or "
                "test: with numbers from 0, such as train:0,50"
            )
        part, _, numbers = text.partition(":")
        places += [Place(part, int(number)) for number in numbers.split(",")]
    return places


def check_places(places: Iterable[Place], sets: OfficialSets) -> None:
    """Raise DataError, naming the first index that is out of range."""
    for place in places:
        count = len(getattr(sets, place.part))
        if place.number >= count:
            raise DataError(
                f"{place} does not exist: the {place.part} set has {count} samples, choose from "
                f"{place.part}:0 to {place.part}:{count - 1}"
            )


def one_of_each_class(sets: OfficialSets) -> list[Place]:
    """First training sample of each class, for at most MOST_CLASSES classes."""
    _, first = np.unique(sets.train.targets.numpy(), return_index=True)
    return [Place("train", int(index)) for index in first[:MOST_CLASSES]]


def draw(sets: OfficialSets, seed: int) -> list[list[Place]]:
    """Draw up to A_CLASS training samples per class without replacement, for at most MOST_CLASSES classes."""
    random, rows = generator("survey", seed), []
    for target in range(min(len(sets.module.spec.classes), MOST_CLASSES)):
        indices = (sets.train.targets == target).nonzero()[:, 0]
        drawn = indices[torch.randperm(len(indices), generator=random)[:A_CLASS]]
        rows.append([Place("train", index) for index in drawn.tolist()])
    return rows


def class_counts(samples: Samples, classes: Sequence[str]) -> np.ndarray:
    """Number of samples per class: int64 (classes,)."""
    return np.bincount(samples.targets.numpy(), minlength=len(classes))
