import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from dlproj.survey import survey_tables
from dlproj.survey.sets import parse_places


def test_the_overview_of_images(sets_of):
    table = survey_tables.overview(sets_of("digits"), "digits")
    assert table.columns == ("data set", "digits")
    assert dict(table.rows) == {
        "training set": "1437",
        "test set": "360",
        "to train on (val=last)": "1293",
        "to validate (val=last)": "144",
        "classes": "10",
        "one sample": "image of 1 × 8 × 8 (channels × height × width)",
        "stored as": "uint8",
        "values": "0 to 16",
    }


def test_the_overview_follows_the_settings(sets_of):
    rows = dict(survey_tables.overview(sets_of("feature_sum", "features=3", "val=test", "test_samples=7"), "").rows)
    assert (rows["to train on (val=test)"], rows["to validate (val=test)"]) == ("8000", "7")
    assert rows["one sample"] == "features of 3 (numbers)"


def test_a_table_is_split_as_for_training(sets_of, tmp_path):
    rows = pd.DataFrame({"x": [0.5, None] * 20, "place": ["a", "b", "c", "d"] * 10, "y": ["no", "yes"] * 20})
    rows.to_csv(tmp_path / "own.csv", index=False)
    overview = dict(survey_tables.overview(sets_of("table", f"file='{tmp_path / 'own.csv'}'", "target=y"), "").rows)
    assert (overview["to train on (val=random)"], overview["test set"]) == ("28", "8")
    assert "values" not in overview  # codes of categories are none


def test_the_samples_of_each_class_are_those_of_sklearn(sets_of):
    rows = survey_tables.classes(sets_of("digits")).rows
    assert [row[:2] for row in rows] == [(str(label), str(label)) for label in range(10)]
    assert [int(train) + int(test) for _, _, train, test in rows] == np.bincount(load_digits().target).tolist()


@pytest.mark.parametrize("part", ["training", "test"])
def test_pixels_are_those_of_numpy(sets_of, pictures, part):
    folder = sets_of("image_folder", f"root={pictures}", "image_size=4")
    pixels = (folder.train if part == "training" else folder.test).inputs.numpy().astype(np.float64)
    rows = {row[1]: row[2:] for row in survey_tables.statistics(folder).rows if row[0] == part}
    assert list(rows) == ["red", "green", "blue"]
    for channel, written in enumerate(rows.values()):
        found = pixels[:, channel]
        wanted = (found.min(), found.max(), found.mean(), found.std(), found.mean() / 255, found.std() / 255)
        np.testing.assert_allclose(np.array(written, float), wanted, rtol=5e-5, atol=5e-5)


def test_pixels_are_scaled_by_the_largest_that_there_can_be(sets_of):
    table = survey_tables.statistics(sets_of("digits"))
    assert table.columns[-2:] == ("mean / 16", "std / 16")
    for row in table.rows:
        assert float(row[-2]) == pytest.approx(float(row[4]) / 16, abs=1e-4)


def test_features_are_those_of_sklearn(sets_of):
    features = sets_of("feature_sum", "features=3")
    _, *rows = survey_tables.statistics(features).rows
    scaler = StandardScaler().fit(features.train.inputs.double().numpy())
    np.testing.assert_allclose([float(row[3]) for row in rows], scaler.mean_, rtol=1e-4)
    np.testing.assert_allclose([float(row[4]) for row in rows], scaler.scale_, rtol=1e-4)


def test_all_features_together_come_first(sets_of):
    features = sets_of("feature_sum", "features=3")
    name, low, high, mean, deviation = survey_tables.statistics(features).rows[0]
    values = features.train.inputs.double().numpy()
    assert name == "all"
    np.testing.assert_allclose(
        [float(low), float(high), float(mean), float(deviation)],
        [values.min(), values.max(), values.mean(), values.std()],
        rtol=1e-4,
    )


def test_words_by_hand(sets_of, reviews):
    table = survey_tables.statistics(sets_of("imdb", f"root={reviews}", "length=4", "vocabulary_size=6"))
    assert table.columns == ("words a review", "training set", "test set")
    rows = {label: both for label, *both in table.rows}
    assert rows == {  # 1, 3 and 5 words; 2 and 3. bad 4, film 3, again 1, good 1: the first two are known
        "shortest": ["1", "2"],
        "median": ["3", "2.5"],
        "90 % have at most": ["4.6", "2.9"],
        "95 % have at most": ["4.8", "2.95"],
        "longest": ["5", "3"],
        "mean": ["3.00", "2.50"],
        "reviews cut at length=4": ["33.33%", "0.00%"],
        "words unknown at vocabulary_size=6": ["22.22%", "80.00%"],
        "words in all": ["9", "5"],
        "different words of the training set": ["4", "2"],
    }


def test_a_review_is_cut_and_a_word_unknown_where_the_ids_say_so(sets_of, reviews):
    """share_cut() and share_unknown() against the ids that encode() made."""
    whole = sets_of("imdb", f"root={reviews}", "length=6", "vocabulary_size=6")
    ids = whole.train.inputs.numpy()
    assert (ids == 2).sum() / (ids > 1).sum() == pytest.approx(2 / 9)
    cut = sets_of("imdb", f"root={reviews}", "length=4").train.inputs.numpy()
    assert (1 - (cut == 1).any(1)).sum() == 1, "START is the first to be cut off"


def test_chosen_images_have_their_classes(sets_of, pictures):
    folder = sets_of("image_folder", f"root={pictures}")
    table = survey_tables.samples(folder, parse_places(["test:0,3"]))
    assert table.columns == ("sample", "label", "class")
    assert table.rows == [("test:0", "0", "cat"), ("test:3", "1", "dog")]


def test_chosen_reviews_are_words(sets_of, reviews):
    imdb = sets_of("imdb", f"root={reviews}", "length=3")
    table = survey_tables.samples(imdb, parse_places(["train:0,1,2"]))
    assert table.columns == ("sample", "label", "class", "words", "as the model reads it")
    assert {row[1:] for row in table.rows} == {
        ("0", "negative", "3", "bad bad film"),
        ("0", "negative", "1", "bad"),
        ("1", "positive", "5", "bad film again"),
    }


def test_chosen_features_are_numbers(sets_of):
    features = sets_of("feature_sum", "features=2")
    ((place, _, name, text),) = survey_tables.samples(features, parse_places(["test:5"])).rows
    numbers = features.test.inputs[5].tolist()
    assert (place, name) == ("test:5", "more than half" if sum(numbers) > 1 else "at most half")
    assert [float(word) for word in text.split()] == pytest.approx(numbers, rel=5e-3)


def test_the_real_pixels_have_the_published_mean_and_deviation(sets_of, real):
    """0.2860 and 0.3530 are what the field normalises Fashion-MNIST with."""
    rows = survey_tables.statistics(sets_of("fmnist", f"root={real('FashionMNIST')}")).rows
    assert rows[0][-2:] == ("0.2860", "0.3530")
