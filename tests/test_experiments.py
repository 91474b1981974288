"""Every experiment of the five documents is a file that composes, counts its parameters and knows its figures."""

import math
import re

import pytest
import yaml

from dlproj import experiments
from dlproj.experiments import CONF, composing, names, no_experiment, points, select
from dlproj.reproduce.claims import CLAIMS
from dlproj.settings import ConfigurationError

ROWS = {  # of the documents' tables, with the number of settings that each goes through
    "lab2": {
        "survey": 1, "plain": 1, "regularized": 1, "l1": 1, "init_zeros": 1, "init_ones": 1, "ones": 1, "sgd": 1,
        "momentum": 1, "rmsprop": 1, "adam_slow": 1, "l1_rmsprop": 1, "l1_adam": 1, "batch8": 1, "early_stopping": 1,
        "patience2": 1, "cifar10_plain": 1, "cifar10_l1": 1, "cifar10_patience2": 1, "dense_layer": 1,
    },
    "lab4": {"simple_rnn": 1, "simple_rnn_2": 1, "lstm": 1, "lstm_2": 1, "gru": 1},
    "lab5": {
        "samples": 1, "sgd_raw": 1, "sgd_scaled": 1, "batch32": 1, "batch10000": 1, "sgd10": 1, "adam10": 1,
        "lr_scaled": 3, "lr_raw": 3, "weight_histograms": 6,
    },
    "regularization": {"baseline": 1, "dropout": 1, "l2": 1, "batch_norm": 1, "altogether": 1, "gallery": 1},
    "mlp": {
        "base": 1, "hidden_units": 8, "depth": 3, "single_neuron": 1, "learning_rate_10": 6, "learning_rate_20": 6,
        "random_search": 5, "activations": 5, "initializations": 3, "batch_size": 7,
    },
}  # fmt: skip
COUNTS = {  # as the documents give them
    "lab2/plain": 623_290,
    "lab4/simple_rnn": 40_802,
    "lab4/simple_rnn_2": 121_002,
    "lab4/lstm": 11_602_354,
    "lab4/lstm_2": 11_669_922,
    "lab4/gru": 11_537_154,
}


@pytest.fixture(scope="module")
def all_points():
    with composing():
        return {name: points(name) for name in names()}


def test_every_row_of_the_documents_is_an_experiment(all_points):
    for suite, rows in ROWS.items():
        assert {name: len(all_points[f"{suite}/{name}"]) for name in rows} == rows


@pytest.mark.parametrize("name", names())
def test_a_file_says_in_one_line_what_it_reproduces_and_holds_few_settings(name):
    lines = (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert re.fullmatch(r"# .{9,}", lines[1])
    assert not lines[2].startswith("#")
    assert len(lines) < 40


@pytest.mark.parametrize("name", names())
def test_every_point_is_named_and_has_the_figure_that_is_reported_of_it(name, all_points):
    found = all_points[name]
    labels = [point.label for point in found]
    assert len(set(labels)) == len(labels)
    assert all(labels) or labels == [""]
    swept = [quantity for quantity, figure in found[0].config.reference.reported.items() if isinstance(figure, dict)]
    for point in found:
        reference = point.config.reference
        assert re.fullmatch(r"\d{3}_[0-9a-f]{16}", reference.document)
        assert reference.place
        figures = reference.figures(point.config.settings())
        assert set(swept) <= set(figures)
        assert all(math.isfinite(figure) for figure in figures.values())


def test_every_figure_reported_for_a_value_belongs_to_a_point(all_points):
    for found in all_points.values():
        reported = found[0].config.reference.reported
        for quantity, figure in reported.items():
            if isinstance(figure, dict):
                assert len({point.label for point in found}) == len(figure), quantity


def test_every_claim_has_a_check_and_every_check_a_claim(all_points):
    claimed = {claim for found in all_points.values() for point in found for claim in point.config.reference.claims}
    assert claimed == set(CLAIMS)


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_those_that_the_document_counts(name, all_points):
    (point,) = all_points[name]
    config = point.config
    model = config.model.build(config.data.spec(), config.optim, config.scheduler)
    assert model.parameter_count() == COUNTS[name]
    assert config.reference.figures(config.settings()).get("parameters") in (COUNTS[name], None)


def test_a_name_stands_for_itself_and_a_suite_for_all_of_its_experiments():
    known = ["lab4/gru", "lab4/lstm", "mlp/base"]
    assert select([], known) == known
    assert select(["mlp/base", "lab4"], known) == known
    assert select(["lab4/lstm"], known) == ["lab4/lstm"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lab4/lsmt", "lab4/lsmt is no experiment: did you mean lab4/lstm"),
        ("lab9", "lab9 is no experiment: did you mean lab"),
        ("mlp/activation", "did you mean mlp/activations"),
        ("?", "? is no experiment: set one of lab2/adam_slow, "),
    ],
)
def test_an_unknown_experiment_lists_the_near_names(name, words):
    with pytest.raises(ConfigurationError) as refused:
        select([name], names())
    assert words in str(refused.value)


def test_what_several_experiments_share_is_none_itself():
    assert not [name for name in names() if "_base" in name or "_shared" in name]
    assert "lab4/_base" not in no_experiment("lab4/bas", names())


def test_without_a_checkout_there_are_no_experiments(monkeypatch, tmp_path):
    monkeypatch.setattr(experiments, "CONF", tmp_path)
    with pytest.raises(ConfigurationError, match="install dlproj from a checkout"):
        names()


def test_a_sweep_of_an_experiment_needs_no_m(all_points):
    for name, found in all_points.items():
        written = yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text()).get("hydra", {})
        if "sweeper" in written:
            assert written["mode"] == "MULTIRUN"
            assert len(found) > 1
