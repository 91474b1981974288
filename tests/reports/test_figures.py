"""What the figures of a run say: their numbers, words and marks, not their pixels."""

import numpy as np
import pytest

from dlproj.reports.run_figures import (
    TRAIN,
    VAL,
    by_layer,
    confusion_matrix,
    learning_curves,
    learning_panels,
    per_class,
)
from dlproj.reports.style import png, svg
from dlproj.reports.weights_figure import central_range, density, weight_histograms
from dlproj.runs.inspection import Histogram

EPOCHS = {
    1: {"train/loss": 0.9, "val/loss": 0.8, "train/accuracy": 0.5, "val/accuracy": 0.6},
    2: {"train/loss": 0.5, "val/loss": 0.4, "train/accuracy": 0.7, "val/accuracy": 0.8},
    3: {"train/loss": 0.4, "val/loss": 0.6, "train/accuracy": 0.9, "val/accuracy": 0.75},
}
COUNTS = [[990, 10, 0], [0, 3, 1], [0, 0, 6]]
CLASSES = ["cat", "dog", "a name that is much longer than a tick label"]


def lines(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_curves_show_each_epoch_and_mark_the_best_and_the_last():
    loss, accuracy = learning_curves(EPOCHS, best=2).axes
    assert (loss.get_title(loc="left"), accuracy.get_title(loc="left")) == ("Loss", "Accuracy")
    assert lines(loss)["train"] == [[1, 0.9], [2, 0.5], [3, 0.4]]
    assert lines(accuracy)["val"] == [[1, 0.6], [2, 0.8], [3, 0.75]]
    assert [x for x, _ in lines(loss)["best epoch, 2"]] == [2, 2]
    assert [x for x, _ in lines(loss)["last epoch, 3"]] == [3, 3]


def test_one_mark_stands_for_both_where_the_last_epoch_is_the_best_and_none_for_a_best_that_is_not():
    assert set(lines(learning_curves(EPOCHS, best=3).axes[0])) == {"train", "val", "best and last epoch, 3"}
    assert set(lines(learning_curves(EPOCHS, best=None).axes[0])) == {"train", "val", "last epoch, 3"}


def test_the_penalty_has_a_panel_of_its_own_and_the_loss_is_shown_without_it():
    epochs = {1: EPOCHS[1] | {"train/data_loss": 0.7, "train/penalty": 0.2, "val/data_loss": 0.6, "val/penalty": 0.2}}
    loss, penalty, accuracy = learning_curves(epochs, best=1).axes
    assert lines(loss)["train"] == [[1, 0.7]]
    assert lines(penalty)["val"] == [[1, 0.2]]
    assert lines(accuracy)["train"] == [[1, 0.5]]


def dashed(axes):
    return [line for line in axes.get_lines() if line.get_label() == "reported"]


def test_reported_curves_are_dashed_and_hollow_beside_ours_in_the_same_colour():
    reported = {"val/loss": {1: 0.7, 3: 0.5, 4: 0.4}, "train/accuracy": {2: 0.75}}
    figure = learning_curves(EPOCHS, 2, reported)
    loss, accuracy = figure.axes
    (line,) = dashed(loss)
    assert line.get_xydata().tolist() == [[1, 0.7], [3, 0.5], [4, 0.4]]
    assert (line.get_linestyle(), line.get_markerfacecolor()) == ("--", "none")
    assert [line.get_color() for line in dashed(loss) + dashed(accuracy)] == [VAL, TRAIN]
    assert dashed(accuracy)[0].get_xydata().tolist() == [[2, 0.75]]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["train", "val", "best epoch, 2", "last epoch, 3", "reported"]


def test_each_panel_is_a_figure_of_its_own_for_a_page():
    epochs = {1: EPOCHS[1] | {"train/data_loss": 0.7, "train/penalty": 0.2, "val/data_loss": 0.6, "val/penalty": 0.2}}
    together = {axes.get_title(loc="left"): lines(axes) for axes in learning_curves(epochs, 1).axes}
    panels = learning_panels(epochs, 1)
    assert {title: lines(figure.axes[0]) for title, figure in panels.items()} == together
    assert all(len(figure.legends) == 1 for figure in panels.values())


def test_with_penalties_a_reported_loss_stands_beside_the_whole_loss():
    epochs = {1: EPOCHS[1] | {"train/data_loss": 0.7, "train/penalty": 0.2, "val/data_loss": 0.6, "val/penalty": 0.2}}
    figure = learning_curves(epochs, 1, {"train/loss": {1: 0.95}})
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Loss with the penalty", "Loss without the penalty", "Penalty", "Accuracy"]
    assert lines(figure.axes[0])["train"] == [[1, 0.9]]
    assert lines(figure.axes[0])["reported"] == [[1, 0.95]]
    assert len(learning_curves(epochs, 1, {"train/accuracy": {1: 0.5}}).axes) == 3


def test_the_training_set_evaluated_after_each_epoch_is_a_line_of_its_own():
    evaluated = {"train_eval/loss": 0.3, "train_eval/accuracy": 0.95}
    (loss, accuracy) = learning_curves(EPOCHS | {3: EPOCHS[3] | evaluated}, best=None).axes
    assert lines(loss)["train, evaluated"] == [[3, 0.3]]
    assert lines(accuracy)["train, evaluated"] == [[3, 0.95]]
    by_label = {line.get_label(): line for line in loss.get_lines()}
    assert by_label["train, evaluated"].get_color() != by_label["train"].get_color()


def test_a_loss_that_falls_steeply_is_on_a_logarithmic_axis():
    def axis(*losses):
        epochs = {epoch: {"train/loss": loss, "train/accuracy": 0.5} for epoch, loss in enumerate(losses, 1)}
        loss, accuracy = learning_curves(epochs, None).axes
        assert accuracy.get_yscale() == "linear"
        return loss.get_yscale()

    assert axis(11.2, 0.17, 0.2) == "log"
    assert axis(2.3, 0.5, 0.2) == axis(11.2, 0.0, 0.2) == axis(float("nan")) == "linear"


def test_an_epoch_without_validation_is_left_out_of_its_line():
    figure = learning_curves(EPOCHS | {4: {"train/loss": 0.3, "train/accuracy": 1.0}}, best=2)
    assert len(lines(figure.axes[0])["train"]) == 4
    assert len(lines(figure.axes[0])["val"]) == 3


def test_the_matrix_shows_counts_and_shares_and_names_the_pair_confused_most():
    (axes,) = confusion_matrix(COUNTS, CLASSES).axes
    assert texts(axes) == ["990\n99%", "10\n1%", "3\n75%", "1\n25%", "6\n100%"]
    assert axes.get_title(loc="left").endswith("Most confused: cat taken for dog, 10 times; the other way 0.")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "a name that is…"]
    shares = axes.collections[0].get_array()
    np.testing.assert_allclose(shares, [[0.99, 0.01, 0], [0, 0.75, 0.25], [0, 0, 1]])


