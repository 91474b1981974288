"""What the figures of several runs say: scales, places, heights and words."""

import pytest
from folders import inspection, write_run
from matplotlib.ticker import PercentFormatter

from dlproj.reports.comparison_figures import (
    GREY,
    SHOWN,
    bars,
    curves,
    group_colors,
    has_bars,
    heat_map,
    is_grid,
    score_against,
)
from dlproj.reports.style import COLORS, INK, png
from dlproj.reports.weights_figure import weights
from dlproj.runs.comparison import compare
from dlproj.runs.record import read_run


@pytest.fixture
def comparison_of(tmp_path):
    """Call with one (settings, test accuracy) a run; None: a run that failed before its test."""

    def make(*many, **fields):
        runs = []
        for place, (settings, accuracy) in enumerate(many):
            folder = write_run(tmp_path / f"{place}", settings, **fields, **{"test/accuracy": accuracy})
            runs.append(read_run(folder))
        return compare(runs)

    return make


def points(line):
    return [tuple(point) for point in line.get_xydata().tolist()]


def test_a_curve_has_the_values_of_its_run_and_repetitions_one_colour(comparison_of):
    comparison = comparison_of(({}, 0.9), ({"seed": 1}, 0.8), ({"optim.learning_rate": 0.1}, 0.7))
    (axes,) = curves(comparison, "val/loss").axes
    assert [points(line) for line in axes.lines] == [[(1, 0.5), (2, 0.75)]] * 3
    assert [line.get_color() for line in axes.lines] == [COLORS[0], COLORS[0], COLORS[1]]


