"""What image data sets share: pixels kept as uint8, scaled by the batch, flipped and cropped where asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dlproj.config.checks import DataError
from dlproj.config.data import ImageConfig, Scaling
from dlproj.data.base import DataModule
from dlproj.data.batches import Shard, generator
from dlproj.data.decoding import Decoded, decode
from dlproj.torch_files import is_whole


class ImageDataModule(DataModule):
    """Images stored as uint8 (N, channels, height, width); batches are float32, scaled as the settings say."""

    config: ImageConfig
    background = 255  # the grey level that the transparent parts of an image get

    def fit(self) -> None:
        """Set shift and scale, each broadcast against (B, channels, height, width): x ↦ (x − shift) / scale."""
        pixels, scaling = self.train.inputs, self.config.scaling
        shift, scale = torch.tensor(0.0), torch.tensor(1.0)
        if scaling is Scaling.unit:
            scale = torch.tensor(float(self.largest_pixel))
        elif scaling is Scaling.min_max:
            shift = pixels.min().float()
            scale = (pixels.max().float() - shift).clamp(min=1)  # clamp: an all-equal set becomes zeros, not NaN
        elif scaling is Scaling.standardize:
            shift, scale = channel_statistics(pixels)
        self.shift, self.scale = shift, scale

    def state_dict(self) -> dict[str, Any]:
        """The spec, and how pixels are scaled."""
        statistics = {"shift": self.shift.cpu(), "scale": self.scale.cpu()}
        return super().state_dict() | self._pixels() | statistics

    def restore(self, state: dict[str, Any]) -> None:
        """Shift and scale as in training."""
        for name, value in self._pixels().items():
            if state[name] != value:
                raise DataError(
                    f"the model was trained with {name}={state[name]}, this data has {value}: choose data with the same"
                )
        for name in ("shift", "scale"):
            value = state[name]
            if not is_whole(value) or value.shape not in ((), (self.spec.shape[0], 1, 1)) or value.is_complex():
                raise DataError(f"{name} does not go with images {self.spec.shape}: choose a checkpoint of this data")
        self.shift, self.scale = state["shift"], state["scale"]

    def _pixels(self) -> dict[str, Any]:
        return {"scaling": self.config.scaling.name, "largest_pixel": self.largest_pixel}

    def decode(self, paths: Sequence[Path]) -> Decoded:
        """Image files as uint8 (N, channels, height, width), 0 to largest_pixel."""
        images = decode(paths, self.spec.shape, self.background)
        if self.largest_pixel == 255:
            return images
        return images._replace(pixels=(images.pixels * (self.largest_pixel / 255)).round().byte())

    def transform(self, inputs: Tensor) -> Tensor:
        """uint8 pixels (B, C, H, W) to scaled float32 of the same shape."""
        pixels = inputs.float()
        if self.config.scaling in (Scaling.min_max, Scaling.standardize):
            pixels = pixels.sub_(self.shift)
        return pixels if self.config.scaling is Scaling.none else pixels.div_(self.scale)

    def shown(self, inputs: Tensor) -> np.ndarray:
        """One stored image (C, H, W) as uint8 (H, W), or (H, W, 3) for colour; the largest pixel becomes 255."""
        pixels = inputs.cpu().movedim(0, -1).squeeze(-1).float()
        return (pixels * (255 / self.largest_pixel)).round().byte().numpy()

    def place(self, device: torch.device) -> None:
        """Shift and scale go where the samples go."""
        super().place(device)
        self.shift, self.scale = self.shift.to(self.train.inputs.device), self.scale.to(self.train.inputs.device)

    def transform_training(self, inputs: Tensor, epoch: int, step: int, shard: Shard) -> Tensor:
        """The same after augmentation, whose draws depend on (seed, epoch, step) and a sample's place alone."""
        if self.config.random_flip or self.config.random_crop:
            inputs = augment(inputs, self.config, generator("augmentation", self.seed, epoch, step), shard)
        return self.transform(inputs)


def channel_statistics(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of uint8 pixels (N, C, H, W), each (C, 1, 1), exact: from counts of each value."""
    values = torch.arange(256, dtype=torch.float64)
    counts = pixel_counts(pixels).double()
    total = counts.sum(1)
    mean = counts @ values / total
    variance = counts @ values.square() / total - mean.square()
    deviation = variance.clamp(min=0).sqrt()
    deviation[deviation == 0] = 1.0
    return mean.float()[:, None, None], deviation.float()[:, None, None]


def pixel_counts(pixels: Tensor) -> Tensor:
    """How often each value 0..255 occurs in uint8 pixels (N, C, H, W), by channel: int64 (C, 256)."""
    return torch.stack([channel.flatten().bincount(minlength=256) for channel in pixels.unbind(1)])


def augment(images: Tensor, config: ImageConfig, random: torch.Generator, shard: Shard) -> Tensor:
    """Mirrored and cropped images (B, C, H, W). Draws are made for the global batch, so ranks share them out."""
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
    """The part (B, C, *size) of each padded image that starts at its (row, column) of offsets (2, B)."""
    height, width = size
    rows = offsets[0][:, None] + torch.arange(height, device=padded.device)
    columns = offsets[1][:, None] + torch.arange(width, device=padded.device)
    samples = torch.arange(len(padded), device=padded.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[samples, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