def test_a_matrix_of_a_hundred_classes_is_drawn_without_numbers():
    (axes,) = confusion_matrix(np.eye(100, dtype=int).tolist(), [str(number) for number in range(100)]).axes
    assert texts(axes) == []


def test_a_matrix_of_a_thousand_classes_has_a_mark_for_each_pair_that_occurs():
    kept = [[0, 0, 3], [0, 999, 1], [999, 999, 2]]
    (axes,) = confusion_matrix(kept, [str(number) for number in range(1000)]).axes
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), [[0, 0], [999, 0], [999, 999]])
    np.testing.assert_allclose(axes.collections[0].get_array(), [0.75, 0.25, 1])
    assert "Most confused: 0 taken for 999, 1 time" in axes.get_title(loc="left")


def test_classes_stand_by_f1_with_the_best_on_top_and_their_number_of_samples():
    (axes,) = per_class(COUNTS, CLASSES).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "dog (4)",
        "a name that is mu… (6)",
        "cat (1,000)",
    ]
    recall = lines(axes)["recall"]
    assert recall == [[0.75, 0], [1.0, 1], [0.99, 2]]


def test_histograms_are_densities_of_the_start_and_the_end():
    start, end = Histogram(-1.0, 1.0, [5, 5]), Histogram(-2.0, 2.0, [1, 1, 1, 1])
    figure = weight_histograms({"output.weight": {0: start, 3: end}})
    steps = {patch.get_label(): patch.get_data() for patch in figure.axes[0].patches}
    np.testing.assert_allclose(steps["start"].values, [0.5, 0.5])
    np.testing.assert_allclose(steps["end, epoch 3"].values, [0.25] * 4)
    np.testing.assert_allclose(steps["end, epoch 3"].edges, [-2, -1, 0, 1, 2])
    assert figure.axes[0].get_title(loc="left") == "output.weight"


