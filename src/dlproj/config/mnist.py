"""Settings of MNIST and of the data sets made after it."""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dlproj.config.fields import Choice, setting
from dlproj.config.images import IDXConfig


@dataclass(slots=True)
class MNISTConfig(IDXConfig):
    """Settings of MNIST, read from `<root>/MNIST/raw`."""

    source: ClassVar[str] = "MNIST"

    def class_names(self) -> tuple[str, ...]:
        return tuple(string.digits)


@dataclass(slots=True)
class KMNISTConfig(IDXConfig):
    """Settings of Kuzushiji-MNIST, read from `<root>/KMNIST/raw`."""

    source: ClassVar[str] = "KMNIST"

    def class_names(self) -> tuple[str, ...]:
        """The syllables of the ten hiragana."""
        return ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


@dataclass(slots=True)
class QMNISTConfig(MNISTConfig):
    """Settings of QMNIST, MNIST with all of its 60,000 test images, read from `<root>/QMNIST/raw`."""

    source: ClassVar[str] = "QMNIST"
    official_sizes: ClassVar[tuple[int, int]] = (60_000, 60_000)

    def file_names(self, train: bool) -> tuple[str, str]:
        split = "train" if train else "test"
        return f"qmnist-{split}-images-idx3-ubyte", f"qmnist-{split}-labels-idx2-int"


class EMNISTSplit(Choice):
    """A part of EMNIST, with its classes."""

    balanced = "balanced", "47 classes, equally many images each: digits and letters, some of them in both cases"
    byclass = "byclass", "62 classes: digits, capital and small letters"
    bymerge = "bymerge", "47 classes: as byclass, but 15 letters in one class for both cases"
    digits = "digits", "10 classes"
    letters = "letters", "26 classes, each of both cases"
    mnist = "mnist", "10 classes: digits as many as in MNIST"


_SIZES: Mapping[EMNISTSplit, tuple[int, int]] = {
    EMNISTSplit.balanced: (112_800, 18_800),
    EMNISTSplit.byclass: (697_932, 116_323),
    EMNISTSplit.bymerge: (697_932, 116_323),
    EMNISTSplit.digits: (240_000, 40_000),
    EMNISTSplit.letters: (124_800, 20_800),
    EMNISTSplit.mnist: (60_000, 10_000),
}
_BOTH_CASES = "abdefghnqrt"  # the small letters that have a class of their own in balanced and bymerge


@dataclass(slots=True)
class EMNISTConfig(IDXConfig):
    """Settings of EMNIST (Cohen et al. 2017), read from `<root>/EMNIST/raw`; its images are turned upright."""

    source: ClassVar[str] = "EMNIST"
    is_transposed: ClassVar[bool] = True
    split: EMNISTSplit = setting(EMNISTSplit.balanced, "part of the data set")

    @property
    def official_sizes(self) -> tuple[int, int]:  # type: ignore[override]
        """Samples in the training and the test set."""
        return _SIZES[self.split]

    @property
    def first_label(self) -> int:  # type: ignore[override]
        """The label of the first class: letters count from 1."""
        return int(self.split is EMNISTSplit.letters)

    def class_names(self) -> tuple[str, ...]:
        letters = string.ascii_uppercase + string.ascii_lowercase
        merged = string.ascii_uppercase + _BOTH_CASES
        more = {EMNISTSplit.byclass: letters, EMNISTSplit.balanced: merged, EMNISTSplit.bymerge: merged}
        if self.split is EMNISTSplit.letters:
            return tuple(string.ascii_lowercase)
        return tuple(string.digits + more.get(self.split, ""))

    def file_names(self, train: bool) -> tuple[str, str]:
        start = f"emnist-{self.split.value}-{'train' if train else 'test'}"
        return f"{start}-images-idx3-ubyte", f"{start}-labels-idx1-ubyte"