def test_reported_curves_are_dashed_in_their_groups_colour_and_black_where_several_share_one(tmp_path):
    rates = {0.1: {1: 0.5, 2: 0.4}, 0.01: {1: 0.9}, 0.001: {1: 0.9}}
    for place, (rate, curve) in enumerate([*rates.items(), *rates.items()]):
        settings = {"optim.learning_rate": rate, "seed": place // 3}
        write_run(tmp_path / str(place), settings, reference_curves={"val/loss": curve})
    comparison = compare([read_run(tmp_path / str(place)) for place in range(6)])
    (axes,) = curves(comparison, "val/loss").axes
    dashed = [(points(line), line.get_color()) for line in axes.lines if line.get_linestyle() == "--"]
    assert dashed == [([(1, 0.5), (2, 0.4)], group_colors(comparison)[0]), ([(1, 0.9)], INK)]
    assert len(axes.lines) == 6 + 2
    assert not any(line.get_linestyle() == "--" for line in curves(comparison, "val/accuracy").axes[0].lines)


def test_only_shares_are_in_percent(comparison_of):
    comparison = comparison_of(({}, 0.9), epochs=[{"epoch": 1, "val/accuracy": 0.5, "learning_rate": 0.25}])
    ticks = [curves(comparison, name).axes[0].yaxis.get_major_formatter() for name in ("val/accuracy", "learning_rate")]
    assert [isinstance(one, PercentFormatter) for one in ticks] == [True, False]


def test_values_that_were_not_tried_together_make_no_grid(comparison_of):
    settings = [{"optim.learning_rate": 1 / n, "model.dropout": n / 10} for n in range(1, 7)]
    assert not is_grid(comparison_of(*((one, 0.9) for one in settings)))


def test_one_numeric_setting_is_coloured_along_a_scale_in_the_order_of_its_values(comparison_of):
    colors = group_colors(comparison_of(*(({"optim.learning_rate": rate}, 0.9) for rate in (0.1, 0.001, 0.01))))
    assert colors == ["#ef8433", "#2f6fde", "#b0569f"]


def test_of_many_settings_the_best_by_validation_have_colours(tmp_path):
    runs = []
    for width in range(1, SHOWN + 3):  # the wider, the better in validation and the worse in the test
        epochs = [{"epoch": 2, "val/loss": 1 / width}]
        fields = {"epochs": epochs, "test/accuracy": 1 - width / 100}
        runs.append(read_run(write_run(tmp_path / f"{width}", {"model.hidden": [width]}, **fields)))
    assert group_colors(compare(runs)) == [GREY, GREY, *COLORS[:SHOWN]]


def test_the_score_stands_against_a_logarithmic_setting_with_a_tick_at_each_value(comparison_of):
    comparison = comparison_of(*(({"optim.learning_rate": 10.0**-place}, 0.9 - place / 10) for place in (1, 2, 3)))
    (axes,) = score_against(comparison, "optim.learning_rate").axes
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.001", "0.01", "0.1"]
    assert points(axes.lines[0]) == [(0.001, pytest.approx(0.6)), (0.01, pytest.approx(0.7)), (0.1, 0.8)]


def test_words_stand_side_by_side(comparison_of):
    comparison = comparison_of(({"model.activation": "tanh"}, 0.9), ({"model.activation": "relu"}, 0.8))
    (axes,) = score_against(comparison, "model.activation").axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["tanh", "relu"]
    assert points(axes.lines[0]) == [(0, 0.9), (1, 0.8)]
    assert axes.lines[0].get_linestyle() == "None"  # no way leads from one word to another


def test_with_three_settings_no_line_joins_what_differs_in_others_too(comparison_of):
    settings = [{"model.dropout": 0.1 * n, "optim.learning_rate": 0.1 / n, "data.batch_size": n} for n in (1, 2, 4)]
    (axes,) = score_against(comparison_of(*((one, 0.9) for one in settings)), "data.batch_size").axes
    assert axes.containers[0].lines[0].get_linestyle() == "None"
    assert axes.get_legend() is None


def test_repetitions_have_their_dots_mean_and_spread(comparison_of):
    comparison = comparison_of(
        ({"model.dropout": 0.25}, 0.8), ({"model.dropout": 0.25, "seed": 1}, 0.9), ({"model.dropout": 0.5}, 0.7)
    )
    (axes,) = score_against(comparison, "model.dropout").axes
    dots, means = axes.lines[:2]
    assert points(dots) == [(0.25, 0.8), (0.25, 0.9)]
    assert points(means) == [(0.25, pytest.approx(0.85)), (0.5, 0.7)]
    bar = axes.collections[0].get_segments()[0]
    assert bar[:, 1].tolist() == pytest.approx([0.85 - 0.0707107, 0.85 + 0.0707107])  # 0.1 / √2 each way


def test_a_second_setting_has_a_line_for_each_value(comparison_of):
    grid = [({"model.dropout": p, "optim.learning_rate": rate}, p + rate) for p in (0.0, 0.5) for rate in (0.1, 0.2)]
    (axes,) = score_against(comparison_of(*grid), "optim.learning_rate").axes
    assert axes.get_legend().get_title().get_text() == "model.dropout"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["0", "0.5"]
    assert [points(bars.lines[0]) for bars in axes.containers] == [[(0.1, 0.1), (0.2, 0.2)], [(0.1, 0.6), (0.2, 0.7)]]


def test_among_many_dots_no_free_corner_is_searched_for(comparison_of):
    grid = [({"model.dropout": p, "optim.learning_rate": rate / 100}, p) for p in (0.0, 0.5) for rate in range(1, 52)]
    (axes,) = score_against(comparison_of(*grid), "optim.learning_rate").axes
    assert axes.get_legend()._get_loc() != 0  # 0 is matplotlib's number of "best"


def test_the_heat_map_has_the_means_and_a_dash_where_there_is_none(comparison_of):
    comparison = comparison_of(
        ({"model.dropout": 0.5, "optim.learning_rate": 0.1}, 0.8),
        ({"model.dropout": 0.5, "optim.learning_rate": 0.1, "seed": 1}, 0.9),
        ({"model.dropout": 0.0, "optim.learning_rate": 0.1}, None),
        ({"model.dropout": 0.0, "optim.learning_rate": 0.2}, 0.7),
    )
    (axes,) = heat_map(comparison).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("optim.learning_rate", "model.dropout")
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (0.5, 0.5): "–",
        (1.5, 0.5): "70.0%",
        (0.5, 1.5): "85.0%",
        (1.5, 1.5): "–",
    }


