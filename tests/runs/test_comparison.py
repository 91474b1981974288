"""What varies, what repeats and what became of it, on cases worked out by hand."""

import csv
import math

import pytest
from folders import EPOCHS, SETTINGS, nested, write_run

from dlproj.reports.comparison_table import as_csv, as_markdown, best, command, repetitions, same_runs, shown, table
from dlproj.runs.comparison import Spread, best_value, compare, varied_settings
from dlproj.runs.record import read_run


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
        "model.dropout",
        "optim.learning_rate",
        "seed",
    ]


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


def test_settings_of_layers_are_empty_for_a_network_of_the_users_own_which_makes_its_own(runs_of):
    """The settings of such a run have them, too: at their defaults, which nothing reads."""
    own = {"schema.model": "custom", "model.network": "net.py:Net", "model.hidden": [], "model.dropout": 0.0}
    many = [{"model.hidden": [64]}, {"model.hidden": [8], "model.dropout": 0.5}, own]
    comparison = compare(runs_of(*((settings, {}) for settings in many)))
    assert comparison.varied == ["model", "model.hidden", "model.dropout"]
    assert comparison.groups[-1].settings == {"model": "custom", "model.dropout": "", "model.hidden": ""}
    assert comparison.values("model.hidden") == [[64], [8], None]
    rows = {row["model"]: row for row in table(comparison)}
    assert (rows["custom"]["model.hidden"], rows["custom"]["model.dropout"]) == (None, None)
    assert varied({}, own) == ["model"]


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
    assert (row["seeds"], row["tested"], shown("test/accuracy", row["test/accuracy"])) == (2, 1, "83.33%")


def test_a_row_has_the_best_and_the_last_value_of_each_metric(runs_of):
    (row,) = table(compare(runs_of(({}, {}))))
    assert (row["val/loss best"], row["val/loss last"]) == (0.5, 0.75)
    assert (row["val/accuracy best"], row["val/accuracy last"]) == (0.875, 0.875)
    assert (row["best_epoch"], row["last_epoch"]) == (1, 2)


def test_the_best_value_passes_over_what_is_not_finite(tmp_path):
    epochs = [*EPOCHS, {"epoch": 3, "val/loss": "nan"}, {"epoch": 4, "val/loss": "-inf"}]
    run = read_run(write_run(tmp_path / "run", epochs=epochs))
    assert best_value(run, "val/loss") == (0.5, 1)
    assert best_value(run, "val/macro_f1") == (None, None)


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
    first = next(row for row in csv.DictReader(as_csv(rows).splitlines()) if row["run"] == "0")
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
        ("val/loss best epoch", 3, "3"),
        ("val/loss tested", Spread(0.25, 0.0125, 4), "0.2500 ± 0.0125"),
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
    other = {"optim.learning_rate": 0.1, "model.hidden": [9], "data.hidden": 1, "optim.alpha": 1}
    comparison = compare(runs_of(({"data.hidden": 0, "optim.alpha": 0}, {}), (other, {})))
    assert comparison.label(comparison.groups[1]) == [
        "data.hidden=1",
        "model.hidden=[9]",
        "learning_rate=0.1",
        "alpha=1",
    ]


def at_best(tmp_path, name, accuracy, settings, **changes):
    """A run whose tested weights are those of epoch 1, with this val/accuracy."""
    epochs = [{"epoch": 1, "val/accuracy": accuracy}, {"epoch": 2, "val/accuracy": accuracy - 0.2}]
    tested = {"monitor": "val/accuracy", "tested_weights": "best", "best_epoch": 1}
    return read_run(write_run(tmp_path / name, settings, epochs, **tested | changes))


def test_the_best_settings_are_those_whose_seeds_have_the_highest_mean_in_validation(tmp_path):
    lucky = [at_best(tmp_path, f"a{seed}", value, {"seed": seed}) for seed, value in enumerate([0.95, 0.65])]
    steady = [
        at_best(tmp_path, f"b{seed}", value, {"seed": seed, "model.dropout": 0.5}, overrides=["model.dropout=0.5"])
        for seed, value in enumerate([0.85, 0.86])
    ]
    found = best(compare([*lucky, *steady]))
    assert found.words == "val/accuracy 85.50%, mean of 2 seeds; test accuracy 83.33 ± 0.00%, of the best weights"
    assert found.command == "python train.py model.dropout=0.5"


