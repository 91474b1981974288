"""Settings of each data set, and the DataSpec that a model is built from."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from dlproj.config.checks import LARGEST_SEED, DataError, require
from dlproj.config.fields import Choice, check_ranges, setting

if TYPE_CHECKING:
    from dlproj.data.base import DataModule
    from dlproj.data.feature_sum import FeatureSumDataModule

FIRST_WORD = 4  # the id of the most frequent word: its rank 1, plus 3, as in Keras


class Kind(Enum):
    """Kind of a sample, which decides how a model reads it."""

    image = "image"  # pixels (channels, height, width)
    sequence = "sequence"  # word ids (length,)
    features = "features"  # real numbers (features,)


class ValidationSplit(Choice):
    """Source of the validation samples."""

    last = "last", "the last val_fraction of the training set, cut before any shuffling, as Keras does"
    random = "random", "a random val_fraction of the training set, drawn from the run's seed"
    stratified = "stratified", "as random, but with the same share of each class"
    test = "test", "the official test set, as some of the lab documents do"


class Sampling(Choice):
    """How an epoch's training samples are drawn."""

    shuffled = "shuffled", "each once, in random order"
    balanced = "balanced", "as many, with replacement, from every class with the same probability"


@dataclass(frozen=True, slots=True)
class DataSpec:
    """Shape and classes of the data, known from the settings before anything is loaded."""

    kind: Kind
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    vocabulary_size: int | None = None  # sequences: ids lie in [0, vocabulary_size)
    padding: str | None = None  # sequences: "pre" or "post"
    first_token: int = 1  # sequences: smaller ids stand for no word: 0 for padding, 1 for the start of a text
    category_sizes: tuple[int, ...] = ()  # features: the last ones are blocks of one-hot inputs, of these sizes

    def __post_init__(self) -> None:
        if min(self.shape) <= 0:  # in a damaged checkpoint
            raise DataError(f"samples of shape {tuple(self.shape)} hold nothing: take other data")


def default_root() -> str:
    """Default of `data.root`: $DLPROJ_DATA_DIR, or data."""
    return os.environ.get("DLPROJ_DATA_DIR") or "data"


ROOT = "folder of the data sets, one subfolder each; unset: $DLPROJ_DATA_DIR, or data"


def check_root(root: str) -> None:
    """Raise ConfigurationError if `data.root` is empty."""
    require(bool(root), "data.root is empty: set the folder that holds the data sets")


