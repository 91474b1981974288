import numpy as np
import pytest

from dlproj.config.checks import ConfigurationError, DataError
from dlproj.survey import sets as survey_sets
from dlproj.survey.sets import Place, check_places, draw, one_of_each_class, parse_places


def test_places_are_read_in_their_order():
    assert parse_places(["train:0,50", "test:100,1000"]) == [
        Place("train", 0),
        Place("train", 50),
        Place("test", 100),
        Place("test", 1000),
    ]
    assert list(map(str, parse_places(["test:7"]))) == ["test:7"]


@pytest.mark.parametrize("text", ["val:3", "train", "train:", "train:1,", "train:-1", "train:x", "3", "train:1 test:2"])
def test_what_names_no_samples_is_refused(text):
    with pytest.raises(ConfigurationError, match=f"^{text} is neither a setting nor samples: write .* train:0,50$"):
        parse_places([text])


def test_a_place_beyond_its_set_is_named(sets_of):
    digits = sets_of("digits")
    check_places(parse_places(["train:0,1436", "test:359"]), digits)
    with pytest.raises(DataError, match=r"^test:360 does not exist: .* 360 samples, choose from test:0 to test:359$"):
        check_places(parse_places(["train:1436", "test:360"]), digits)


@pytest.mark.parametrize("val", ["last", "random", "test"])
def test_train_is_the_whole_official_set_whatever_the_validation(sets_of, val):
    digits = sets_of("digits", f"val={val}")
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    assert digits.train.inputs.equal(sets_of("digits").train.inputs)


def test_the_first_of_each_class(sets_of):
    digits = sets_of("digits")
    targets = digits.train.targets.tolist()
    assert one_of_each_class(digits) == [Place("train", targets.index(label)) for label in range(10)]


def test_ten_of_each_class_are_drawn_without_repetition(sets_of):
    digits = sets_of("digits")
    rows = draw(digits, 0)
    assert [len(set(row)) for row in rows] == [10] * 10
    assert [{digits.target(place) for place in row} for row in rows] == [{label} for label in range(10)]
    assert rows == draw(digits, 0) != draw(digits, 1)


def test_a_small_class_is_drawn_whole_and_of_many_classes_the_first(sets_of, pictures, monkeypatch):
    folder = sets_of("image_folder", f"root={pictures}")
    assert [len(set(row)) for row in draw(folder, 0)] == [6, 6]
    monkeypatch.setattr(survey_sets, "MOST_CLASSES", 1)
    assert [{folder.class_name(place) for place in row} for row in draw(folder, 0)] == [{"cat"}]
    assert [folder.class_name(place) for place in one_of_each_class(folder)] == ["cat"]


def test_a_sample_and_its_words(sets_of, reviews):
    imdb = sets_of("imdb", f"root={reviews}", "length=4")
    found = {
        imdb.shown(Place("train", n)): (imdb.class_name(Place("train", n)), imdb.words("train")[n]) for n in range(3)
    }
    assert found == {"bad bad film": ("negative", 3), "bad": ("negative", 1), "film bad film again": ("positive", 5)}
    assert np.sort(imdb.words("test")).tolist() == [2, 3]
