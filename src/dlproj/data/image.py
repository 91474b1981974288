"""The base of image data sets: pixels stored as uint8, scaled per batch, optionally flipped and cropped."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dlproj.config.checks import DataError
from dlproj.config.images import ImageConfig, Scaling
from dlproj.data.base import DataModule
from dlproj.data.batches import Shard, generator
from dlproj.data.decoding import Decoded, decode
from dlproj.torch_files import is_whole


class ImageDataModule(DataModule):
    """Images stored as uint8 (N, channels, height, width); batches are float32, scaled as data.scaling says."""

    config: ImageConfig
    background = 255  # grey level behind the transparent parts of an image

    @property
    def highest_pixel(self) -> float:
        """The largest value that a sample to predict may have."""
        return self.largest_pixel

    def fit(self) -> None:
        """Set shift and scale, each broadcast against (B, channels, height, width): x ↦ (x − shift) / scale."""
        pixels, scaling = self.train.inputs, self.config.scaling
        shift, scale = torch.tensor(0.0), torch.tensor(1.0)
        if scaling is Scaling.unit:
            scale = torch.tensor(float(self.largest_pixel))
        elif scaling is Scaling.min_max:
            shift = pixels.min().float()
            scale = pixels.max().float() - shift
            scale[scale == 0] = 1.0  # constant images become zeros, not NaN
        elif scaling is Scaling.standardize:
            shift, scale = channel_statistics(pixels)
        self.shift, self.scale = shift, scale

    def state_dict(self) -> dict[str, Any]:
        """The spec and the scaling of the pixels."""
        statistics = {"shift": self.shift.cpu(), "scale": self.scale.cpu()}
        return super().state_dict() | self._pixels() | statistics

    def restore(self, state: dict[str, Any]) -> None:
        """Restore shift and scale. Raises DataError if they were fitted for other scaling, pixels or shape."""
        for name, value in self._pixels().items():
            if state[name] != value:
                raise DataError(
                    f"the model was trained with {name}={state[name]}, this data has {value}: choose data with the same"
                )
        for name in ("shift", "scale"):
            value = state[name]
            if not is_whole(value) or value.shape not in ((), (self.spec.shape[0], 1, 1)) or value.is_complex():
                raise DataError(f"{name} does not fit images {self.spec.shape}: choose a checkpoint of this data")
        self.shift, self.scale = state["shift"], state["scale"]

    def _pixels(self) -> dict[str, Any]:
        return {"scaling": self.config.scaling.name, "largest_pixel": self.largest_pixel}

    def decode(self, paths: Sequence[Path]) -> Decoded:
        """Decode image files to stored pixels (N, channels, height, width) in 0..highest_pixel."""
        images = decode(paths, self.spec.shape, self.background)
        if self.highest_pixel == 255:
            return images
        pixels = images.pixels * (self.highest_pixel / 255)
        return images._replace(pixels=pixels if self.pixel_dtype.is_floating_point else pixels.round().byte())

    def transform(self, inputs: Tensor) -> Tensor:
        """Scale uint8 pixels (B, C, H, W) to float32 of the same shape."""
        pixels = inputs.to(torch.float32, copy=True)
        if self.config.scaling in (Scaling.min_max, Scaling.standardize):
            pixels = pixels.sub_(self.shift)
        return pixels if self.config.scaling is Scaling.none else pixels.div_(self.scale)

    def shown(self, inputs: Tensor) -> np.ndarray:
        """Convert one stored image (C, H, W) to uint8 (H, W), or (H, W, 3) for colour; largest_pixel becomes 255.

        In an image with negative pixels the smallest becomes 0, the largest 255.
        """
        pixels = inputs.cpu().movedim(0, -1).squeeze(-1).float()
        low, high = float(pixels.min()), self.largest_pixel
        if low < 0:
            pixels, high = pixels - low, float(pixels.max()) - low
        return (pixels * (255 / high)).clamp(0, 255).round().byte().numpy()

    def place(self, device: torch.device) -> None:
        """Move the samples, and shift and scale to wherever these are."""
        super().place(device)
        self.shift, self.scale = self.shift.to(self.train.inputs.device), self.scale.to(self.train.inputs.device)

    def transform_training(self, inputs: Tensor, epoch: int, step: int, shard: Shard) -> Tensor:
        """Augment, then transform. Draws depend only on (seed, epoch, step) and a sample's position in the batch."""
        if self.config.random_flip or self.config.random_crop:
            inputs = augment(inputs, self.config, generator("augmentation", self.seed, epoch, step), shard)
        return self.transform(inputs)


def channel_statistics(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Per-channel mean and standard deviation (0 becomes 1) of pixels (N, C, H, W), each (C, 1, 1).

    Those of uint8 pixels are exact.
    """
    if pixels.is_floating_point():
        deviation, mean = torch.std_mean(pixels.double(), (0, 2, 3), correction=0)
        return mean.float()[:, None, None], torch.where(deviation > 0, deviation, 1.0).float()[:, None, None]
    values = torch.arange(256, dtype=torch.float64)
    counts = pixel_counts(pixels).double()
    total = counts.sum(1)
    mean = counts @ values / total
    variance = counts @ values.square() / total - mean.square()
    deviation = variance.clamp(min=0).sqrt()
    deviation[deviation == 0] = 1.0
    return mean.float()[:, None, None], deviation.float()[:, None, None]


def pixel_counts(pixels: Tensor) -> Tensor:
    """Count each value 0..255 of uint8 pixels (N, C, H, W) per channel: int64 (C, 256)."""
    counts = torch.zeros(pixels.shape[1], 256, dtype=torch.int64, device=pixels.device)
    for part in pixels.split(4096):  # of more images than memory holds
        counts += torch.stack([channel.flatten().bincount(minlength=256) for channel in part.unbind(1)])
    return counts


def augment(images: Tensor, config: ImageConfig, random: torch.Generator, shard: Shard) -> Tensor:
    """Randomly flip and crop images (B, C, H, W). Every rank draws for the global batch and uses its own part."""
    total = len(images) * shard.world_size
    mine = slice(shard.rank * len(images), (shard.rank + 1) * len(images))
    if config.random_flip:
        flip = (torch.rand(total, generator=random) < 0.5)[mine].to(images.device, non_blocking=True)
        images = torch.where(flip[:, None, None, None], images.flip(-1), images)
    if config.random_crop:
        offsets = torch.randint(2 * config.random_crop + 1, (2, total), generator=random)[:, mine]
        offsets = offsets.to(images.device, non_blocking=True)
        images = crop(functional.pad(images, (config.random_crop,) * 4), offsets, images.shape[-2:])
    return images


def crop(padded: Tensor, offsets: Tensor, size: torch.Size) -> Tensor:
    """Crop each padded image to (B, C, *size), starting at its (row, column) in offsets (2, B)."""
    height, width = size
    rows = offsets[0][:, None] + torch.arange(height, device=padded.device)
    columns = offsets[1][:, None] + torch.arange(width, device=padded.device)
    samples = torch.arange(len(padded), device=padded.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[samples, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
