"""What a run came to, as documents report it: hand-worked on a run folder of three classes."""

import math

import pytest
from folders import inspection, write_run

from dlproj.reproduce.quantities import by_epoch, quantities
from dlproj.results.record import read_run


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


def test_a_metric_by_epoch_is_that_of_the_runs_which_came_so_far(run):
    assert by_epoch([run(), run()], "val/accuracy", 2) == [0.875, 0.875]
    assert by_epoch([run()], "val/accuracy", 3) == []
    assert by_epoch([run()], "val/nothing", 1) == []


def test_where_the_test_set_validates_it_is_no_training_set(tmp_path):
    samples = {"samples": {"train": 1000, "val": 30, "test": 30}}
    found = quantities(read_run(write_run(tmp_path / "0", settings={"data.val": "test"}, **samples)))
    assert (found["training_samples"], found["test_samples"]) == (1000, 30)
    assert "height" not in found
