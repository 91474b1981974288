"""Settings of the image data sets."""

from abc import abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from dlproj.config.checks import require
from dlproj.config.data import ROOT, DataConfig, DataSpec, Kind, check_root, default_root
from dlproj.config.fields import Choice, setting

if TYPE_CHECKING:
    from dlproj.data.cifar10 import CIFAR10DataModule
    from dlproj.data.digits import DigitsDataModule
    from dlproj.data.idx_images import IDXDataModule
    from dlproj.data.image import ImageDataModule
    from dlproj.data.image_folder import ImageFolderDataModule


class Scaling(Choice):
    """How stored pixels are scaled for the model."""

    none = "none", "unchanged: 0..255, or 0..16 for digits"
    unit = "unit", "divided by the largest possible pixel value"
    min_max = "min_max", "the training set's smallest value becomes 0, its largest 1"
    standardize = "standardize", "mean 0 and standard deviation 1 over the training set, per channel"


@dataclass(slots=True)
class ImageConfig(DataConfig):
    """Settings shared by all image data sets."""

    scaling: Scaling = setting(Scaling.unit, "how stored pixels are scaled for the model")
    random_flip: bool = setting(False, "flip each training image left to right with probability 1/2")
    random_crop: int = setting(
        0, "zero-pad training images by so many pixels on each side and crop them at random to the old size", "[0, inf)"
    )

    @abstractmethod
    def build(self, seed: int) -> "ImageDataModule":
        """Build the data module; see DataConfig.build()."""


@dataclass(slots=True)
class StoredImageConfig(ImageConfig):
    """Settings shared by image data sets that are read from files."""

    root: str = setting(default_root, ROOT)

    def __post_init__(self) -> None:
        ImageConfig.__post_init__(self)  # slots=True makes a new class, which super() would not find
        check_root(self.root)


def image_spec(shape: tuple[int, int, int], classes: tuple[str, ...]) -> DataSpec:
    """DataSpec of images (channels, height, width)."""
    return DataSpec(Kind.image, shape, classes)


FMNIST_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


@dataclass(slots=True)
class IDXConfig(StoredImageConfig):
    """Settings shared by grey images, 28×28, that torchvision downloads as IDX files to `<root>/SOURCE/raw`."""

    has_test_set: ClassVar[bool] = True
    source: ClassVar[str]  # name of torchvision's class, and of the folder
    official_sizes: ClassVar[tuple[int, int]] = (60_000, 10_000)
    first_label: ClassVar[int] = 0
    is_transposed: ClassVar[bool] = False  # whether the files hold images with rows and columns exchanged

    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""

    def file_names(self, train: bool) -> tuple[str, str]:
        """Names of the files of images and of labels."""
        split = "train" if train else "t10k"
        return f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"

    def spec(self) -> DataSpec:
        """Grey images (1, 28, 28)."""
        return image_spec((1, 28, 28), self.class_names())

    def build(self, seed: int) -> "IDXDataModule":
        from dlproj.data.idx_images import IDXDataModule

        return IDXDataModule(self, seed)


@dataclass(slots=True)
class FMNISTConfig(IDXConfig):
    """Settings of Fashion-MNIST, read from `<root>/FashionMNIST/raw`."""

    source: ClassVar[str] = "FashionMNIST"

    def class_names(self) -> tuple[str, ...]:
        return FMNIST_CLASSES


CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(slots=True)
class CIFAR10Config(StoredImageConfig):
    """Settings of CIFAR-10, read from `<root>/cifar-10-batches-py`."""

    has_test_set: ClassVar[bool] = True

    def in_image_folder(self, root: str) -> "ImageFolderConfig":
        shared = {field.name: getattr(self, field.name) for field in fields(self)}
        return ImageFolderConfig(**shared | {"root": root})

    def spec(self) -> DataSpec:
        """Colour images (3, 32, 32) in ten classes."""
        return image_spec((3, 32, 32), CIFAR10_CLASSES)

    def build(self, seed: int) -> "CIFAR10DataModule":
        from dlproj.data.cifar10 import CIFAR10DataModule

        return CIFAR10DataModule(self, seed)


@dataclass(slots=True)
class DigitsConfig(ImageConfig):
    """Settings of the digits that come with scikit-learn."""

    has_test_set: ClassVar[bool] = True

    def spec(self) -> DataSpec:
        """Grey images (1, 8, 8) in ten classes."""
        return image_spec((1, 8, 8), tuple("0123456789"))

    def build(self, seed: int) -> "DigitsDataModule":
        from dlproj.data.digits import DigitsDataModule

        return DigitsDataModule(self, seed)


class Caching(Choice):
    """Whether decoded images or a parsed table are kept in memory-mapped files, for later runs and little memory."""

    auto = "auto", "from 1,000 images on, and for tables of 16 MB and more"
    always = "always", "however few there are"
    never = "never", "read into memory at each start"


@dataclass(slots=True)
class ImageFolderConfig(StoredImageConfig):
    """Settings of images in one folder per class; `root` holds train/ and test/."""

    own_files: ClassVar[bool] = True
    channels: int = setting(3, "1 for grey, 3 for colour; other images are converted")
    image_size: int = setting(32, "height and width in pixels; other images are resized", "[1, inf)")
    cache: Caching = setting(Caching.auto, "keep decoded images in memory-mapped files")

    def __post_init__(self) -> None:
        StoredImageConfig.__post_init__(self)  # slots=True makes a new class, which super() would not find
        require(self.channels in (1, 3), f"data.channels={self.channels} must be 1 (grey) or 3 (colour)")

    def fitting(self, spec: DataSpec) -> str:
        """Read the images in another size."""
        return f"set --data channels={spec.shape[0]} --data image_size={spec.shape[-1]}"

    def spec(self) -> DataSpec:
        """Images (channels, image_size, image_size), one class per folder in train/, sorted by name.

        Raises DataError if folders are missing or do not match.
        """
        from dlproj.data.class_folders import class_names, has_test_folder

        classes = class_names(self.root)
        self.check_test_set(has_test_folder(self.root), f"data.root={self.root} has no folder test")
        return image_spec((self.channels, self.image_size, self.image_size), classes)

    def build(self, seed: int) -> "ImageFolderDataModule":
        from dlproj.data.image_folder import ImageFolderDataModule

        return ImageFolderDataModule(self, seed)