def test_a_few_values_far_out_do_not_squeeze_the_others():
    counts = [0] * 512
    counts[250:262] = [1000] * 12
    counts[0] = counts[511] = 3
    one = Histogram(-5.12, 5.12, counts)
    assert central_range(one) == pytest.approx((-0.12, 0.12))
    figure = weight_histograms({"output.weight": {2: one}})
    assert figure.axes[0].get_xlim() == pytest.approx((-0.132, 0.132))


def test_neighbouring_bins_are_put_together_where_there_are_many_and_no_value_is_lost():
    values = np.random.default_rng(0).normal(size=100_000)
    counts, edges = np.histogram(values, 512)
    densities, found = density(Histogram(edges[0], edges[-1], counts.tolist()))
    assert 50 <= len(densities) < 100
    assert (densities * np.diff(found)).sum() == pytest.approx(1)
    assert densities.max() == pytest.approx(1 / np.sqrt(2 * np.pi), rel=0.05)  # of the normal distribution


def test_biases_that_start_at_zero_do_not_dwarf_the_end():
    figure = weight_histograms({"output.bias": {0: Histogram(-1e-3, 1e-3, [10]), 1: Histogram(-1.0, 1.0, [5, 5])}})
    assert figure.axes[0].get_ylim()[1] == pytest.approx(1.1 * 4 * 0.5)


@pytest.mark.parametrize(("share", "scale"), [(True, "linear"), (False, "log")])
def test_layers_have_a_line_each(share, scale):
    (axes,) = by_layer({"hidden.0": {1: 0.1, 2: 0.2}, "hidden.1": {1: 0.5, 2: 0.4}}, "Title", share).axes
    assert lines(axes) == {"hidden.0": [[1, 0.1], [2, 0.2]], "hidden.1": [[1, 0.5], [2, 0.4]]}
    assert axes.get_yscale() == scale


def test_svg_takes_the_pages_colours_and_says_what_it_shows():
    element = svg(learning_curves(EPOCHS, best=2), 'Loss & accuracy of "run"')
    assert element.startswith('<svg role="img" aria-label="Loss &amp; accuracy of &quot;run&quot;"')
    assert "currentColor" in element
    assert ">epoch</text>" in element  # text is text
    assert "<metadata" not in element
    assert element == svg(learning_curves(EPOCHS, best=2), 'Loss & accuracy of "run"')


def test_of_many_classes_the_worst_are_shown():
    counts = np.eye(60, dtype=int) * 9 + np.eye(60, k=1, dtype=int) * np.arange(60)
    (axes,) = per_class(counts.tolist(), [str(number) for number in range(60)]).axes
    assert len(axes.get_yticklabels()) == 40
    assert axes.get_title(loc="left") == "Test, the 40 worst classes (samples)"


def test_a_name_of_dollars_or_of_one_long_word_is_shown_as_it_is():
    (axes,) = confusion_matrix([[1, 0], [2, 3]], ["$x^$ y", "american_staffordshire_terrier"]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$x^$ y", "american_staffo…"]
    assert png(axes.figure).startswith(b"\x89PNG")
