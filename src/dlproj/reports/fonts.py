"""Letters that matplotlib's own font lacks, as names of classes have them: another font of this machine, or a box."""

import re
import warnings
from collections.abc import Callable, Set
from functools import cache, lru_cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

DEFAULT = "DejaVu Sans"  # comes with matplotlib
_BOXES = "lastresort"  # fonts of this name have a box for every letter
_KEPT_OPEN = 16  # fonts, each with its file
_boxed: set[str] = set()


def take_boxed() -> str:
    """The letters that became boxes since the last call."""
    letters = "".join(sorted(_boxed))
    _boxed.clear()
    return letters


def in_words(letters: str) -> str:
    """A note on letters that became boxes."""
    shown = " ".join(letters[:20]) + (" …" if len(letters) > 20 else "")
    return f"no font of this machine has {shown}: figures show boxes; install one, such as Noto Sans CJK for Chinese"


def draw_all_letters(figure: Figure, draw: Callable[[], None]) -> None:
    """Call draw(), and once more with other fonts where letters were missing."""
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
    """The letters for which matplotlib warns that it has no glyph; other warnings go on."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        draw()
    missing = set()
    for one in caught:
        if found := re.match(r"Glyph (\d+) .*missing", str(one.message)):
            missing.add(chr(int(found[1])))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return missing


def font_file(text: str, bold: bool = False) -> str:
    """The file of the default font, or of one that has all letters of the text where it lacks some."""
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
    """As few fonts of this machine as have the letters together, or as many of them as any has."""
    found, left = [], letters
    for font in sorted(fontManager.ttflist, key=_preference):
        if left and (here := left - _lacking(font.fname, left)):
            found.append(font)
            left -= here
    return found


def _preference(font: FontEntry) -> tuple[bool, bool, bool, str]:
    return font.style != "normal", font.weight not in (400, "normal", "regular"), "Sans" not in font.name, font.fname


def _lacking(file: str, letters: str | Set[str]) -> frozenset[str]:
    font = _open(file)
    return frozenset(one for one in letters if one.isprintable() and not (font and font.get_char_index(ord(one))))


@lru_cache(_KEPT_OPEN)
def _open(file: str) -> FT2Font | None:
    try:
        font = FT2Font(file)
    except (OSError, RuntimeError):  # a font that is damaged or gone
        return None
    return None if _BOXES in font.family_name.replace(" ", "").lower() else font