@dataclass(slots=True)
class DataConfig(ABC):
    """Settings shared by all data sets; those read from files also have `root`."""

    own_files: ClassVar[bool] = False  # whether root names files of the user's own, which another machine has not
    has_test_set: ClassVar[bool] = False  # whether the data always comes with a test set of its own
    not_read: ClassVar[Mapping[str, str]] = {  # settings of other data, and why they have no effect here
        "root": "this data needs no files (where a sweep has other data, too, set DLPROJ_DATA_DIR)"
    }

    batch_size: int = setting(128, "samples per step and process", "[1, inf)")
    eval_batch_size: int = setting(
        1000, "samples per batch in validation and test; affects only the speed (but see model.eval_mode)", "[1, inf)"
    )
    val: ValidationSplit = setting(ValidationSplit.last, "source of the validation samples")
    val_fraction: float = setting(0.1, "share of the training set to validate on, unless val is test", "(0, 1)")
    drop_last: bool = setting(False, "drop the last training batch of an epoch if it is incomplete")
    test_fraction: float | None = setting(
        None, "share of the samples to hold out as test set, stratified by class; for data without one", "(0, 1)"
    )
    folds: int | None = setting(
        None, "folds of the training set, for cross-validation; one is the test set", "[2, inf)"
    )
    fold: int = setting(0, "the fold to test on, counted from 0", "[0, inf)")
    split_seed: int = setting(
        0, "seed of test_fraction and folds; the run's seed does not change them", f"[0, {LARGEST_SEED}]"
    )
    sampling: Sampling = setting(Sampling.shuffled, "how an epoch's training samples are drawn")
    mixup: float = setting(
        0.0, "mix pairs of training samples, λ · a + (1 − λ) · b, with λ from Beta(mixup, mixup); 0: off", "[0, inf)"
    )

    def __post_init__(self) -> None:
        check_ranges(self, "data.")
        if self.folds is not None:
            message = f"data.fold={self.fold} must be below data.folds={self.folds}: they are counted from 0"
            require(self.fold < self.folds, message)
            message = "data.val=test would choose by the fold that is tested: set data.val=last, random or stratified"
            require(self.val is not ValidationSplit.test, message)
        self.check_test_set(self.has_test_set or None)

    def check_test_set(self, there: bool | None, lack: str = "the data has no test set") -> None:
        """Raise UserError unless the settings say what to test on. there: whether the data has a test set, if known."""
        if self.folds is not None:
            return
        message = "data.test_fraction is for data without a test set, and this has one: leave it out, or set data.folds"
        require(not (there and self.test_fraction is not None), message)
        if there is False and self.test_fraction is None:
            raise DataError(f"{lack}: set data.test_fraction=0.2, or data.folds=5 to cross-validate")

    def check_read(self) -> None:
        """Raise ConfigurationError if a setting has no effect in combination with the others."""
        default = type(self).__dataclass_fields__["val_fraction"].default
        message = f"data.val_fraction={self.val_fraction} has no effect with data.val=test: set data.val=last or random"
        require(self.val is not ValidationSplit.test or self.val_fraction == default, message)
        message = f"data.fold={self.fold} has no effect without data.folds: set data.folds=5"
        require(self.folds is not None or self.fold == 0, message)
        message = "data.test_fraction has no effect with data.folds, where each fold is a test set: leave it out"
        require(self.folds is None or self.test_fraction is None, message)
        message = "data.split_seed has no effect without data.folds or data.test_fraction: set one of them"
        require(bool(self.folds or self.test_fraction) or self.split_seed == 0, message)

    def check_spec(self, spec: DataSpec) -> None:
        """Raise ConfigurationError if a setting does not go with this kind of data."""
        message = f"data.mixup={self.mixup} mixes numbers, and this data has word ids: leave it out"
        require(not self.mixup or spec.kind is not Kind.sequence, message)

    def in_image_folder(self, root: str) -> "DataConfig":
        """The same data read from a tree of images, train/CLASS/* and test/CLASS/*; itself where that is not meant."""
        return self

    @property
    def is_bucketed(self) -> bool:
        """True if batches of about one length save work."""
        return False

    def fitting(self, spec: DataSpec) -> str:
        """What to do where other data than this was wanted, in words."""
        return "choose data like it"

    @abstractmethod
    def spec(self) -> DataSpec:
        """Kind, shape and classes of the samples, without loading them."""

    @classmethod
    def replacing(cls, changed: dict[str, Any]) -> dict[str, Any]:
        """Settings to change in a run's data, with those that go along, when it is evaluated on other data."""
        return changed

    def spec_like(self, trained: DataSpec) -> DataSpec:
        """spec() as read with the fitted state of a model that was trained on data of `trained`."""
        return self.spec()

    @abstractmethod
    def build(self, seed: int) -> "DataModule":
        """Build the data module; `seed` decides the order of batches, the random split and the augmentation."""


class Side(Choice):
    """End of a sequence at which it is padded or truncated."""

    pre = "pre", "the front"
    post = "post", "the end"


@dataclass(slots=True)
class FeatureSumConfig(DataConfig):
    """Settings of synthetic data: random vectors, classified by their sum."""

    has_test_set: ClassVar[bool] = True
    data_seed: int = setting(0, "seed of the samples; the run's own seed does not change them", "[0, inf)")
    train_samples: int = setting(8000, "size of the training set, before validation is split off", "[1, inf)")
    test_samples: int = setting(2000, "size of the test set", "[1, inf)")
    features: int = setting(20, "numbers per sample; class 1 if their sum is more than half of this", "[1, inf)")

    def spec(self) -> DataSpec:
        """Vectors (features,) in two classes."""
        return DataSpec(Kind.features, (self.features,), ("at most half", "more than half"))

    def build(self, seed: int) -> "FeatureSumDataModule":
        from dlproj.data.feature_sum import FeatureSumDataModule

        return FeatureSumDataModule(self, seed)
