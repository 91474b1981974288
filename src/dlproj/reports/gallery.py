"""Galleries of test samples with their predictions, drawn by Pillow, whose text is 20 times as fast as matplotlib's."""

import base64
import io
from collections.abc import Sequence
from functools import cache
from textwrap import shorten, wrap

from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont, truetype

from dlproj.reports.fonts import font_file
from dlproj.reports.style import COLORS, INK, short
from dlproj.runs.inspection import Sample

_WRONG = COLORS[4]
_COLUMNS = 6
_SIDE, _GAP, _CAPTION, _TITLE, _FRAME = 120, 30, 54, 50, 4  # pixels: images, gaps, captions below, title, frames
_TEXTS, _TEXT_WIDTH, _TEXT_HEIGHT = 12, 960, 86  # texts that fit on a screen, and pixels of each
_CHARACTERS, _LINE = 330, 125  # characters of a text, and of a line of it


def gallery(samples: Sequence[Sample], classes: Sequence[str], title: str) -> Image.Image:
    """Samples with guess and confidence; wrong guesses are marked by a frame or colour, a cross and the true class."""
    if samples and samples[0].image is None:
        return _texts(samples[:_TEXTS], classes, title)
    return _images(samples, classes, title)


def captions(sample: Sample, classes: Sequence[str]) -> list[str]:
    """The guess with its confidence and, if it is wrong, the true class."""
    guess = f"{short(classes[sample.guess], 15)}: {sample.confidence:.0%}"
    if sample.guess == sample.truth:
        return [guess]
    return [f"✗ {guess}", f"is {short(classes[sample.truth], 18)}"]


def _images(samples: Sequence[Sample], classes: Sequence[str], title: str) -> Image.Image:
    rows = -(-len(samples) // _COLUMNS)
    page, draw = _page(_COLUMNS * (_SIDE + _GAP), rows * (_SIDE + _CAPTION) + _TITLE, title)
    for i, sample in enumerate(samples):
        row, column = divmod(i, _COLUMNS)
        x, y = _GAP // 2 + column * (_SIDE + _GAP), _TITLE + row * (_SIDE + _CAPTION)
        if sample.guess != sample.truth:
            draw.rectangle((x - _FRAME, y - _FRAME, x + _SIDE + _FRAME - 1, y + _SIDE + _FRAME - 1), fill=_WRONG)
        page.paste(image_of(sample).resize((_SIDE, _SIDE), Image.Resampling.NEAREST), (x, y))
        _write(draw, (x, y + _SIDE + 8), captions(sample, classes))
    return page


def _texts(samples: Sequence[Sample], classes: Sequence[str], title: str) -> Image.Image:
    page, draw = _page(_TEXT_WIDTH, _TITLE + _TEXT_HEIGHT * len(samples), title)
    for i, sample in enumerate(samples):
        y = _TITLE + i * _TEXT_HEIGHT
        _write(draw, (_GAP // 2, y), [", ".join(captions(sample, classes))])
        for row, line in enumerate(lines_of(sample.text or "")):
            _text(draw, (_GAP // 2, y + 18 + 16 * row), line, INK, 11)
    return page


def lines_of(text: str) -> list[str]:
    """The beginning of a text, wrapped to at most three lines."""
    return wrap(shorten(text, _CHARACTERS, placeholder=" …"), _LINE)


def _page(width: int, height: int, title: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    _text(draw, (_GAP // 2, 16), title, INK, 15)
    return page, draw


def _write(draw: ImageDraw.ImageDraw, position: tuple[int, int], lines: Sequence[str]) -> None:
    """Write lines of text, the first in bold and colour if the guess is wrong."""
    wrong = lines[0].startswith("✗")
    _text(draw, position, lines[0], _WRONG if wrong else INK, 11, bold=wrong)
    for row, line in enumerate(lines[1:], 1):
        _text(draw, (position[0], position[1] + 16 * row), line, INK, 11)


def _text(
    draw: ImageDraw.ImageDraw, position: tuple[float, float], text: str, color: str, size: int, bold: bool = False
) -> None:
    draw.text(position, text, color, _font(font_file(text, bold), size))


@cache
def _font(file: str, size: int) -> FreeTypeFont:
    return truetype(file, size)


def image_of(sample: Sample) -> Image.Image:
    """Decode the sample's image, at the data's own size, grey (L) or RGB."""
    with Image.open(io.BytesIO(base64.b64decode(sample.image or ""))) as image:
        return image.copy()
