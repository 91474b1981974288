"""What varies, what repeats and what became of it, on cases worked out by hand."""

import csv
import math

import pytest
from folders import EPOCHS, SETTINGS, nested, write_run

from dlproj.results.comparison import (
    Spread,
    as_csv,
    as_markdown,
    best,
    best_value,
    command,
    compare,
    repetitions,
    shown,
    table,
    varied_settings,
)
from dlproj.results.record import read_run


@pytest.fixture
def runs_of(tmp_path):
    """Call with one (settings, changes of the summary) a run."""

    def read(*many):
        return [read_run(write_run(tmp_path / f"s/{place}", *one[:1], **one[1])) for place, one in enumerate(many)]

    return read


def varied(*changes):
    return varied_settings([nested(SETTINGS, one) for one in changes])


def test_only_what_differs_varies_in_the_order_of_the_settings():
    assert varied({}, {"seed": 1, "optim.learning_rate": 0.1, "model.dropout": 0.5}) == [
        "model.dropout", "optim.learning_rate", "seed",
    ]  # fmt: skip


def test_lists_are_compared_whole():
    assert varied({"model.hidden": [64]}, {"model.hidden": [64]}) == []
    assert varied({"model.hidden": [64]}, {"model.hidden": [64, 32]}) == ["model.hidden"]


def test_what_decides_nothing_does_not_vary():
    ignored = {"name": "other", "data.root": "/elsewhere", "trainer.progress_bar": False, "figures": {"gallery": 3}}
    assert varied({"figures": {"gallery": 0}}, ignored) == []


def test_another_choice_varies_by_its_group_and_not_by_what_it_alone_has():
    sgd = nested(SETTINGS, {"schema.optim": "sgd", "optim": {"learning_rate": 0.001, "momentum": 0.9}})
    assert varied_settings([SETTINGS, sgd]) == ["optim"]
    assert varied_settings([SETTINGS, sgd, nested(sgd, {"optim.momentum": 0.5})]) == ["optim", "optim.momentum"]


def test_runs_that_differ_in_the_seed_only_are_one_group(runs_of):
    comparison = compare(runs_of(*(({"seed": seed, "model.dropout": p}, {}) for p in (0.0, 0.5) for seed in (0, 1))))
    assert [[run.folder.name for run in group.runs] for group in comparison.groups] == [["0", "1"], ["2", "3"]]
    assert [group.settings for group in comparison.groups] == [{"model.dropout": 0.0}, {"model.dropout": 0.5}]
    assert comparison.repeats


def test_the_spread_is_the_sample_standard_deviation(runs_of):
    scores = (0.9, 0.92, 0.97)  # mean 0.93; squares 9, 1, 16 of 1e-4: 26e-4 / 2
    runs = runs_of(*(({"seed": seed}, {"test/accuracy": score}) for seed, score in enumerate(scores)))
    spread = compare(runs).groups[0].spread("test/accuracy")
    assert spread.mean == pytest.approx(0.93)
    assert spread.deviation == pytest.approx(math.sqrt(13e-4))
    assert spread.size == 3


def test_a_run_without_a_finite_test_has_no_part_in_the_mean(runs_of):
    runs = runs_of(({}, {}), ({"seed": 1}, {"test/accuracy": None}))
    del runs[0].result.metrics["test/loss"]
    runs[1].result.metrics["test/loss"] = math.inf
    group = compare(runs).groups[0]
    assert group.spread("test/accuracy") == Spread(0.8333, None, 1)
    assert group.spread("test/loss") is None


def test_the_rows_of_repetitions_say_how_many_runs_were_tested(runs_of):
    runs = runs_of(({}, {}), ({"seed": 1}, {"test/accuracy": None}))
    (row,) = repetitions(compare(runs))
    assert (row["runs"], row["tested"], shown("test/accuracy", row["test/accuracy"])) == (2, 1, "83.33%")


def test_a_row_has_the_best_and_the_last_value_of_each_metric(runs_of):
    (row,) = table(compare(runs_of(({}, {}))))
    assert (row["val/loss best"], row["val/loss last"]) == (0.5, 0.75)
    assert (row["val/accuracy best"], row["val/accuracy last"]) == (0.875, 0.875)
    assert (row["best_epoch"], row["last_epoch"]) == (1, 2)


def test_the_best_value_passes_over_what_is_not_finite(tmp_path):
    epochs = [*EPOCHS, {"epoch": 3, "val/loss": "nan"}, {"epoch": 4, "val/loss": "-inf"}]
    run = read_run(write_run(tmp_path / "run", epochs=epochs))
    assert best_value(run, "val/loss") == 0.5
    assert best_value(run, "val/macro_f1") is None


