from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torchvision.transforms import functional

from dlproj.config.checks import ConfigurationError
from dlproj.config.data import ValidationSplit
from dlproj.config.images import DigitsConfig, ImageConfig, Scaling, image_spec
from dlproj.data.batches import Samples, Shard, generator
from dlproj.data.image import ImageDataModule, augment, channel_statistics

PIXELS = np.random.default_rng(0).integers(3, 251, (64, 3, 6, 5), dtype=np.uint8)


@dataclass(slots=True)
class TinyConfig(ImageConfig):
    def spec(self):
        return image_spec((3, 6, 5), ("a", "b"))

    def build(self, seed):
        return Tiny(self, seed)


class Tiny(ImageDataModule):
    pixels = PIXELS

    def load(self):
        samples = Samples(torch.from_numpy(self.pixels), torch.arange(len(self.pixels)) % 2)
        return samples, samples[:10]


def module(pixels=PIXELS, seed=0, **settings):
    tiny = TinyConfig(val=ValidationSplit.test, **settings).build(seed)
    tiny.pixels = pixels
    tiny.setup()
    return tiny


def expected(scaling):
    pixels = PIXELS.astype(np.float64)
    if scaling is Scaling.unit:
        return pixels / 255
    if scaling is Scaling.min_max:
        return (pixels - pixels.min()) / (pixels.max() - pixels.min())
    if scaling is Scaling.standardize:
        return (pixels - pixels.mean((0, 2, 3), keepdims=True)) / pixels.std((0, 2, 3), keepdims=True)
    return pixels


@pytest.mark.parametrize("scaling", Scaling)
def test_scaling_is_that_of_numpy(scaling):
    tiny = module(scaling=scaling)
    scaled = tiny.transform(torch.from_numpy(PIXELS))
    assert scaled.dtype == torch.float32
    np.testing.assert_allclose(scaled.numpy(), expected(scaling), rtol=1e-6, atol=1e-6)
    assert np.array_equal(tiny.train.inputs.numpy(), PIXELS), "the stored pixels must not change"


@pytest.mark.parametrize("scaling", [Scaling.min_max, Scaling.standardize])
def test_statistics_are_of_the_training_part_alone(scaling):
    tiny = TinyConfig(scaling=scaling, val_fraction=0.5).build(0)
    pixels = PIXELS.copy()
    pixels[32:] = 255
    tiny.pixels = pixels
    tiny.setup()
    assert tiny.shift.max() < 200
    assert torch.equal(tiny.shift, module(PIXELS[:32], scaling=scaling).shift)


@pytest.mark.parametrize("scaling", Scaling)
def test_equal_pixels_give_numbers(scaling):
    tiny = module(np.full((8, 3, 6, 5), 7, np.uint8), scaling=scaling)
    assert tiny.transform(tiny.train.inputs).isfinite().all()


def test_channel_statistics_are_those_of_numpy():
    mean, deviation = channel_statistics(torch.from_numpy(PIXELS))
    assert mean.shape == deviation.shape == (3, 1, 1)
    np.testing.assert_allclose(mean.flatten(), PIXELS.mean((0, 2, 3), dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(deviation.flatten(), PIXELS.std((0, 2, 3), dtype=np.float64), rtol=1e-7)


def test_augmentation_is_that_of_torchvision():
    config, images = TinyConfig(random_flip=True, random_crop=2), torch.from_numpy(PIXELS)
    random = generator("augmentation", 1, 2, 3)
    flips = torch.rand(64, generator=random) < 0.5
    rows, columns = torch.randint(5, (2, 64), generator=random).tolist()
    wanted = []
    for image, flip, row, column in zip(images, flips, rows, columns, strict=True):
        image = functional.hflip(image) if flip else image
        wanted.append(functional.crop(functional.pad(image, [2, 2, 2, 2]), row, column, 6, 5))
    ours = augment(images, config, generator("augmentation", 1, 2, 3), Shard())
    assert ours.dtype == torch.uint8
    assert torch.equal(ours, torch.stack(wanted))


def test_about_half_the_images_are_mirrored_and_all_offsets_occur():
    marked = torch.zeros(4000, 1, 3, 3, dtype=torch.uint8)
    marked[:, :, 1, 0] = 1
    mirrored = (
        augment(marked, TinyConfig(random_flip=True), generator("augmentation", 0), Shard())[:, 0, 1, 2].float().mean()
    )
    assert abs(mirrored - 0.5) < 0.04
    centred = torch.zeros(4000, 1, 3, 3, dtype=torch.uint8)
    centred[:, :, 1, 1] = 1
    moved = augment(centred, TinyConfig(random_crop=1), generator("augmentation", 0), Shard()).float().mean(0)[0]
    assert (moved - 1 / 9).abs().max() < 0.02


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_augment_as_one_process_does(world_size):
    settings = {"random_flip": True, "random_crop": 2}
    images = torch.from_numpy(PIXELS)
    whole = module(**settings).transform_training(images, 3, 1, Shard())
    parts = [
        module(**settings).transform_training(part, 3, 1, Shard(rank, world_size))
        for rank, part in enumerate(images.chunk(world_size))
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_augmentation_changes_with_epoch_and_step_and_only_in_training():
    tiny, images = module(random_crop=2), torch.from_numpy(PIXELS)
    draws = [tiny.transform_training(images, *when, Shard()) for when in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert torch.equal(draws[0], draws[3])
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(next(iter(tiny.val_dataloader()))[0], tiny.transform(images[:10]))


def test_an_image_is_shown_as_it_was_stored_whatever_the_scaling():
    tiny = module(scaling=Scaling.standardize)
    shown = tiny.shown(tiny.train.inputs[3])
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown, PIXELS[3].transpose(1, 2, 0))


def test_a_grey_image_is_shown_in_two_dimensions_from_black_to_white(monkeypatch):
    monkeypatch.setattr(Tiny, "largest_pixel", 16)
    tiny = module(np.array([0, 1, 8, 16], np.uint8).reshape(1, 1, 2, 2).repeat(10, 0))
    np.testing.assert_array_equal(tiny.shown(tiny.train.inputs[0]), [[0, 16], [128, 255]])


def test_impossible_crop():
    with pytest.raises(ConfigurationError, match=r"data\.random_crop=-1 must be in"):
        TinyConfig(random_crop=-1)


@pytest.mark.parametrize("scaling", list(Scaling))
def test_what_was_learnt_comes_back_from_a_checkpoint(scaling, tmp_path):
    config = DigitsConfig(scaling=scaling)
    taught = config.build(0)
    taught.setup()
    torch.save(taught.state_dict(), tmp_path / "state.pt")
    restored = config.build(1)
    restored.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert restored.spec == taught.spec
    assert torch.equal(restored.transform(taught.test.inputs), taught.transform(taught.test.inputs))


def test_after_setup_what_was_learnt_stands():
    module = DigitsConfig(scaling=Scaling.standardize).build(0)
    module.setup()
    shift = module.shift
    module.load_state_dict({"spec": "of another run"})
    assert module.shift is shift
    assert not module.restored