def test_bars_have_accuracy_and_seconds_a_group_with_the_reported_figures_as_marks(tmp_path):
    trials = [([512], 128, 0.87, 10.0), ([512], 64, 0.86, 20.0), ([128, 256], 128, 0.83, 30.0)]
    for place, (hidden, batch, accuracy, seconds) in enumerate(trials):
        for seed in (0, 1):
            settings = {"model.hidden": hidden, "data.batch_size": batch, "seed": seed}
            reported = {"test/accuracy": 0.88, "seconds": 140.81} if place == 1 else {}
            write_run(
                tmp_path / f"{place}-{seed}",
                settings,
                seconds=seconds + seed,
                reference=reported,
                **{"test/accuracy": accuracy + seed / 100},
            )
    comparison = compare([read_run(path) for path in sorted(tmp_path.iterdir())])
    assert has_bars(comparison)
    accuracy, seconds = (figure.axes[0] for figure in bars(comparison).values())
    assert [bar.get_width() for bar in accuracy.patches] == pytest.approx([0.875, 0.865, 0.835])
    assert [bar.get_width() for bar in seconds.patches] == [10.5, 20.5, 30.5]
    assert [text.get_text() for text in seconds.texts] == ["10.50 s", "20.50 s", "30.50 s"]
    assert [label.get_text() for label in accuracy.get_yticklabels()] == [
        "batch_size=128, hidden=[512]",
        "batch_size=64, hidden=[512]",
        "batch_size=128, hidden=[128, 256]",
    ]
    marks = [
        points(next(line for line in axes.lines if line.get_label() == "reported")) for axes in (accuracy, seconds)
    ]
    assert marks == [[(0.88, 1)], [(140.81, 1)]]
    assert accuracy.get_ylim()[0] > accuracy.get_ylim()[1]  # the first on top


@pytest.mark.parametrize(
    ("settings", "drawn"),
    [
        ([{"optim.learning_rate": rate} for rate in (0.1, 0.01)], False),  # an axis of numbers shows it
        ([{"model.activation": name} for name in ("relu", "tanh")], True),
        ([{"model.hidden": [n], "model.dropout": n / 100} for n in range(31)], False),  # too many to read
        ([{"seed": seed} for seed in (0, 1)], False),
    ],
)
def test_bars_are_for_a_few_groups_that_lie_on_no_axis(settings, drawn, comparison_of):
    assert has_bars(comparison_of(*((one, 0.5) for one in settings))) is drawn


def test_weights_of_all_runs_lie_on_the_same_axes(tmp_path):
    wide = {"low": -4.0, "high": 4.0, "counts": [1, 5, 9, 4]}
    changes = [{}, {"histograms": {"hidden.0.linear.weight": {"0": wide, "2": wide}, "output.bias": {"2": wide}}}]
    folders = [write_run(tmp_path / f"{place}", inspected=inspection(**one)) for place, one in enumerate(changes)]
    figures = weights(list(map(read_run, folders)), ["red", "blue"])
    assert list(figures) == ["hidden.0.linear.weight", "output.bias"]
    (both,), (alone,) = (figure.axes for figure in figures.values())
    assert (both.get_title(loc="left"), both.get_xlim()) == ("hidden.0.linear.weight", (-4.4, 4.4))
    lines = [(line.get_edgecolor()[::2], line.get_linestyle()) for line in both.patches]
    red, blue = (1.0, 0.0), (0.0, 1.0)
    assert lines == [(red, ":"), (red, "-"), (blue, ":"), (blue, "-")]
    assert [line.get_linestyle() for line in alone.patches] == ["-"]  # the other run has no such parameter
    assert all(png(figure) for figure in figures.values())


def test_curves_that_coincide_are_told_apart_by_marker_and_width(comparison_of):
    comparison = comparison_of(*(({"model.activation": name}, 0.9) for name in ("relu", "tanh", "sigmoid")))
    lines = curves(comparison, "val/loss").axes[0].lines
    assert len({line.get_marker() for line in lines}) == 3
    widths = [(line.get_linewidth(), line.get_markersize()) for line in lines]
    assert widths == sorted(widths, reverse=True)  # the later ones lie on top
    assert len(set(widths)) == 3


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_training_and_validation_have_one_vertical_axis_whatever_a_diverged_run_reached(tmp_path, metric):
    high = [{"epoch": 1, "train/loss": 1e30, "val/loss": 1e30, "train/accuracy": 0.1, "val/accuracy": 0.1}]
    for place, (epochs, status) in enumerate([(None, "completed"), (high, "diverged")]):
        write_run(tmp_path / str(place), {"seed": place}, **({"epochs": epochs} if epochs else {}), status=status)
    comparison = compare([read_run(tmp_path / str(place)) for place in range(2)])
    train, val = (curves(comparison, f"{split}/{metric}").axes[0].get_ylim() for split in ("train", "val"))
    assert train == val
    low, high = {"loss": (0.5, 0.9), "accuracy": (0.6, 0.875)}[metric]  # of both, in the run that came to its end
    assert val == pytest.approx((low - 0.05 * (high - low), high + 0.05 * (high - low)))