def with_losses(tmp_path, name, losses, settings, **changes):
    """A run with this val/loss in each epoch; val/accuracy is 1 - val/loss, and the last weights were tested."""
    epochs = [
        {"epoch": place, "val/loss": loss, "val/accuracy": 1 - loss} for place, loss in enumerate(losses, start=1)
    ]
    fields = {"last_epoch": len(losses), "best_epoch": losses.index(min(losses)) + 1}
    return read_run(write_run(tmp_path / name, settings, epochs, **fields | changes))


def test_validation_chooses_and_the_test_of_what_it_chose_is_told(tmp_path):
    runs = [
        with_losses(tmp_path, "a", [0.4, 0.3], {"model.dropout": 0.1}, **{"test/accuracy": 0.8}),
        with_losses(tmp_path, "b", [0.5, 0.4], {"model.dropout": 0.2}, **{"test/accuracy": 0.95}),
    ]
    assert best(compare(runs)).words == "val/loss 0.3000; test accuracy 80.00%, of the last weights (epoch 2)"


def test_a_good_epoch_whose_weights_were_not_tested_chooses_nothing(tmp_path):
    passing = with_losses(tmp_path, "a", [0.1, 0.6], {"model.dropout": 0.1}, overrides=["passing"])
    steady = with_losses(tmp_path, "b", [0.4, 0.3], {"model.dropout": 0.2}, overrides=["steady"])
    assert best(compare([passing, steady])).command == "python train.py steady"
    passing.result.tested_weights = "best"
    assert best(compare([passing, steady])).command == "python train.py passing"


def test_a_row_says_of_which_epoch_each_figure_is(tmp_path):
    (row,) = table(compare([with_losses(tmp_path, "a", [0.4, 0.1, 0.6], {})]))
    tested = [row[key] for key in ("tested_epoch", "val/loss tested", "val/loss best", "val/loss best epoch")]
    assert tested == [3, 0.6, 0.1, 2]
    restored = with_losses(tmp_path, "b", [0.4, 0.1, 0.6], {}, tested_weights="best")
    (row,) = table(compare([restored]))
    assert (row["tested_epoch"], row["val/loss tested"]) == (2, 0.1)


@pytest.mark.parametrize("status", ["pruned", "diverged", "failed", "interrupted", "running"])
def test_a_run_that_has_not_come_to_its_end_is_never_the_best(tmp_path, status):
    ended = with_losses(tmp_path, "a", [0.4, 0.3], {"model.dropout": 0.1}, overrides=["ended"])
    other = with_losses(tmp_path, "b", [0.2, 0.1], {"model.dropout": 0.2}, status=status)
    assert best(compare([other, ended])).command == "python train.py ended"
    assert best(compare([other])) is None
    assert [row["run"] for row in table(compare([other, ended]))] == ["a", "b"]


def test_the_table_has_the_best_by_validation_first(tmp_path):
    runs = [
        with_losses(tmp_path, f"{number}", [loss], {"model.dropout": number / 10}, **{"test/accuracy": loss})
        for number, loss in enumerate([0.5, 0.2, 0.9, 0.3])
    ]
    assert [row["run"] for row in table(compare(runs))] == ["1", "3", "0", "2"]


def test_runs_that_monitor_different_metrics_are_chosen_by_val_accuracy(tmp_path):
    runs = [
        with_losses(tmp_path, f"{place}", [0.5], {"seed": place}, monitor=name)
        for place, name in enumerate(("val/loss", "val/macro_f1"))
    ]
    assert compare(runs[:1]).chooses == "val/loss"
    assert compare(runs).chooses == "val/accuracy"


@pytest.mark.parametrize(
    ("text", "chooses"),
    [
        ("hydra: {sweeper: {objectives: [val/macro_f1, parameters]}}", "val/macro_f1"),
        ("hydra: {sweeper: {objectives: [seconds]}}", "seconds"),
        ("hydra: {sweeper: {max_batch_size: null}}", "val/loss"),  # not a search
        ("hydra: {sweeper: {objectives: [test/accuracy]}}", "val/loss"),
        ("hydra: {sweeper: {objectives: 3}}", "val/loss"),
        ("- damaged", "val/loss"),
    ],
)
def test_the_runs_of_a_search_are_chosen_by_its_objective(tmp_path, text, chooses):
    for name in ("search/0", "search/relu/seeds/0"):  # as hydra.sweep.subdir may have it
        run = with_losses(tmp_path, name, [0.5], {})
        (tmp_path / "search/multirun.yaml").write_text(text)
        assert compare([run]).chooses == chooses


