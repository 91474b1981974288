"""Images of every size and mode, by Pillow's own conversions or worked out by hand."""

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin, features
from torchvision.transforms import functional

from dlproj.config.checks import DataError
from dlproj.config.images import DigitsConfig, FMNISTConfig
from dlproj.config.texts import IMDBConfig
from dlproj.data.data_files import refuse_problems
from dlproj.data.decoding import EXTENSIONS, decode

RANDOM = np.random.default_rng(0)


def saved(tmp_path, image, name="image.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def one(path, shape=(1, 4, 4), **options):
    pixels, (conversion,), problems = decode([path], shape, **options)
    refuse_problems(problems, "images")
    assert (pixels.shape, pixels.dtype) == ((1, *shape), torch.uint8)
    return pixels[0], conversion


@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P", "CMYK", "YCbCr"])
@pytest.mark.parametrize(("shape", "target"), [((1, 9, 7), "L"), ((3, 7, 9), "RGB")])
def test_opaque_images_are_converted_and_resized_as_torchvision_does(mode, shape, target, tmp_path):
    image = Image.fromarray(RANDOM.integers(0, 256, (30, 20, 3), np.uint8)).convert(mode)
    path = saved(tmp_path, image, "image.tif")
    wanted = functional.pil_to_tensor(functional.resize(image.convert(target), list(shape[1:]), antialias=True))
    pixels, conversion = one(path, shape)
    assert torch.equal(pixels, wanted)
    names = {"L": "grey", "1": "black and white", "P": "palette"}
    assert conversion == f"20×30 {names.get(mode, mode)}"


def test_what_the_model_reads_as_it_is_is_no_conversion(tmp_path):
    image = Image.fromarray(RANDOM.integers(0, 256, (6, 8), np.uint8))
    pixels, conversion = one(saved(tmp_path, image), (1, 6, 8))
    assert np.array_equal(pixels[0], np.asarray(image))
    assert conversion == ""


@pytest.mark.parametrize("background", [0, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_show_the_background(mode, background, tmp_path):
    """Left half opaque and of grey level 100, right half of grey level 50 and transparent: wholly, or three fifths."""
    options = {}
    if mode == "P":
        image = Image.new("P", (4, 4), 1)
        image.putpalette([50, 50, 50, 100, 100, 100])
        image.paste(0, (2, 0, 4, 4))
        options, right = {"transparency": 0}, background
    else:
        image = Image.new(mode, (4, 4), (100, 255) if mode == "LA" else (100, 100, 100, 255))
        image.paste((50, 102) if mode == "LA" else (50, 50, 50, 102), (2, 0, 4, 4))
        right = round(50 * 0.4 + background * 0.6)
    pixels, conversion = one(saved(tmp_path, image, **options), background=background)
    assert (pixels[0, :, :2] == 100).all()
    assert (pixels[0, :, 2:] == right).all()
    assert conversion.endswith(" transparent")


def test_more_than_8_bits_are_scaled_and_not_clipped(tmp_path):
    values = RANDOM.integers(0, 65536, (4, 4))
    for array, full in (
        (values.astype(np.uint16), 65535),
        (values.astype(np.int32), 65535),
        ((values / 65535).astype(np.float32), 1),
        ((values / 257).astype(np.float32), 255),
    ):
        pixels, conversion = one(saved(tmp_path, Image.fromarray(array), "deep.tif"))
        assert np.array_equal(pixels[0], np.rint(array / full * 255)), array.dtype
        assert conversion.endswith("grey")
    assert one(saved(tmp_path, Image.fromarray(values.astype(np.uint16))))[1] == "4×4 16-bit grey"


@pytest.mark.parametrize("values", [[-1.0, 2.0], [0.0, 1e6], [float("nan"), 1.0]])
def test_values_that_mean_no_grey_level_are_refused(values, tmp_path):
    path = saved(tmp_path, Image.fromarray(np.array([values], np.float32)), "odd.tif")
    with pytest.raises(DataError, match=f"{path} has values from .* to .*: convert it to an 8-bit image$"):
        one(path)


def test_a_photo_taken_sideways_is_turned_upright(tmp_path):
    image = Image.fromarray(RANDOM.integers(0, 256, (4, 6), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # its top is the right-hand side
    pixels, conversion = one(saved(tmp_path, image, exif=exif), (1, 6, 4))
    assert np.array_equal(pixels[0], np.rot90(np.asarray(image), -1))
    assert conversion == "6×4 grey turned"


def test_of_an_animation_the_first_frame_counts(tmp_path):
    frames = [Image.new("L", (4, 4), level) for level in (10, 200)]
    pixels, conversion = one(saved(tmp_path, frames[0], "film.gif", save_all=True, append_images=frames[1:]))
    assert (pixels == 10).all()
    assert conversion.endswith(" first frame")


def test_many_images_stay_in_order(tmp_path):
    paths = [saved(tmp_path, Image.new("L", (2, 2), level), f"{level}.png") for level in range(256)]
    pixels, conversions, problems = decode(paths * 3, (1, 2, 2))
    assert pixels[:, 0, 0, 0].tolist() == list(range(256)) * 3
    assert set(conversions) == set(problems) == {""}


def test_of_many_images_those_that_cannot_be_read_are_named_and_the_others_read(tmp_path, caplog):
    paths = [saved(tmp_path, Image.new("L", (2, 2), level % 256), f"{level:03}.png") for level in range(600)]
    for number in (3, 300, 599):
        paths[number].write_text("no image")
    pixels, _, problems = decode(paths, (1, 2, 2))
    assert [number for number, problem in enumerate(problems) if problem] == [3, 300, 599]
    assert pixels[[2, 301], 0, 0, 0].tolist() == [2, 301 % 256]
    with pytest.raises(DataError, match=rf"^3 images cannot be used: {paths[3]} is damaged .*599.png is damaged"):
        refuse_problems(problems, "images")
    with pytest.raises(DataError, match=r"^7 images cannot be used, as listed above$"):
        refuse_problems(["", *"abcdefg"], "images")
    assert caplog.messages == [*"abcdefg"]


@pytest.mark.parametrize("name", ["a.gif", "a.jfif", "a.jpe", "a.pbm", "a.pnm", "a.apng"])
def test_every_extension_is_of_a_format_that_is_read(name, tmp_path):
    assert name.endswith(EXTENSIONS)
    formats = {"a.jfif": "JPEG", "a.apng": "PNG", "a.pbm": "PPM"}
    image = Image.new("1" if name == "a.pbm" else "L", (4, 4), 255)
    assert (one(saved(tmp_path, image, name, format=formats.get(name)))[0] == 255).all()


@pytest.mark.parametrize(
    ("format", "name"),
    [("AVIF", "AVIF"), ("JPEG2000", "JPEG 2000"), ("PDF", "PDF"), ("ICO", "an icon"), ("EPS", "PostScript")],
)
def test_what_is_not_read_is_not_called_damaged(format, name, tmp_path):
    """Written by Pillow, whatever it is called."""
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    path = saved(tmp_path, Image.new("RGB", (16, 16)), "photo.jpg", format=format)
    with pytest.raises(DataError, match=f"^{path} is {name}, which is not read: convert it to PNG or JPEG$"):
        one(path)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", "HEIC"),  # ISO/IEC 23008-12
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1avif", "AVIF"),
        (b"\xff\x0a\x10", "JPEG XL"),  # ISO/IEC 18181-2
        (b"<!---->" * 500, "SVG"),  # which a pattern that tries all ways of reading the comments does not get through
        (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"8BPS\0\x01", "a Photoshop file"),
    ],
)
def test_formats_are_told_by_how_they_begin(content, name, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{path} is {name}, which is not read"):
        one(path)


def test_a_long_note_beside_a_sound_image_does_no_harm(tmp_path):
    """Pillow by itself: "Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK"."""
    note = PngImagePlugin.PngInfo()
    note.add_text("history", "edited " * 300_000, zip=True)
    path = saved(tmp_path, Image.new("L", (4, 4), 7), pnginfo=note)
    with pytest.raises(ValueError, match="MAX_TEXT_CHUNK"), Image.open(path) as image:
        image.load()
    assert (one(path)[0] == 7).all()


def test_what_git_put_in_place_of_an_image_is_told(tmp_path):
    """https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""
    (tmp_path / "a.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(DataError, match=r"a\.png is a Git LFS pointer, not an image: run git lfs pull$"):
        one(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_what_is_no_image_is_named(content, tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{path} is damaged or not an image: replace or delete it$"):
        one(path)


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(
        DataError, match=rf"^{tmp_path}/none.png cannot be read \(.*No such file.*\): replace or delete"
    ):
        one(tmp_path / "none.png")


def test_digits_get_seventeen_levels_and_dark_sets_a_dark_background(tmp_path):
    levels = saved(tmp_path, Image.fromarray(np.linspace(0, 255, 64).round().astype(np.uint8).reshape(8, 8)))
    pixels = DigitsConfig().build(0).decode([levels]).pixels
    assert pixels.flatten().tolist() == np.rint(np.linspace(0, 255, 64).round() * 16 / 255).tolist()
    clear = saved(tmp_path, Image.new("RGBA", (5, 5)), "clear.png")
    assert (FMNISTConfig().build(0).decode([clear]).pixels == 0).all()


def test_texts_are_no_images_and_images_no_texts():
    with pytest.raises(DataError, match="the model reads an image, no text: name image files or folders"):
        DigitsConfig().build(0).encode(["a good film"])
    with pytest.raises(DataError, match="the model reads sequence, no image files: pass texts"):
        IMDBConfig().build(0).decode([])
