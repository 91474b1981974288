"""What a run came to, as documents report it: hand-worked on a run folder of three classes."""

import math

import pytest
from folders import inspection, write_run

from dlproj.labs.reproduce.quantities import curve, quantities, settled, trend
from dlproj.runs.record import read_run


@pytest.fixture
def run(tmp_path):
    """Call with changes of the summary: the run that a folder with them tells of."""

    def make(**changes):
        samples = {"samples": {"train": 1000, "val": 100, "test": 30}, "input_shape": [1, 28, 28], "steps": 62}
        return read_run(write_run(tmp_path / str(len(list(tmp_path.iterdir()))), **samples | changes))

    return make


def test_the_metrics_and_the_record_are_quantities(run):
    found = quantities(run())
    assert found["test/accuracy"] == 0.8333
    assert {name: found[name] for name in ("parameters", "seconds", "last_epoch", "best_epoch")} == {
        "parameters": 75010,
        "seconds": 1.5,
        "last_epoch": 2,
        "best_epoch": 1,
    }
    assert [found[name] for name in ("training_samples", "test_samples", "classes", "height", "width")] == [
        1100,
        30,
        3,
        28,
        28,
    ]


def test_wrong_samples_and_the_class_confused_most_are_counted(run):
    # [[8, 1, 1], [0, 10, 0], [3, 0, 7]]: 2 + 0 + 3 are wrong, and most of the third class.
    found = quantities(run())
    assert (found["wrong"], found["most_confused_class"]) == (5, 2)
    many = [[0, 0, 4], [1, 0, 2], [250, 1, 3], [250, 9, 1]]  # of many classes, the entries above 0
    found = quantities(run(classes=list(map(str, range(300))), confusion_matrix=many))
    assert (found["wrong"], found["most_confused_class"]) == (6, 250)


def test_times_follow_from_the_rate_and_the_batch(run):
    found = quantities(run(samples_per_second=16_000.0))  # batches of 32, of 1000 samples
    assert found["milliseconds_a_batch"] == pytest.approx(2.0)
    assert found["seconds_an_epoch"] == pytest.approx(0.75)
    assert found["steps_an_epoch"] == 31


def test_what_a_run_does_not_have_is_no_quantity(run):
    found = quantities(run(best_epoch=None, confusion_matrix=[], samples_per_second=0.0))
    assert not {"best_epoch", "wrong", "most_confused_class", "milliseconds_a_batch", "weight_deviation"} & set(found)


def test_weights_are_taken_together_at_the_end(tmp_path):
    start = {"low": -9.0, "high": 9.0, "counts": [5, 5]}
    # Centres -0.75, -0.25, 0.25, 0.75, one weight each; and four biases at -0.01 and 0.01.
    histograms = {
        "hidden.0.linear.weight": {"0": start, "2": {"low": -1.0, "high": 1.0, "counts": [1, 1, 1, 1]}},
        "hidden.0.linear.bias": {"0": start, "2": {"low": -0.02, "high": 0.02, "counts": [2, 2]}},
    }
    found = quantities(read_run(write_run(tmp_path / "0", inspected=inspection(histograms=histograms))))
    variance = (2 * 0.75**2 + 2 * 0.25**2 + 4 * 0.01**2) / 8
    assert found["weight_deviation"] == pytest.approx(math.sqrt(variance))
    assert found["small_weights"] == 0.5


def test_a_curve_leaves_out_the_epochs_in_which_nothing_was_logged():
    epochs = {2: {"val/loss": 0.5}, 1: {"val/loss": 0.75}, 3: {"train/loss": 0.25}}
    assert curve(epochs, "val/loss") == [0.75, 0.5]
    assert curve(epochs, "val/nothing") == []


def test_a_loss_has_settled_once_it_has_made_95_percent_of_its_fall():
    assert settled([1.0, 0.5, 0.06, 0.05, 0.0, 0.2]) == 4
    assert settled([1.0, 1.5, 2.0]) == 1  # it never falls


def test_a_trend_is_the_later_half_less_the_earlier_one():
    assert trend([0.5, 0.51, 0.9, 0.53, 0.54]) == pytest.approx(0.03)
    assert trend([0.5]) == 0


def test_the_gaps_are_of_both_sets_after_the_last_epoch_in_eval_mode(run):
    found = quantities(run(**{"train_eval/loss": 0.5, "train_eval/accuracy": 1.0}))
    assert found["loss_gap"] == pytest.approx(0.25)  # val/loss 0.75
    assert found["accuracy_gap"] == pytest.approx(0.125)  # val/accuracy 0.875
    assert not {"loss_gap", "accuracy_gap"} & set(quantities(run()))


def test_the_time_of_a_batch_in_all_is_the_whole_trainings_by_its_steps(run):
    assert quantities(run(seconds=3.1))["total_milliseconds_a_batch"] == pytest.approx(50)


def test_times_say_what_computed(run):
    assert quantities(run())["seconds_on_cpu"] == 1.5
    on_gpu = quantities(run(peak_gpu_memory_bytes=1))
    assert on_gpu["seconds_on_gpu"] == 1.5
    assert "seconds_on_cpu" not in on_gpu


def test_where_the_test_set_validates_it_is_no_training_set(tmp_path):
    samples = {"samples": {"train": 1000, "val": 30, "test": 30}}
    found = quantities(read_run(write_run(tmp_path / "0", settings={"data.val": "test"}, **samples)))
    assert (found["training_samples"], found["test_samples"]) == (1000, 30)
    assert "height" not in found
