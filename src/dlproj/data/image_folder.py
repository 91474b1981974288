"""A tree of image files of one's own: train/CLASS/* and test/CLASS/*."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dlproj.data.base import DataSpec
from dlproj.data.batches import Samples
from dlproj.data.decoding import EXTENSIONS, MODES
from dlproj.data.files import brief, data_root, fixed_order
from dlproj.data.image import ImageConfig, ImageDataModule, image_spec
from dlproj.settings import DataError, require, within


@dataclass(slots=True)
class ImageFolderConfig(ImageConfig):
    """Settings of a tree of images; `root` is the folder that holds train/ and test/."""

    channels: int = 3  # 1 for grey, 3 for colour; images of the other sort are converted
    image_size: int = 32  # height and width in pixels, 1 or more; images of another size are resized

    def __post_init__(self) -> None:
        ImageConfig.__post_init__(self)  # slots=True makes a new class, which super() would not find
        require(self.channels in MODES, f"data.channels={self.channels} is impossible: set 1 (grey) or 3 (colour)")
        within("data.image_size", self.image_size, "[1, inf)")

    def spec(self) -> DataSpec:
        """Images (channels, image_size, image_size) in one class for each folder in train/, sorted by name.

        Raises DataError where the tree is not as it should be.
        """
        classes, test = _folders(data_root(self.root), "train"), _folders(data_root(self.root), "test")
        if classes != test:
            odd = sorted(set(classes) ^ set(test))
            raise DataError(f"data.root={self.root}: train/ and test/ must have the same class folders, "
                            f"but {', '.join(odd[:5])} is in one only: add or remove it")  # fmt: skip
        if len(classes) < 2:
            raise DataError(f"data.root={self.root} holds one class only: add a folder for another to train/ and test/")
        return image_spec((self.channels, self.image_size, self.image_size), classes)

    def build(self, seed: int) -> "ImageFolderDataModule":
        """The data module."""
        return ImageFolderDataModule(self, seed)


class ImageFolderDataModule(ImageDataModule):
    """The images of a tree, decoded once into memory."""

    config: ImageFolderConfig

    def load(self) -> tuple[Samples, Samples]:
        """Training images in one fixed order (files.fixed_order), as they come sorted by class, and test images."""
        train, test = (self._labelled(split) for split in ("train", "test"))
        return self._decoded(fixed_order(train)), self._decoded(test)

    def _labelled(self, split: str) -> list[tuple[Path, int]]:
        folder = data_root(self.config.root) / split
        return [(path, target) for target, name in enumerate(self.spec.classes) for path in _images(folder / name)]

    def _decoded(self, files: Sequence[tuple[Path, int]]) -> Samples:
        images = self.decode([path for path, _ in files]).pixels
        return Samples(images, torch.tensor([target for _, target in files]))


def _folders(root: Path, split: str) -> tuple[str, ...]:
    try:
        names = sorted(place.name for place in (root / split).iterdir() if place.is_dir() and place.name[0] != ".")
    except OSError as error:
        raise DataError(f"{root / split} cannot be read ({brief(error)}): set data.root to a folder that holds "
                        "train/CLASS/ and test/CLASS/ with the images") from error  # fmt: skip
    if not names:
        raise DataError(f"{root / split} holds no class folders: set data.root to a folder that holds "
                        "train/CLASS/ and test/CLASS/ with the images")  # fmt: skip
    return tuple(names)


def _images(folder: Path) -> list[Path]:
    names = sorted(name for name in os.listdir(folder) if name.lower().endswith(EXTENSIONS) and name[0] != ".")
    if not names:
        raise DataError(
            f"{folder} holds no images ({' '.join(EXTENSIONS)}): add some, or remove it from train/ and test/"
        )
    return [folder / name for name in names]
