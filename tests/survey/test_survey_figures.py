import numpy as np
import pytest
from matplotlib.patches import StepPatch

from dlproj.reports.style import png
from dlproj.survey import survey_figures

DARK, LIGHT = np.full((4, 4), 10, np.uint8), np.full((4, 4), 200, np.uint8)


def steps(figure):
    """Label, shares and edges of each histogram."""
    patches = [patch for patch in figure.axes[0].patches if isinstance(patch, StepPatch)]
    return {patch.get_label(): patch.get_data()[:2] for patch in patches}


def test_a_mosaic_has_a_row_a_class_on_white():
    mosaic = survey_figures.mosaic([[DARK, LIGHT], [LIGHT]])
    assert mosaic.shape == (10, 10)
    assert (mosaic[:4, :4] == 10).all()
    assert (mosaic[:4, 5:9] == 200).all()
    assert (mosaic[5:9, :4] == 200).all()
    assert (mosaic[5:, 5:] == 255).all()
    assert (mosaic[4] == 255).all()
    assert (mosaic[:, 4] == 255).all()


def test_the_grid_names_each_row_at_its_middle():
    figure = survey_figures.grid([[DARK] * 3, [LIGHT] * 2], ["night", "day"], "Two classes")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["night", "day"]
    assert axes.get_title(loc="left") == "Two classes"
    shown = axes.images[0].get_array()
    assert [shown[round(y), 0] for y in axes.get_yticks()] == [10, 200]


@pytest.mark.parametrize("image", [DARK, np.stack([DARK, LIGHT, LIGHT], -1)], ids=["grey", "colour"])
def test_each_chosen_sample_stands_below_its_truth(image):
    titles = [f"train:{number}\ncat" for number in range(7)]
    figure = survey_figures.chosen([image] * 7, titles)
    assert [axes.get_title() for axes in figure.axes] == titles
    assert all(np.array_equal(axes.images[0].get_array(), image) for axes in figure.axes)
    assert all(axes.images[0].get_clim() == (0, 255) for axes in figure.axes), "black is 0, whatever is in the picture"
    png(figure)


def test_bars_have_their_numbers():
    figure = survey_figures.label_counts(
        {"training set": np.array([30, 4]), "test set": np.array([5, 6])}, ["cat", "dog"]
    )
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    assert [text.get_text() for text in axes.texts] == ["30", "4", "5", "6"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training set", "test set"]
    middles = [bar.get_y() + bar.get_height() / 2 for bar in axes.patches]
    np.testing.assert_allclose(middles, [-0.2, 0.8, 0.2, 1.2])


def test_pixels_are_shares_of_each_value_by_channel():
    counts = np.zeros((3, 256), int)
    counts[:, 0], counts[:, 16], counts[2, 16] = 3, 1, 9
    figure = survey_figures.pixel_histogram(counts, ("red", "green", "blue"), 16)
    found = steps(figure)
    assert list(found) == ["red", "green", "blue"]
    np.testing.assert_allclose(found["red"][0][[0, 1, 16]], [0.75, 0, 0.25])
    np.testing.assert_allclose(found["blue"][0][[0, 1, 16]], [0.25, 0, 0.75])
    np.testing.assert_allclose(found["red"][1], np.arange(18) - 0.5)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["red", "green", "blue"]
    png(figure)


def test_lengths_are_shares_of_each_set_and_the_cut_is_marked():
    words = {"training set": np.arange(1, 101), "test set": np.full(10, 30)}
    figure = survey_figures.length_histogram(words, 25)
    found = steps(figure)
    assert found["training set"][0].sum() == pytest.approx(0.99)
    assert found["test set"][0].sum() == pytest.approx(1)
    shares, edges = found["test set"]
    place = int(shares.argmax())
    assert edges[place] <= 30 < edges[place + 1]
    (axes,) = figure.axes
    assert [text.get_text().strip() for text in axes.texts] == ["cut at length=25"]
    assert axes.lines[0].get_xdata() == [25, 25]
    assert axes.get_xlabel() == "words a review (1.0% have more than 99)"


def test_features_are_shares_of_all_values():
    shares, edges = next(iter(steps(survey_figures.value_histogram(np.array([[0.0, 1.0], [0.0, 4.0]]))).values()))
    assert (shares[0], shares[-1], shares.sum()) == (0.5, 0.25, 1)
    assert (edges[0], edges[-1]) == (0, 4)


def test_long_names_leave_room_for_what_they_name():
    """Warnings are errors: the layout would say that it has given up, and leave the axes without room."""
    names = ["n" * 250, "two words " * 20, "day"]
    figures = [
        survey_figures.grid([[DARK] * 2] * 3, names, "Three classes"),
        survey_figures.chosen([DARK] * 3, [f"train:{number}\n{name}" for number, name in enumerate(names)]),
        survey_figures.label_counts({"training set": np.array([1, 2, 3])}, names),
    ]
    for figure in figures:
        png(figure)
        for axes in figure.axes:
            assert all(label.get_window_extent().x0 > -1 for label in axes.get_yticklabels())  # no name is cut off
            assert axes.bbox.width > 0.15 * figure.bbox.width
