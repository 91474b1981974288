"""What a gallery says of its samples, and where it puts their images."""

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dlproj.reports.gallery import captions, gallery, image_of
from dlproj.runs.inspection import Sample

CLASSES = ["cat", "dog", "a name that is much longer than a caption"]
ORANGE = [0xD5, 0x5E, 0x00]


@pytest.fixture
def written(monkeypatch):
    """The texts that are drawn, in order."""
    texts = []
    draw = ImageDraw.ImageDraw.text

    def note(self, place, text, *options):
        texts.append(text)
        return draw(self, place, text, *options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    return texts


def sample(truth=0, guess=0, **shown):
    return Sample(0, truth, guess, confidence=0.876, truth_confidence=0.1, **shown)


def stored(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, format="png")
    return base64.b64encode(file.getvalue()).decode()


def test_a_right_guess_is_named_with_its_confidence_and_a_wrong_one_crossed_with_its_truth():
    assert captions(sample(), CLASSES) == ["cat: 88%"]
    assert captions(sample(truth=1), CLASSES) == ["✗ cat: 88%", "is dog"]
    assert captions(sample(truth=2, guess=2), CLASSES) == ["a name that is…: 88%"]


def test_a_wrong_sample_has_a_frame(written):
    grey = stored(np.full((4, 4), 7, np.uint8))
    page = np.asarray(gallery([sample(image=grey), sample(truth=1, image=grey)], CLASSES, "Title"))
    assert written == ["Title", "cat: 88%", "✗ cat: 88%", "is dog"]
    assert page[60, 20].tolist() == [7, 7, 7]
    assert page[60, 15 - 2].tolist() == [255, 255, 255]  # left of the right one: nothing
    assert page[60, 165 - 2].tolist() == ORANGE  # left of the wrong one: the frame
    assert page[60, 165 + 121].tolist() == ORANGE


def test_images_of_any_shape_and_colour_are_shown():
    colour = np.zeros((3, 5, 3), np.uint8)
    colour[2, 4] = (1, 2, 3)
    one = sample(image=stored(colour))
    np.testing.assert_array_equal(image_of(one), colour)
    page = np.asarray(gallery([one], CLASSES, ""))
    assert page[50 + 119, 15 + 119].tolist() == [1, 2, 3]


def test_rows_have_six_images():
    grey = stored(np.full((4, 4), 7, np.uint8))
    assert (
        gallery([sample(image=grey)] * 6, CLASSES, "").height + 174
        == gallery([sample(image=grey)] * 7, CLASSES, "").height
    )


def test_texts_are_shown_with_their_score_and_long_ones_are_cut(written):
    gallery([sample(text="it cost $5"), sample(guess=1, text="word " * 500)], ["negative", "positive"], "Title")
    assert written[:4] == ["Title", "negative: 88%", "it cost $5", "✗ positive: 88%, is negative"]
    assert len(written[4:]) == 3
    assert written[-1].endswith("word …")
    assert len(" ".join(written[4:])) <= 330


def test_of_many_texts_the_first_twelve_are_shown(written):
    gallery([sample(text=str(number)) for number in range(30)], CLASSES, "")
    assert written[-1] == "11"
