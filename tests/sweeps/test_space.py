"""What a search may choose from, as Hydra's grammar writes it."""

import pytest

from dlproj.config.checks import ConfigurationError
from dlproj.sweeps.space import Parameter, Space

optuna = pytest.importorskip("optuna")
Categorical = optuna.distributions.CategoricalDistribution
Int = optuna.distributions.IntDistribution
Float = optuna.distributions.FloatDistribution
FixedTrial = optuna.trial.FixedTrial


def parameters(params):
    return [setting.items[0] for setting in Space(params, []).settings]


def test_each_form_of_hydras_grammar_becomes_a_parameter():
    found = parameters(
        {
            "data.batch_size": "32,64",
            "model.activation": "choice(relu,tanh)",
            "model.hidden": "[256],[128,64]",
            "trainer.max_epochs": "range(5,21)",
            "model.units": "range(64,513,64)",
            "model.dropout": "range(0,0.5,0.25)",
            "optim.momentum": "interval(0.1,0.9)",
            "optim.learning_rate": "tag(log,interval(1e-3,0.2))",
            "model.inputs": "tag(int,interval(1,9))",
            "data.length": "tag(int,interval(1.5,9.5))",
        }
    )
    assert found == [
        Parameter("data.batch_size", Categorical((32, 64))),
        Parameter("model.activation", Categorical(("relu", "tanh"))),
        Parameter("model.hidden", Categorical(("[256]", "[128,64]"))),
        Parameter("trainer.max_epochs", Int(5, 20)),  # as in Hydra's own sweeps, the end is not reached
        Parameter("model.units", Int(64, 512, step=64)),
        Parameter("model.dropout", Categorical((0, 0.25))),
        Parameter("optim.momentum", Float(0.1, 0.9)),
        Parameter("optim.learning_rate", Float(0.001, 0.2, log=True)),
        Parameter("model.inputs", Int(1, 9)),
        Parameter("data.length", Int(2, 9)),  # within the interval
    ]


def test_the_number_of_layers_decides_how_many_widths_are_chosen():
    space = Space({"model.hidden": {"length": "range(1,4)", "each": "range(64,513,64)"}}, [])
    values = {"model.hidden.length": 2, "model.hidden[0]": 512, "model.hidden[1]": 64}
    assert space.suggest(FixedTrial(values)) == ["model.hidden=[512,64]"]


def test_a_setting_that_depends_on_another_is_left_out_where_that_has_another_value():
    space = Space({"optim": "sgd,momentum", "optim.momentum": {"space": "0.5,0.9", "when": {"optim": "momentum"}}}, [])
    assert space.suggest(FixedTrial({"optim": "sgd"})) == ["optim=sgd"]
    assert space.suggest(FixedTrial({"optim": "momentum", "optim.momentum": 0.9})) == [
        "optim=momentum",
        "optim.momentum=0.9",
    ]


def test_a_setting_may_depend_on_what_is_typed_once_for_all():
    params = {"optim.momentum": {"space": "0.5,0.9", "when": {"optim": ["momentum", "nesterov"]}}}
    assert Space(params, ["optim=sgd"]).suggest(FixedTrial({})) == []
    assert Space(params, ["optim=nesterov"]).suggest(FixedTrial({"optim.momentum": 0.5})) == ["optim.momentum=0.5"]


def test_a_grid_has_each_combination_once_and_none_of_what_does_not_apply():
    params = {
        "optim": "sgd,momentum",
        "optim.momentum": {"space": "0.5,0.9", "when": {"optim": "momentum"}},
        "model.hidden": {"length": "1,2", "each": "3,4"},
    }
    points = Space(params, []).grid()
    assert len(points) == len({tuple(point.items()) for point in points}) == (1 + 2) * (2 + 4)
    assert {"optim": "sgd", "model.hidden.length": 1, "model.hidden[0]": 3} in points
    assert not any(point["optim"] == "sgd" and "optim.momentum" in point for point in points)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "a search needs something to choose from: SETTING="),
        ({"seed": "1"}, "seed=1 leaves nothing to choose: write "),
        ({"seed": "range(3,3)"}, r"seed=range\(3,3\) is empty"),
        ({"seed": "tag(int,interval(1.2,1.8))"}, "holds no whole number"),
        ({"optim.learning_rate": "interval(2,1)"}, "is empty: set a lower and a higher number"),
        ({"optim.learning_rate": "tag(log,interval(0,1))"}, "set a lower and a higher number above 0"),
        ({"seed": "choice("}, r"seed=choice\( cannot be read: write SETTING="),
        ({"model.hidden": {"each": "1,2"}}, "model.hidden is described by each: set space, or length and each"),
        (
            {"a": {"space": "1,2", "when": {"b": 1}}, "b": "1,2"},
            "a depends on b, which is not set before it: put b first",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(params, message):
    with pytest.raises(ConfigurationError, match=message) as raised:
        Space(params, [])
    assert "\n" not in str(raised.value)


def test_a_grid_of_an_interval_has_no_end_and_says_so():
    with pytest.raises(
        ConfigurationError, match=r"a grid has no end with seed=interval\(…\): give it choices or a range"
    ):
        Space({"seed": "interval(1,2)"}, []).grid()
