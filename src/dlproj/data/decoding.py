"""Decoding of image files of any size and mode to 8-bit pixels of one shape."""

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from dlproj.config.checks import DataError
from dlproj.data.data_files import brief
from dlproj.data.shared import shared
from dlproj.loop_progress import progress

if TYPE_CHECKING:
    from PIL.Image import Image

# The extensions that torchvision's ImageFolder reads, and others of the same formats.
EXTENSIONS = (
    ".jpg",
    ".jpeg",
    ".png",
    ".ppm",
    ".bmp",
    ".pgm",
    ".tif",
    ".tiff",
    ".webp",
    ".gif",
    ".jfif",
    ".jpe",
    ".apng",
    ".pbm",
    ".pnm",
)
# Formats that are read, whatever a file's extension: Pillow reads forty more and hands PostScript to another program.
_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "GIF", "TIFF", "WEBP")
# First bytes of other formats, whose files often have the extension of a format that is read.
_NOT_READ = {
    "AVIF": rb"....ftypavi[fs]",
    "HEIC": rb"....ftyp(hei|hev|mif1|msf1)",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "PDF": rb"%PDF",
    "PostScript": rb"%!PS|\xc5\xd0\xd3\xc6",
    "a Photoshop file": rb"8BPS",
    "an icon": rb"\0\0\x01\0",
    "SVG": rb"\s*<(svg|\?xml|!)[^\0]*",  # any XML: no other image format is XML
}
MODES = {1: "L", 3: "RGB"}  # number of 8-bit channels → Pillow's mode
FIRST_FRAME = "first frame"  # part of the conversion text of a file with several frames
_FILES_A_TASK = 256  # a task per file would cost more than decoding a small image
_SMALL = 6000  # mean bytes of files up to which one thread is faster: measured with 28×28 to 256×256 PNG and JPEG
_ORIENTATION = 0x0112  # the EXIF tag of the camera's orientation; 1 is upright
_NAMES = {"L": "grey", "P": "palette", "F": "float grey", "1": "black and white", "I": "32-bit grey"}
_DEEP = {"I": (65535,), "F": (1, 255, 65535)}  # first letter of the mode → possible values of white


class Decoded(NamedTuple):
    """The pixels of N decoded image files."""

    pixels: Tensor  # uint8 (N, channels, height, width)
    conversions: list[str]  # per file: its original form if it had to be converted, else ""
    problems: list[str]  # per file: why it could not be read, else ""


class Readable(Protocol):
    """A file, or what has the content of one; str() is what messages call it."""

    def read_bytes(self) -> bytes:
        """Return the content. Raises OSError."""


@shared
def decode(paths: Sequence[Readable], shape: tuple[int, ...], background: int = 255) -> Decoded:
    """Decode images to `shape` (channels, height, width), large files in several threads.

    Each image is turned upright as its EXIF orientation says, laid on a grey `background` (0–255) where transparent,
    reduced to 8 bits per channel and resized without keeping its proportions. Of several frames, the first is read.
    """
    pixels = np.empty((len(paths), *shape), np.uint8)
    return Decoded(torch.from_numpy(pixels), *decode_into(pixels, paths, background))


def decode_into(pixels: np.ndarray, paths: Sequence[Readable], background: int) -> tuple[list[str], list[str]]:
    """As decode(), into `pixels` (N, channels, height, width); returns conversions and problems."""
    conversions, problems = [""] * len(paths), [""] * len(paths)
    starts, channels_last = range(0, len(paths), _FILES_A_TASK), pixels.transpose(0, 2, 3, 1)
    with _only_errors(), ThreadPoolExecutor(1 if _are_small(paths) else os.cpu_count()) as pool:
        done = pool.map(partial(_decode_some, paths, background, channels_last, conversions, problems), starts)
        for _ in progress(done, "decoding images", delay=2, total=len(starts)):
            pass
    return conversions, problems


