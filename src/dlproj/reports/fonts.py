"""Fallback fonts for letters that matplotlib's own font lacks, such as Chinese class names; without one, boxes."""

import re
import warnings
from collections.abc import Callable, Set
from functools import cache, lru_cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

DEFAULT = "DejaVu Sans"  # comes with matplotlib
_BOXES = "lastresort"  # part of the name of fonts that have a box for every letter
_KEPT_OPEN = 16  # fonts, each with an open file
_boxed: set[str] = set()


def take_boxed() -> str:
    """Letters that were drawn as boxes since the last call."""
    letters = "".join(sorted(_boxed))
    _boxed.clear()
    return letters


def in_words(letters: str) -> str:
    """A message about letters that were drawn as boxes."""
    shown = " ".join(letters[:20]) + (" …" if len(letters) > 20 else "")
    return f"no font of this machine has {shown}: figures show boxes; install one, such as Noto Sans CJK for Chinese"


def draw_all_letters(figure: Figure, draw: Callable[[], None]) -> None:
    """Call draw(), and once more with fallback fonts if letters were missing."""
    missing = missing_letters(draw)
    if not missing:
        return
    fonts = fonts_with(frozenset(missing))
    if fonts:
        for text in figure.findobj(Text):
            if missing & set(text.get_text()):
                text.set_fontfamily([DEFAULT, *(font.name for font in fonts)])
        missing = missing_letters(draw)
    _boxed.update(missing)


def missing_letters(draw: Callable[[], None]) -> set[str]:
    """Letters for which draw() warns of a missing glyph; other warnings are issued again."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        draw()
    missing = set()
    for warning in caught:
        if match := re.match(r"Glyph (\d+) .*missing", str(warning.message)):
            missing.add(chr(int(match[1])))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return missing


def font_file(text: str, bold: bool = False) -> str:
    """File of the default font or, if that lacks letters of the text, of a font that has all of them."""
    default = findfont(f"{DEFAULT}:bold" if bold else DEFAULT)
    missing = _lacking(default, text)
    if not missing:
        return default
    for font in fonts_with(missing):
        if not _lacking(font.fname, text):
            return font.fname
    _boxed.update(missing)
    return default


@cache
def fonts_with(letters: frozenset[str]) -> list[FontEntry]:
    """Few fonts of this machine that together have all of the letters that any font has."""
    fonts, missing = [], letters
    for font in sorted(fontManager.ttflist, key=_preference):
        if missing and (present := missing - _lacking(font.fname, missing)):
            fonts.append(font)
            missing -= present
    return fonts


def _preference(font: FontEntry) -> tuple[bool, bool, bool, str]:
    return font.style != "normal", font.weight not in (400, "normal", "regular"), "Sans" not in font.name, font.fname


def _lacking(file: str, letters: str | Set[str]) -> frozenset[str]:
    font = _open(file)
    return frozenset(char for char in letters if char.isprintable() and not (font and font.get_char_index(ord(char))))


@lru_cache(_KEPT_OPEN)
def _open(file: str) -> FT2Font | None:
    try:
        font = FT2Font(file)
    except (OSError, RuntimeError):  # a font that is damaged or gone
        return None
    return None if _BOXES in font.family_name.replace(" ", "").lower() else font
