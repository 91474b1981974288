"""The user's own arrays as data sets: images, rows of features, or sequences of ids."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlproj.config.arrays import FeatureArraysConfig, FeatureScaling, ImageArraysConfig, SequenceArraysConfig
from dlproj.config.checks import DataError
from dlproj.config.data import DataSpec
from dlproj.data.arrays import Arrays
from dlproj.data.base import DataModule
from dlproj.data.batches import Samples
from dlproj.data.features import FeatureDataModule
from dlproj.data.image import ImageDataModule
from dlproj.torch_files import is_whole


class ImageArraysDataModule(ImageDataModule):
    """Images of any origin; largest_pixel is the largest magnitude in x_train."""

    config: ImageArraysConfig
    background = 0

    def load(self) -> tuple[Samples, Samples | None]:
        """Return training and test images, uint8 or float32 as in the file. Raises DataError."""
        arrays = _read(self)
        if not self.restored:
            self.largest_pixel = float(np.abs(arrays.x_train).max()) or 1.0
            self.pixel_dtype = torch.from_numpy(arrays.x_train).dtype
        elif self.pixel_dtype != torch.from_numpy(arrays.x_train).dtype:
            name = str(self.pixel_dtype).removeprefix("torch.")
            raise DataError(f"the model was trained with {name} images, x_train is {arrays.x_train.dtype}: give {name}")
        return _samples(arrays, self.spec)

    @property
    def highest_pixel(self) -> float:
        return 255 if self.pixel_dtype == torch.uint8 else self.largest_pixel

    def state_dict(self) -> dict[str, Any]:
        """The spec, the scaling and the type of the pixels."""
        return super().state_dict() | {"is_float": self.pixel_dtype.is_floating_point}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the scaling and the type of the pixels. Raises DataError."""
        self.largest_pixel = float(state["largest_pixel"])
        self.pixel_dtype = torch.float32 if state["is_float"] else torch.uint8
        super().restore(state)


class FeatureArraysDataModule(FeatureDataModule):
    """Rows of features, scaled for each feature by itself."""

    config: FeatureArraysConfig
    columns: tuple[str, ...] = ()  # names of the features, if they came from a DataFrame

    def load(self) -> tuple[Samples, Samples | None]:
        """Return training and test samples, float32. Raises DataError."""
        arrays = _read(self)
        if self.restored and self.columns and arrays.columns and self.columns != arrays.columns:
            raise DataError(f"data.file={self.config.file} has other columns than the model: give {self.columns[:10]}")
        self.columns = self.columns or arrays.columns
        return _samples(arrays, self.spec)

    def fit(self) -> None:
        """Set shift and scale (features,): x ↦ (x − shift) / scale; a constant feature becomes 0."""
        values = self.train.inputs.double()
        shift, scale = torch.zeros(values.shape[1]), torch.ones(values.shape[1])
        if self.config.scaling is FeatureScaling.min_max:
            shift, scale = values.amin(0), values.amax(0) - values.amin(0)
        elif self.config.scaling is FeatureScaling.standardize:
            shift, scale = values.mean(0), values.std(0, correction=0)
        self.shift, self.scale = shift.float(), torch.where(scale > 0, scale, 1.0).float()

    def state_dict(self) -> dict[str, Any]:
        """The spec, names of the features, shift and scale."""
        fitted = {"shift": self.shift.cpu(), "scale": self.scale.cpu()}
        return super().state_dict() | {"columns": list(self.columns)} | fitted

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what state_dict() holds. Raises DataError."""
        columns = tuple(map(str, state["columns"]))
        for name in ("shift", "scale"):
            if not is_whole(state[name]) or state[name].shape != self.spec.shape or state[name].is_complex():
                raise DataError(f"{name} does not fit {self.spec.shape[0]} features: choose a checkpoint of this data")
        self.columns, self.shift, self.scale = columns, state["shift"], state["scale"]

    def place(self, device: torch.device) -> None:
        """Move the samples, and shift and scale to wherever these are."""
        super().place(device)
        self.shift, self.scale = self.shift.to(self.train.inputs.device), self.scale.to(self.train.inputs.device)

    def transform(self, inputs: Tensor) -> Tensor:
        """Scale features (B, features)."""
        return (inputs - self.shift) / self.scale


class SequenceArraysDataModule(DataModule):
    """Sequences of ids, int32 (N, length)."""

    config: SequenceArraysConfig

    def load(self) -> tuple[Samples, Samples | None]:
        """Return training and test sequences. Raises DataError for ids that the model has not seen."""
        arrays, size = _read(self), self.spec.vocabulary_size or 0
        if (largest := arrays.largest_id()) >= size:
            raise DataError(f"the ids go up to {largest}, those of the model to {size - 1}: give ids below {size}")
        return _samples(arrays, self.spec)

    def encode(self, texts: Sequence[str]) -> Tensor:
        raise DataError("the model reads ids, and there is no vocabulary to turn words into them: predict from Python")


def _read(module: ImageArraysDataModule | FeatureArraysDataModule | SequenceArraysDataModule) -> Arrays:
    """Read the arrays. Raises DataError if samples or classes are not those of the module's spec."""
    spec, arrays = module.spec, module.config.arrays()
    source = f"data.file={module.config.file}" if module.config.file else "the data"
    if arrays.x_train.shape[1:] != spec.shape:
        found = f"the samples of {source} have the shape {arrays.x_train.shape[1:]}"
        raise DataError(f"{found}, the model reads {tuple(spec.shape)}: choose data of this shape")
    if unknown := set(arrays.classes) - set(spec.classes):
        named = ", ".join(sorted(unknown)[:5])
        raise DataError(f"{source} has the class {named}, the model {', '.join(spec.classes[:10])}")
    return arrays


def _samples(arrays: Arrays, spec: DataSpec) -> tuple[Samples, Samples | None]:
    names = np.array(spec.classes)
    order = np.argsort(names)

    def split(x: np.ndarray, y: np.ndarray) -> Samples:
        return Samples(
            torch.from_numpy(x), torch.from_numpy(order[np.searchsorted(names, y.astype(str), sorter=order)])
        )

    test = None if arrays.x_test is None or arrays.y_test is None else split(arrays.x_test, arrays.y_test)
    return split(arrays.x_train, arrays.y_train), test
