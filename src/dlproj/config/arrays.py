"""Settings of the user's own arrays, read from an .npz file: images, rows of features, or word ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dlproj.config.data import DataConfig, DataSpec, Kind, Side
from dlproj.config.fields import Choice, setting
from dlproj.config.images import ImageConfig

if TYPE_CHECKING:
    from dlproj.data.array_modules import FeatureArraysDataModule, ImageArraysDataModule, SequenceArraysDataModule
    from dlproj.data.arrays import Arrays

FILE = ".npz file with the arrays x_train and y_train, and x_test and y_test if there is a test set"
_NOT_READ = {"root": "this data is one file: set data.file"}


class FeatureScaling(Choice):
    """How features are scaled for the model; fitted to the training samples, for each feature by itself."""

    none = "none", "unchanged"
    min_max = "min_max", "the smallest value becomes 0, the largest 1"
    standardize = "standardize", "mean 0 and standard deviation 1"


@dataclass(slots=True)
class ImageArraysConfig(ImageConfig):
    """Settings of images in arrays: (n, height, width), or with 1 or 3 channels first or last; uint8 or float32."""

    own_files: ClassVar[bool] = True
    not_read: ClassVar[Mapping[str, str]] = _NOT_READ
    file: str = setting("", FILE)

    def arrays(self) -> "Arrays":
        """The images with their labels. Raises DataError for a damaged file."""
        from dlproj.data.arrays import read_arrays

        return read_arrays(self.file, Kind.image)

    def spec(self) -> DataSpec:
        """Images (channels, height, width) in the classes of y_train. Raises DataError for a damaged file."""
        arrays = self.arrays()
        self.check_test_set(arrays.x_test is not None)
        return arrays.spec(Kind.image)

    def build(self, seed: int) -> "ImageArraysDataModule":
        from dlproj.data.array_modules import ImageArraysDataModule

        return ImageArraysDataModule(self, seed)


@dataclass(slots=True)
class FeatureArraysConfig(DataConfig):
    """Settings of rows of numbers in arrays: (n, features)."""

    own_files: ClassVar[bool] = True
    not_read: ClassVar[Mapping[str, str]] = _NOT_READ
    file: str = setting("", FILE)
    scaling: FeatureScaling = setting(FeatureScaling.standardize, "how features are scaled for the model")

    def arrays(self) -> "Arrays":
        """The rows of numbers with their labels. Raises DataError for a damaged file."""
        from dlproj.data.arrays import read_arrays

        return read_arrays(self.file, Kind.features)

    def spec(self) -> DataSpec:
        """Vectors (features,) in the classes of y_train. Raises DataError for a damaged file."""
        arrays = self.arrays()
        self.check_test_set(arrays.x_test is not None)
        return arrays.spec(Kind.features)

    def build(self, seed: int) -> "FeatureArraysDataModule":
        from dlproj.data.array_modules import FeatureArraysDataModule

        return FeatureArraysDataModule(self, seed)


@dataclass(slots=True)
class SequenceArraysConfig(DataConfig):
    """Settings of sequences of ids in arrays: (n, length); id 0 is padding."""

    own_files: ClassVar[bool] = True
    not_read: ClassVar[Mapping[str, str]] = _NOT_READ
    file: str = setting("", FILE)
    padding: Side = setting(Side.pre, "where the arrays pad shorter sequences with 0")

    def arrays(self) -> "Arrays":
        """The ids with their labels. Raises DataError for a damaged file."""
        from dlproj.data.arrays import read_arrays

        return read_arrays(self.file, Kind.sequence)

    def spec(self) -> DataSpec:
        """Ids (length,) up to the largest in the arrays, in the classes of y_train. Raises DataError."""
        arrays = self.arrays()
        self.check_test_set(arrays.x_test is not None)
        return arrays.spec(Kind.sequence, self.padding)

    def build(self, seed: int) -> "SequenceArraysDataModule":
        from dlproj.data.array_modules import SequenceArraysDataModule

        return SequenceArraysDataModule(self, seed)


class _FromElsewhere:
    """Settings of arrays that `source`, other settings, reads from elsewhere than a file."""

    __slots__ = ()
    source: Any

    def arrays(self) -> "Arrays":
        arrays: Arrays = self.source.arrays()
        return arrays

    def spec(self) -> DataSpec:
        spec: DataSpec = self.source.spec()
        return spec


@dataclass(slots=True)
class ImagesFrom(_FromElsewhere, ImageArraysConfig):
    """Images that other settings read."""

    source: Any = None


@dataclass(slots=True)
class FeaturesFrom(_FromElsewhere, FeatureArraysConfig):
    """Rows of numbers that other settings read."""

    source: Any = None


@dataclass(slots=True)
class SequencesFrom(_FromElsewhere, SequenceArraysConfig):
    """Ids that other settings read."""

    source: Any = None