def test_what_is_counted_is_the_better_the_smaller(tmp_path):
    (tmp_path / "multirun.yaml").write_text("hydra: {sweeper: {objectives: [parameters]}}")
    runs = [with_losses(tmp_path, f"{size}", [0.5], {"model.hidden": [size]}, parameters=size) for size in (9, 7, 8)]
    comparison = compare(runs)
    assert [row["run"] for row in table(comparison)] == ["7", "8", "9"]
    assert best(comparison).score == "parameters 7"


def test_the_same_settings_and_seed_twice_are_one_repetition(tmp_path):
    runs = [
        with_losses(tmp_path, f"{place}", [0.5], {"seed": seed, "name": f"{place}"}, **{"test/accuracy": accuracy})
        for place, (seed, accuracy) in enumerate([(1, 0.9), (1, 0.9), (2, 0.8)])
    ]
    comparison = compare(runs)
    (row,) = repetitions(comparison)
    assert (row["seeds"], row["tested"]) == (2, 2)
    assert row["test/accuracy"] == Spread(pytest.approx(0.85), pytest.approx(0.1 / math.sqrt(2)), 2)
    assert "mean of 2 seeds" in best(comparison).words
    assert same_runs(comparison) == "2 runs of the same settings and seed count as one: 0, 1"


def test_one_seed_twice_is_no_mean_and_no_spread(tmp_path):
    comparison = compare([with_losses(tmp_path, f"{place}", [0.5], {"seed": 1}) for place in range(2)])
    assert not comparison.repeats
    assert "mean" not in best(comparison).words
    assert comparison.groups[0].spread("test/accuracy") == Spread(0.8333, None, 1)


def test_a_seed_that_did_not_come_to_its_end_has_no_part_in_the_best_and_is_counted(tmp_path):
    runs = [
        with_losses(tmp_path, f"{seed}", [loss], {"seed": seed}, status=status, overrides=[f"seed={seed}"])
        for seed, (loss, status) in enumerate([(0.1, "diverged"), (0.4, "completed"), (0.5, "completed")])
    ]
    runs[0].result.metrics["test/accuracy"] = 0.1
    assert best(compare(runs)).words == (
        "val/loss 0.4500, mean of 2 of 3 seeds; test accuracy 83.33 ± 0.00%, of the last weights"
    )
    alone = best(compare(runs[:2]))
    assert alone.words == "val/loss 0.4000, 1 of 2 seeds; test accuracy 83.33%, of the last weights (epoch 1)"
    assert alone.command == "python train.py seed=1"


def test_of_the_runs_of_one_seed_the_first_that_was_tested_counts(tmp_path):
    runs = [
        with_losses(tmp_path, "a", [0.5], {"seed": 1}, status="failed", **{"test/accuracy": None}),
        with_losses(tmp_path, "b", [0.5], {"seed": 1}, **{"test/accuracy": 0.75}),
    ]
    assert compare(runs).groups[0].spread("test/accuracy") == Spread(0.75, None, 1)


def test_of_the_runs_of_one_seed_one_that_was_completed_counts_before_one_that_diverged(tmp_path):
    runs = [
        with_losses(tmp_path, "a", [9.0], {"seed": 1}, status="diverged", **{"test/accuracy": 0.1}),
        with_losses(tmp_path, "b", [0.75], {"seed": 1}, **{"test/accuracy": 0.5}),
        with_losses(tmp_path, "c", [0.9], {"seed": 1, "model.hidden": [9]}),
    ]
    assert best(compare(runs)).words.startswith("val/loss 0.7500")


def test_a_users_own_images_in_another_folder_are_other_data(tmp_path):
    settings = {"schema": {"data": "image_folder", "model": "mlp", "optim": "adam"}}
    runs = [with_losses(tmp_path, one, [0.5], settings | {"data.root": f"/{one}"}) for one in ("cats", "dogs")]
    assert compare(runs).varied == ["data.root"]
    assert same_runs(compare(runs)) == ""


def test_runs_without_an_epoch_have_no_best(tmp_path):
    assert best(compare([read_run(write_run(tmp_path / "a", epochs=[]))])) is None


def test_the_command_of_a_run_is_quoted_for_the_shell_and_runs_it_alone(tmp_path):
    overrides = ["+experiment=mlp/depth", "model.hidden=[8,4]"]
    run = read_run(write_run(tmp_path / "a", overrides=overrides))
    assert command(run.result) == "python train.py +experiment=mlp/depth 'model.hidden=[8,4]' hydra.mode=RUN"
