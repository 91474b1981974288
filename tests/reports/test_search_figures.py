"""Figures of a search, on runs whose scores are made by a rule."""

import math

import pytest
from folders import write_run
from matplotlib.colors import to_hex

from dlproj.reports.search_figures import facets, importance, importance_bars, parallel_coordinates, pareto, undominated
from dlproj.reports.style import GREY
from dlproj.runs.comparison import compare
from dlproj.runs.record import read_run


@pytest.fixture
def compared(tmp_path):
    """Call with (settings, val/accuracy, parameters) a run."""

    def make(*many):
        runs = []
        for place, (settings, accuracy, parameters) in enumerate(many):
            epochs = [] if accuracy is None else [{"epoch": 1, "val/accuracy": accuracy}]
            fields = {"parameters": parameters, "monitor": "val/accuracy", "last_epoch": 1}
            runs.append(read_run(write_run(tmp_path / str(place), settings, epochs, **fields)))
        return compare(runs)

    return make


def test_a_list_is_its_length_and_its_items(compared):
    found = facets(compared(({"model.hidden": [64]}, 0.5, 1), ({"model.hidden": [64, 32]}, 0.6, 2)))
    assert found == {"number of model.hidden": [1, 2], "model.hidden[1]": ["", 32]}  # the first items are equal


def test_lists_of_descriptions_and_switches_are_words(compared):
    layers = [[{"units": 4}], [{"units": 8}]]
    found = facets(
        compared(
            *(
                ({"model.hidden": one, "model.batch_norm": flag}, 0.5, 1)
                for one, flag in zip(layers, (True, False), strict=True)
            )
        )
    )
    assert found == {"model.hidden": ["[{units: 4}]", "[{units: 8}]"], "model.batch_norm": ["true", "false"]}


def test_the_setting_that_decides_the_score_is_the_important_one(compared):
    pytest.importorskip("optuna")
    settings = [
        ({"optim.learning_rate": rate, "model.dropout": dropout}, 0.5 + rate, 1)
        for rate in (0.1, 0.2, 0.3, 0.4)
        for dropout in (0.0, 0.25, 0.5)
    ]
    shares = importance(compared(*settings))
    assert list(shares) == ["optim.learning_rate", "model.dropout"]
    assert shares["optim.learning_rate"] > 0.95
    assert sum(shares.values()) == pytest.approx(1)
    bars = importance_bars(shares).axes[0].patches
    assert [bar.get_width() for bar in bars] == list(shares.values())


def test_too_few_runs_say_nothing_of_importance(compared):
    assert importance(compared(({"model.dropout": 0.1, "seed": 1}, 0.5, 1), ({"model.dropout": 0.2}, 0.6, 1))) == {}


def test_where_all_score_the_same_nothing_matters(compared):
    settings = [({"optim.learning_rate": rate, "model.dropout": rate / 2}, 0.5, 1) for rate in (0.1, 0.2, 0.3, 0.4)]
    assert importance(compared(*settings)) == {}


def test_each_run_is_a_line_through_its_values_and_ends_at_its_score(compared):
    many = compared(
        ({"optim.learning_rate": 0.001, "model.hidden": [8]}, 0.5, 1),
        ({"optim.learning_rate": 0.01, "model.hidden": [8, 4]}, 0.9, 1),
        ({"optim.learning_rate": 0.1, "model.hidden": [16]}, 0.7, 1),
        ({"optim.learning_rate": 0.1, "model.hidden": [16, 2]}, None, 1),
    )
    lines = [line for line in parallel_coordinates(many).axes[0].lines if len(line.get_ydata()) > 2]
    by_color = {to_hex(line.get_color()): line for line in lines}
    names = list(facets(many))
    assert names == ["number of model.hidden", "model.hidden[0]", "model.hidden[1]", "optim.learning_rate"]
    best = next(line for line in lines if len(line.get_ydata()) == 5)
    # two layers are the most, 8 units the fewest, 4 the more of 2 and 4, and 0.01 lies halfway by its logarithm
    assert list(best.get_xdata()) == pytest.approx([1, 0, 1, 0.5, 1])
    worst = next(line for line in lines if list(line.get_ydata()) == [0, 1, 3, 4] and line.get_xdata()[-1] == 0)
    assert list(worst.get_xdata()) == pytest.approx([0, 0, 0, 0])  # with one layer it passes the second one's axis by
    assert list(by_color[GREY.lower()].get_ydata()) == [0, 1, 2, 3]  # of no epoch there is no score


def test_the_smaller_loss_is_the_better_one(compared):
    many = compared(*(({"seed": seed}, 0.5, 100) for seed in range(2)))
    assert undominated(many.runs, [0.4, 0.3], "val/loss") == [1]


def test_no_run_beats_those_on_the_front(compared):
    many = compared(
        *(
            (({"seed": seed}), *point)
            for seed, point in enumerate([(0.7, 100), (0.6, 200), (0.9, 300), (0.9, 400), (0.8, 300), (None, 1)])
        )
    )
    assert undominated(many.runs, [0.7, 0.6, 0.9, 0.9, 0.8, math.nan], "val/accuracy") == [0, 2]
    front = pareto(many).axes[0].lines[1]
    assert list(front.get_xdata()) == [100, 300]
    assert list(front.get_ydata()) == [0.7, 0.9]
