"""What a document reports of a run, found by the value of a swept setting."""

import math

import pytest

from dlproj.config.checks import ConfigurationError
from dlproj.config.reference import ReferenceConfig, distance, unmatched

SETTINGS = {"model": {"hidden": [256, 128], "activation": "relu"}, "optim": {"learning_rate": 0.001}, "seed": 0}


def test_a_figure_holds_for_every_run_and_null_is_none():
    reference = ReferenceConfig(reported={"test/accuracy": 0.5, "parameters": 10, "val/accuracy": None})
    assert reference.figures(SETTINGS) == {"test/accuracy": 0.5, "parameters": 10.0}


@pytest.mark.parametrize(
    ("by", "figures"),
    [
        ("optim.learning_rate", {0.01: 0.1, 0.001: 0.2}),
        ("optim.learning_rate", {"1.0e-3": 0.2, 1: 0.3}),
        ("model.hidden", {"[256]": 0.1, "[256, 128]": 0.2}),
        ("model.activation", {"relu": 0.2, "tanh": 0.3}),
        ("seed", {0: 0.2}),
    ],
)
def test_a_swept_figure_is_found_by_the_value_of_the_setting(by, figures):
    assert ReferenceConfig(by=by, reported={"x": figures}).figures(SETTINGS) == {"x": 0.2}


def test_a_value_without_a_figure_has_none():
    assert ReferenceConfig(by="model.activation", reported={"x": {"elu": 0.2}}).figures(SETTINGS) == {}
    assert ReferenceConfig(by="model.nothing.below", reported={"x": {"elu": 0.2}}).figures(SETTINGS) == {}


def test_a_reason_is_found_as_a_figure_is():
    reference = ReferenceConfig(by="seed", reasons={"x": {0: "one run", 1: "two"}, "y": "whatever the seed"})
    assert reference.reason("x", SETTINGS) == "one run"
    assert reference.reason("x", {"seed": 2}) == ""
    assert reference.reason("y", SETTINGS) == "whatever the seed"
    assert reference.reason("z", SETTINGS) == ""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"reported": {"x": {0.1: 0.5}}}, "reference.reported.x differs by the value of a setting: set reference.by"),
        ({"reported": {"x": "high"}}, "reference.reported.x=high is not a figure: set a number"),
        ({"reported": {"x": True}}, "reference.reported.x=True is not a figure"),
        ({"reported": {"x": [0.5]}}, "is not a figure"),
        ({"reasons": {"x": {0.1: "so"}}}, "reference.reasons.x differs by the value of a setting: set reference.by"),
        ({"reasons": {"x": 5}}, "reference.reasons.x=5 is not a reason: set words"),
        ({"curves": {"test/loss": [1]}}, "reference.curves=test/loss must be one of train/loss, "),
        ({"curves": {"val/loss": 0.5}}, "reference.curves.val/loss=0.5 is not a curve: set a list of numbers"),
        ({"curves": {"val/loss": ["low"]}}, "reference.curves.val/loss: low is not a figure: set a list of numbers"),
        ({"curves": {"val/loss": [True]}}, "reference.curves.val/loss: True is not a figure"),
        ({"curves": {"val/loss": [0.5, 0]}}, r"reference.curves.val/loss=0 must be in \(0, inf\)"),
        ({"curves": {"val/accuracy": [85.7]}}, r"val/accuracy=85.7 must be in \[0, 1\]"),
        ({"curves": {"val/loss": {0.1: [0.5]}}}, "reference.curves.val/loss differs by the value of a setting: set"),
        ({"by": "seed", "curves": {"val/loss": {0: 0.5}}}, "reference.curves.val/loss=0.5 is not a curve"),
    ],
)
def test_what_is_no_figure_or_no_reason_is_refused(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        ReferenceConfig(**wrong)


def test_a_curve_is_found_by_the_value_of_the_setting_and_counts_epochs_from_1():
    curves = {"val/loss": {0.001: [0.5, None, 0.25], 0.01: [2]}, "train/accuracy": [None, 1]}
    reference = ReferenceConfig(by="optim.learning_rate", curves=curves)
    assert reference.curves_of(SETTINGS) == {"val/loss": {1: 0.5, 3: 0.25}, "train/accuracy": {2: 1.0}}
    assert reference.curves_of({"optim": {"learning_rate": 0.1}}) == {"train/accuracy": {2: 1.0}}


def test_the_distance_is_worked_out_by_hand():
    curves = {"train/loss": {1: 1.0, 2: 0.5}, "val/accuracy": {1: 0.9, 2: 0.9}}
    epochs = {1: {"train/loss": math.e, "val/accuracy": 0.7}, 2: {"train/loss": 0.5, "val/accuracy": 0.9}}
    assert distance(curves, epochs) == pytest.approx(math.sqrt((1 + 0 + 4 + 0) / 4))


def test_what_the_run_does_not_have_counts_one_each():
    curves = {"train/loss": {1: 1.0, 2: 0.5}, "train_eval/accuracy": {1: 0.9, 2: 0.9}}
    assert distance(curves, {1: {"train/loss": 1.0}}) == pytest.approx(math.sqrt(3 / 4))
    assert distance(curves, {}) == 1


@pytest.mark.parametrize("loss", [math.nan, math.inf, 0.0, 1e30, 1e-30])
def test_a_loss_that_is_not_finite_or_far_off_counts_ten(loss):
    assert distance({"val/loss": {1: 1.0}}, {1: {"val/loss": loss}}) == 10


def test_without_a_reported_number_there_is_no_distance():
    assert distance({}, {1: {"val/loss": 1.0}}) is None


def test_what_a_run_has_nothing_to_set_beside_is_said():
    curves = {"train_eval/accuracy": {1: 0.5}, "val/loss": {20: 0.5}, "val/accuracy": {1: 0.5}}
    row = {"val/loss": 1.0, "val/accuracy": 0.5}
    assert unmatched(curves, dict.fromkeys(range(1, 11), row)) == [
        "reported: train_eval/accuracy, which the run did not log: set trainer.evaluate_train=true",
        "reported up to epoch 20: val/loss; the run ended after 10",
    ]
    assert unmatched({"val/accuracy": {1: 0.5}}, {1: row, 2: row}) == []
