"""The settings of each data set, and what a model must know of the data."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from dlproj.config.checks import DataError, require
from dlproj.config.fields import Choice, check_ranges, setting

if TYPE_CHECKING:
    from dlproj.data.base import DataModule
    from dlproj.data.cifar10 import CIFAR10DataModule
    from dlproj.data.digits import DigitsDataModule
    from dlproj.data.feature_sum import FeatureSumDataModule
    from dlproj.data.fmnist import FMNISTDataModule
    from dlproj.data.image import ImageDataModule
    from dlproj.data.image_folder import ImageFolderDataModule
    from dlproj.data.imdb import IMDBDataModule

FIRST_WORD = 4  # the id of the most frequent word: its rank 1, plus 3, as in Keras


class Kind(Enum):
    """What one sample is, and so which models can read it and how."""

    image = "image"  # pixels (channels, height, width)
    sequence = "sequence"  # word ids (length,)
    features = "features"  # numbers (count,)


class ValidationSplit(Choice):
    """Where the validation samples come from."""

    last = "last", "the last val_fraction of the training set, cut before any shuffling, as Keras does"
    random = "random", "a random val_fraction of the training set, drawn from the run's seed"
    test = "test", "the official test set, as some of the lab documents do"


@dataclass(frozen=True, slots=True)
class DataSpec:
    """What a model must know of the data: known from the settings alone, before anything is loaded."""

    kind: Kind
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    vocabulary_size: int | None = None  # sequences: ids lie in [0, vocabulary_size)
    padding: str | None = None  # sequences: "pre" or "post"

    def __post_init__(self) -> None:
        if min(self.shape) <= 0:  # in a damaged checkpoint
            raise DataError(f"samples of shape {tuple(self.shape)} hold nothing: take other data")


def default_root() -> str:
    """The folder of the data sets where the settings name none."""
    return os.environ.get("DLPROJ_DATA_DIR") or "data"


_ROOT = "the folder that holds the data sets, one folder each; unset: $DLPROJ_DATA_DIR, or data"


def check_root(root: str) -> None:
    """Raise ConfigurationError for the setting of data that is read from files."""
    require(bool(root), "data.root is empty: set the folder that holds the data sets")


@dataclass(slots=True)
class DataConfig(ABC):
    """Settings that every data set has. Those that are read from files have a root, too."""

    own_files: ClassVar[bool] = False  # whether root names files of the user's own, which another machine has not
    not_read: ClassVar[Mapping[str, str]] = {  # settings of other data, and why they have no effect here
        "root": "this data needs no files (where a sweep has other data, too, set DLPROJ_DATA_DIR)"
    }

    batch_size: int = setting(128, "samples a step and process", "[1, inf)")
    eval_batch_size: int = setting(
        1000, "samples a batch in validation and test; for the speed alone (but see model.eval_mode)", "[1, inf)"
    )
    val: ValidationSplit = setting(ValidationSplit.last, "where the validation samples come from")
    val_fraction: float = setting(0.1, "share of the training set held out, unless val is test", "(0, 1)")
    drop_last: bool = setting(False, "leave out the last training batch of an epoch where it is incomplete")

    def __post_init__(self) -> None:
        check_ranges(self, "data.")

    def check_read(self) -> None:
        """Raise ConfigurationError for a setting that has no effect beside the others."""
        default = type(self).__dataclass_fields__["val_fraction"].default
        message = f"data.val_fraction={self.val_fraction} is not read with data.val=test: set data.val=last or random"
        require(self.val is not ValidationSplit.test or self.val_fraction == default, message)

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
        """What the samples look like, without loading them."""

    @abstractmethod
    def build(self, seed: int) -> "DataModule":
        """The data module; seed decides the order of batches, the random split and the augmentation."""


class Scaling(Choice):
    """How stored pixels become the numbers that a model reads."""

    none = "none", "as they are: 0..255, or 0..16 for digits"
    unit = "unit", "divided by the largest value a pixel can have"
    min_max = "min_max", "the training set's smallest value becomes 0, its largest 1"
    standardize = "standardize", "mean 0 and standard deviation 1 over the training set, channel by channel"


@dataclass(slots=True)
class ImageConfig(DataConfig):
    """Settings of a data set of images."""

    scaling: Scaling = setting(Scaling.unit, "how stored pixels become the numbers that a model reads")
    random_flip: bool = setting(False, "mirror each training image left to right with probability 1/2")
    random_crop: int = setting(
        0, "pixels of zero padding on each side, of which a random crop of the old size is taken", "[0, inf)"
    )

    @abstractmethod
    def build(self, seed: int) -> "ImageDataModule":
        """The data module."""


@dataclass(slots=True)
class StoredImageConfig(ImageConfig):
    """Settings of a data set of images that is read from files."""

    root: str = setting(default_root, _ROOT)

    def __post_init__(self) -> None:
        ImageConfig.__post_init__(self)  # slots=True makes a new class, which super() would not find
        check_root(self.root)


def image_spec(shape: tuple[int, int, int], classes: tuple[str, ...]) -> DataSpec:
    """The spec of images of one shape (channels, height, width)."""
    return DataSpec(Kind.image, shape, classes)


FMNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(slots=True)
class FMNISTConfig(StoredImageConfig):
    """Settings of Fashion-MNIST, read from `<root>/FashionMNIST/raw`."""

    def spec(self) -> DataSpec:
        """Grey images (1, 28, 28) in ten classes."""
        return image_spec((1, 28, 28), FMNIST_CLASSES)

    def build(self, seed: int) -> "FMNISTDataModule":
        from dlproj.data.fmnist import FMNISTDataModule

        return FMNISTDataModule(self, seed)


CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(slots=True)
class CIFAR10Config(StoredImageConfig):
    """Settings of CIFAR-10, read from `<root>/cifar-10-batches-py`."""

    def in_image_folder(self, root: str) -> "ImageFolderConfig":
        shared = {field.name: getattr(self, field.name) for field in fields(self)}
        return ImageFolderConfig(**shared | {"root": root})

    def spec(self) -> DataSpec:
        """Colour images (3, 32, 32) in ten classes."""
        return image_spec((3, 32, 32), CIFAR10_CLASSES)

    def build(self, seed: int) -> "CIFAR10DataModule":
        from dlproj.data.cifar10 import CIFAR10DataModule

        return CIFAR10DataModule(self, seed)


class Side(Choice):
    """The end of a sequence at which it is padded or cut."""

    pre = "pre", "the front"
    post = "post", "the end"


@dataclass(slots=True)
class IMDBConfig(DataConfig):
    """Settings of the reviews, read from `<root>/aclImdb`."""

    root: str = setting(default_root, _ROOT)
    vocabulary_size: int = setting(
        10_000, "ids lie below this, Keras's num_words; rarer words become 2", f"[{FIRST_WORD + 1}, inf)"
    )
    length: int = setting(200, "ids a review after padding and cutting", "[1, inf)")
    padding: Side = setting(Side.pre, "where a shorter review is filled up with 0")
    truncating: Side = setting(Side.pre, "where a longer review is cut")
    bucket_by_length: bool = setting(
        False, "train on batches of about one length: with model.masking, fewer steps on the CPU"
    )

    def __post_init__(self) -> None:
        DataConfig.__post_init__(self)  # slots=True makes a new class, which super() would not find
        check_root(self.root)
        aligned = not self.bucket_by_length or self.padding is Side.post
        require(aligned, "data.bucket_by_length=true saves work where padding stands last: set data.padding=post")

    @property
    def is_bucketed(self) -> bool:
        """As set."""
        return self.bucket_by_length

    def spec(self) -> DataSpec:
        """Ids (length,) in two classes."""
        classes = ("negative", "positive")
        return DataSpec(Kind.sequence, (self.length,), classes, self.vocabulary_size, self.padding.value)

    def build(self, seed: int) -> "IMDBDataModule":
        from dlproj.data.imdb import IMDBDataModule

        return IMDBDataModule(self, seed)


@dataclass(slots=True)
class DigitsConfig(ImageConfig):
    """Settings of the digits, which are a part of scikit-learn."""

    def spec(self) -> DataSpec:
        """Grey images (1, 8, 8) in ten classes."""
        return image_spec((1, 8, 8), tuple("0123456789"))

    def build(self, seed: int) -> "DigitsDataModule":
        from dlproj.data.digits import DigitsDataModule

        return DigitsDataModule(self, seed)


@dataclass(slots=True)
class ImageFolderConfig(StoredImageConfig):
    """Settings of a tree of images; `root` is the folder that holds train/ and test/."""

    own_files: ClassVar[bool] = True
    channels: int = setting(3, "1 for grey, 3 for colour; images of the other sort are converted")
    image_size: int = setting(32, "height and width in pixels; images of another size are resized", "[1, inf)")

    def __post_init__(self) -> None:
        StoredImageConfig.__post_init__(self)  # slots=True makes a new class, which super() would not find
        require(self.channels in (1, 3), f"data.channels={self.channels} must be 1 (grey) or 3 (colour)")

    def fitting(self, spec: DataSpec) -> str:
        """Read the images in another size."""
        return f"set --data channels={spec.shape[0]} --data image_size={spec.shape[-1]}"

    def spec(self) -> DataSpec:
        """Images (channels, image_size, image_size) in one class for each folder in train/, sorted by name.

        Raises DataError where the tree is not as it should be.
        """
        from dlproj.data.class_folders import class_names

        return image_spec((self.channels, self.image_size, self.image_size), class_names(self.root))

    def build(self, seed: int) -> "ImageFolderDataModule":
        from dlproj.data.image_folder import ImageFolderDataModule

        return ImageFolderDataModule(self, seed)


@dataclass(slots=True)
class FeatureSumConfig(DataConfig):
    """Settings of the made data."""

    data_seed: int = setting(0, "decides the samples; the run's own seed does not change them", "[0, inf)")
    train_samples: int = setting(8000, "of the training set, before validation is taken from it", "[1, inf)")
    test_samples: int = setting(2000, "of the test set", "[1, inf)")
    features: int = setting(20, "numbers a sample; class 1 where their sum is more than half of this", "[1, inf)")

    def spec(self) -> DataSpec:
        """Vectors (features,) in two classes."""
        return DataSpec(Kind.features, (self.features,), ("at most half", "more than half"))

    def build(self, seed: int) -> "FeatureSumDataModule":
        from dlproj.data.feature_sum import FeatureSumDataModule

        return FeatureSumDataModule(self, seed)