def _are_small(paths: Sequence[Readable]) -> bool:
    """True where most of the work is Python's own, for which threads only wait for each other: by a sample of files."""
    sizes = []
    for path in paths[:: len(paths) // 32 + 1]:
        with suppress(OSError):  # decoding will say why
            sizes.append(len(path.read_bytes()))
    return sum(sizes) <= _SMALL * len(sizes)


@contextmanager
def _only_errors() -> Iterator[None]:
    """Silence Pillow's warnings about files that it can read; its warning about far too large images is raised.

    A valid PNG may have a text chunk above Pillow's 1 MB; more than 64 MB of text are refused in any case.
    """
    from PIL import Image, PngImagePlugin

    usual = PngImagePlugin.MAX_TEXT_CHUNK
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        PngImagePlugin.MAX_TEXT_CHUNK = usual


def form(size: tuple[int, int], mode: str) -> str:
    """Describe an image by its (width, height) and mode: `640×480 RGB`."""
    name = "16-bit grey" if mode.startswith("I;16") else _NAMES.get(mode, mode)
    return f"{size[0]}×{size[1]} {name}"


def _decode_some(
    paths: Sequence[Readable],
    background: int,
    pixels: np.ndarray,
    conversions: list[str],
    problems: list[str],
    start: int,
) -> None:
    for i, path in enumerate(paths[start : start + _FILES_A_TASK], start):
        try:
            conversions[i] = _decode_one(path, background, pixels[i])
        except DataError as error:
            problems[i] = str(error)


def _decode_one(path: Readable, background: int, pixels: np.ndarray) -> str:
    """Write one image to pixels (height, width, channels); return its original form if converted, else ""."""
    from PIL import Image

    height, width, channels = pixels.shape
    try:
        content = path.read_bytes()  # faster than Pillow's reading in pieces
    except OSError as error:
        raise DataError(f"{path} cannot be read ({brief(error)}): replace or delete it") from error
    try:
        with Image.open(BytesIO(content), formats=_FORMATS) as image:
            original = form(image.size, image.mode) + _peculiarities(image)
            # Pillow's bilinear filter is antialiased when it shrinks an image.
            fitted = _converted(image, MODES[channels], background).resize((width, height), Image.Resampling.BILINEAR)
    except DataError as error:
        raise DataError(f"{path} {error}") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        most = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise DataError(f"{path} has more than {most} pixels: make it smaller or delete it") from error
    except Exception as error:  # Pillow's decoders raise almost any exception on a damaged file
        raise DataError(f"{path} {_what_is_wrong(content)}") from error
    pixels[:] = np.asarray(fitted).reshape(pixels.shape)
    return "" if original == form((width, height), MODES[channels]) else original


def _what_is_wrong(content: bytes) -> str:
    for name, beginning in _NOT_READ.items():
        if re.match(beginning, content[:4096], re.DOTALL):
            return f"is {name}, which is not read: convert it to PNG or JPEG"
    if content.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not an image: run git lfs pull"
    return "is damaged or not an image: replace or delete it"


def _peculiarities(image: "Image") -> str:
    traits = {
        "turned": _orientation(image) != 1,
        "transparent": _has_transparency(image),
        FIRST_FRAME: _has_more_frames(image),
    }
    return "".join(f" {name}" for name, present in traits.items() if present)


def _has_more_frames(image: "Image") -> bool:
    """True for an animation or a file with pages; the second picture of an MPO file is for 3-D screens."""
    try:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:  # almost any, if the first frame is intact and the second truncated
        return True


def _orientation(image: "Image") -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # almost any, if an intact picture has damaged metadata
        return 1


def _has_transparency(image: "Image") -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def _converted(image: "Image", mode: str, background: int) -> "Image":
    """Return the image upright, opaque and in this mode of 8 bits per channel."""
    from PIL import Image, ImageOps

    if _orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode[0] in _DEEP:  # Pillow's own conversion would clip values above 255
        image = _in_eight_bits(image)
    if _has_transparency(image):
        ground = Image.new("RGBA", image.size, (background, background, background, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image.convert(mode)


def _in_eight_bits(image: "Image") -> "Image":
    from PIL import Image

    values = np.asarray(image)
    low, high = values.min(), values.max()
    full = next((full for full in _DEEP[image.mode[0]] if low >= 0 and high <= full), None)
    if full is None:
        raise DataError(f"has values from {low} to {high}: convert it to an 8-bit image")
    return Image.fromarray(np.rint(values * (255 / full)).astype(np.uint8))
