"""What a document reports of a run, found by the value of a swept setting."""

import pytest

from dlproj.results.reference import ReferenceConfig
from dlproj.settings import ConfigurationError

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
        ({"reported": {"x": "high"}}, "reference.reported.x=high is no figure: set a number"),
        ({"reported": {"x": True}}, "reference.reported.x=True is no figure"),
        ({"reported": {"x": [0.5]}}, "is no figure"),
        ({"reasons": {"x": {0.1: "so"}}}, "reference.reasons.x differs by the value of a setting: set reference.by"),
        ({"reasons": {"x": 5}}, "reference.reasons.x=5 is no reason: set words"),
    ],
)
def test_what_is_no_figure_or_no_reason_is_refused(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        ReferenceConfig(**wrong)
