"""Class names in any script: no warning, the letters where a font has them, else boxes and a word."""

import logging
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from PIL import ImageDraw

from dlproj.config.figures import FiguresConfig
from dlproj.reports import fonts
from dlproj.reports.gallery import gallery
from dlproj.reports.pictures import Pictures
from dlproj.reports.run_figures import confusion_matrix, per_class
from dlproj.reports.style import png, styled, svg
from dlproj.runs.inspection import Inspection, Sample

NOBODYS = "\U0010fffd"  # for private use: no font has it
NAMES = ["猫", "قطة", "👩‍🔬"]


@pytest.fixture(autouse=True)
def _fresh():
    fonts.take_boxed()
    fonts.fonts_with.cache_clear()
    yield
    fonts.take_boxed()
    fonts.fonts_with.cache_clear()


@pytest.fixture
def no_other_fonts(monkeypatch):
    """A machine that has matplotlib's font alone."""
    entries = [font for font in font_manager.fontManager.ttflist if font.name == fonts.DEFAULT]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", entries)


@pytest.fixture(scope="module")
def rare():
    """A letter that STIXGeneral has and the default font lacks. Both come with matplotlib; its list may lack them."""
    folder = Path(matplotlib.get_data_path(), "fonts/ttf")
    default, other = folder / "DejaVuSans.ttf", folder / "STIXGeneral.ttf"
    font_manager.fontManager.addfont(other)
    letters = set(FT2Font(other).get_charmap()) - set(FT2Font(default).get_charmap())
    return chr(min(code for code in letters if chr(code).isalpha()))


def written(text):
    figure = Figure()
    figure.text(0.1, 0.5, text, fontsize=40)
    return figure


def test_letters_without_a_font_become_boxes_and_are_noted(no_other_fonts):
    with styled():
        assert png(written("cat 猫")).startswith(b"\x89PNG")
    assert fonts.take_boxed() == "猫"
    assert fonts.take_boxed() == ""


def test_letters_are_taken_from_a_font_that_has_them(rare):
    with styled():
        figure, boxes = written(f"cat {rare}"), written(f"cat {NOBODYS}")
    drawn = png(figure)
    assert fonts.take_boxed() == ""
    (text,) = figure.findobj(Text)
    assert text.get_fontfamily()[0] == fonts.DEFAULT
    with styled():
        wanted = written(f"cat {rare}")
    wanted.findobj(Text)[0].set_fontfamily([fonts.DEFAULT, *text.get_fontfamily()[1:]])
    assert drawn == png(wanted)
    assert drawn != png(boxes)


def test_of_several_letters_those_that_no_font_has_are_noted(rare):
    with styled():
        png(written(f"{rare} {NOBODYS}"))
    assert fonts.take_boxed() == NOBODYS


def test_in_a_page_the_browser_writes_the_letters(no_other_fonts):
    counts = np.eye(3, dtype=int).tolist()
    assert all(name in svg(confusion_matrix(counts, NAMES), "Confusion") for name in NAMES)
    assert fonts.take_boxed() == ""


@pytest.mark.parametrize("draw", [confusion_matrix, per_class])
def test_figures_of_classes_in_any_script_do_not_warn(draw):
    assert png(draw(np.eye(3, dtype=int).tolist(), NAMES)).startswith(b"\x89PNG")


def test_other_warnings_go_on():
    with pytest.warns(UserWarning, match="^something else$"):
        fonts.missing_letters(lambda: warnings.warn("something else", stacklevel=1))


def test_a_gallery_takes_a_font_that_has_the_letters(rare, monkeypatch):
    used = {}
    draw = ImageDraw.ImageDraw.text

    def note(self, place, text, color, font):
        used[text] = font.getname()[0]
        draw(self, place, text, color, font)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    sample = Sample(0, 0, 0, confidence=1, truth_confidence=1, text="a film")
    gallery([sample], [rare], "Title")
    assert used["Title"] == fonts.DEFAULT
    assert used[f"{rare}: 100%"] != fonts.DEFAULT
    assert fonts.take_boxed() == ""
    gallery([sample], [NAMES[0]], "Title")


def test_a_gallery_notes_letters_without_a_font(no_other_fonts):
    gallery([Sample(0, 0, 0, confidence=1, truth_confidence=1, text="a film")], ["猫"], "Title")
    assert fonts.take_boxed() == "猫"


def test_a_font_of_boxes_and_a_damaged_one_have_no_letters(tmp_path, monkeypatch):
    (tmp_path / "damaged.ttf").write_text("no font")
    entries = [font for font in font_manager.fontManager.ttflist if "Last Resort" in font.name or font.name == "cmex10"]
    damaged = font_manager.FontEntry(str(tmp_path / "damaged.ttf"), name="Damaged")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*entries, damaged])
    assert fonts.fonts_with(frozenset("猫")) == []


def test_a_run_says_once_which_letters_are_boxes(tmp_path, caplog):
    with Pictures(FiguresConfig(), tmp_path, wanted=True) as pictures, caplog.at_level(logging.WARNING):
        pictures.of_test([[3, 1], [0, 2]], [NOBODYS, "dog"], Inspection())
        assert len(pictures.finish()) == 2
    assert caplog.messages == [fonts.in_words(NOBODYS)]