def test_an_unfinished_run_has_the_epochs_so_far_and_no_times(tmp_path):
    folder = write_run(tmp_path / "run", status="running", seconds=0.0, samples_per_second=0.0, last_epoch=0)
    (row,) = table(compare([read_run(folder)]))
    assert row["status"] == "running or killed"
    assert row["last_epoch"] == 2
    assert (row["seconds"], row["samples_per_second"]) == (None, None)


def test_a_setting_that_a_choice_does_not_have_is_empty_and_one_not_set_is_null(runs_of):
    plain = {"schema.optim": "sgd", "optim": {"learning_rate": 0.001}}
    runs = runs_of(({}, {}), ({"optim.beta1": None}, {}), (plain, {}))
    assert [row["optim.beta1"] for row in table(compare(runs))] == [0.9, "null", None]


def test_csv_has_unrounded_fractions_and_empty_cells(runs_of):
    rows = table(compare(runs_of(({"seed": 1}, {"test/accuracy": 0.123456789, "best_epoch": None}), ({}, {}))))
    first = next(csv.DictReader(as_csv(rows).splitlines()))
    assert (first["run"], first["seed"], first["test/accuracy"], first["best_epoch"]) == ("0", "1", "0.123456789", "")


def test_markdown_keeps_its_columns_whatever_a_cell_holds():
    text = as_markdown(["a", "b"], [["x|y", "<b>\nz"]])
    assert text == "| a | b |\n| --- | --- |\n| x\\|y | &lt;b> z |\n"


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("test/accuracy", 0.86904, "86.90%"),
        ("test/accuracy", None, "–"),
        ("val/loss best", 0.34055, "0.3406"),
        ("test/loss", math.nan, "not finite"),
        ("test/accuracy", Spread(0.9562, 0.0027, 4), "95.62 ± 0.27%"),
        ("test/loss", Spread(0.25, 0.0125, 4), "0.2500 ± 0.0125"),
        ("test/loss", Spread(0.25, None, 1), "0.2500"),
        ("seconds", 17.26, "17.3 s"),
        ("seconds", 600.0, "10 min"),
        ("seconds", 9000.0, "2 h 30 min"),
        ("parameters", 795010, "795,010"),
        ("samples_per_second", None, "–"),
        ("optim.learning_rate", 0.0003, "0.0003"),
        ("optim.epsilon", 1e-8, "1e-08"),
        ("best_epoch", None, "–"),
    ],
)
def test_values_are_shown_as_people_read_them(column, value, text):
    assert shown(column, value) == text


def test_a_layer_is_shown_as_it_is_typed_without_what_is_not_set(runs_of):
    layer = {"units": 256, "activation": "tanh", "dropout": None}
    runs = runs_of(({"model.hidden": [layer, 64]}, {}), ({}, {}))
    assert [row["model.hidden"] for row in table(compare(runs))] == ["[{units: 256, activation: tanh}, 64]", "[64]"]


def test_labels_are_as_short_as_they_can_be_told_apart(runs_of):
    other = {"optim.learning_rate": 0.1, "model.hidden": [9], "data.hidden": 1, "optim.decay": 1}
    comparison = compare(runs_of(({"data.hidden": 0, "optim.decay": 0}, {}), (other, {})))
    assert comparison.label(comparison.groups[1]) == [
        "data.hidden=1", "model.hidden=[9]", "learning_rate=0.1", "decay=1",
    ]  # fmt: skip


def at_best(tmp_path, name, accuracy, settings, **changes):
    epochs = [{"epoch": 1, "val/accuracy": accuracy}, {"epoch": 2, "val/accuracy": accuracy - 0.2}]
    return read_run(write_run(tmp_path / name, settings, epochs, **changes))


def test_the_best_settings_are_those_whose_seeds_have_the_highest_mean_in_validation(tmp_path):
    lucky = [at_best(tmp_path, f"a{seed}", value, {"seed": seed}) for seed, value in enumerate([0.95, 0.65])]
    steady = [
        at_best(tmp_path, f"b{seed}", value, {"seed": seed, "model.dropout": 0.5}, overrides=["model.dropout=0.5"])
        for seed, value in enumerate([0.85, 0.86])
    ]
    found = best(compare([*lucky, *steady]))
    assert found.words == "val/accuracy 85.50%, mean of 2 seeds"
    assert found.command == "python train.py model.dropout=0.5"


def test_runs_without_an_epoch_have_no_best(tmp_path):
    assert best(compare([read_run(write_run(tmp_path / "a", epochs=[]))])) is None


def test_the_command_of_a_run_is_quoted_for_the_shell_and_runs_it_alone(tmp_path):
    overrides = ["+experiment=mlp/depth", "model.hidden=[8,4]"]
    run = read_run(write_run(tmp_path / "a", overrides=overrides))
    assert command(run.result) == "python train.py +experiment=mlp/depth 'model.hidden=[8,4]' hydra.mode=RUN"
