"""The description of layers: widths, mappings, what they take over from the model, and what is refused."""

import re

import pytest
import torch

from dlproj.models.activations import Activation
from dlproj.models.initializers import Initializer, InitializerConfig
from dlproj.models.layers import DenseConfig, OutputConfig, describe, describe_output, linear, linear_penalties
from dlproj.models.mlp import MLPConfig
from dlproj.models.recurrent import RecurrentConfig
from dlproj.models.rnn import RNNConfig
from dlproj.settings import ConfigurationError

MODEL = MLPConfig(
    activation=Activation.tanh,
    weight_initializer=InitializerConfig(Initializer.constant, value=2.0),
    weight_l1=0.1,
    weight_l2=0.2,
    bias_l1=0.3,
    bias_l2=0.4,
    dropout=0.5,
    batch_norm=True,
)


def test_a_width_is_a_layer_that_is_as_the_model_says():
    expected = DenseConfig(
        activation=Activation.tanh,
        weight_initializer=InitializerConfig(Initializer.constant, value=2.0),
        weight_l1=0.1,
        weight_l2=0.2,
        bias_l1=0.3,
        bias_l2=0.4,
        dropout=0.5,
        units=7,
        batch_norm=True,
    )
    assert describe(DenseConfig, [7], MODEL) == [expected]
    assert describe(DenseConfig, [{"units": 7}], MODEL) == [expected]


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("activation", "relu", Activation.relu),
        ("weight_l1", 0, 0.0),
        ("weight_l2", 0.7, 0.7),
        ("bias_l1", 0.7, 0.7),
        ("bias_l2", "0.7", 0.7),
        ("dropout", 0.0, 0.0),
        ("batch_norm", False, False),
        ("weight_initializer", {"name": "normal", "std": 3}, InitializerConfig(Initializer.normal, std=3.0)),
        ("bias_initializer", {"name": "ones"}, InitializerConfig(Initializer.ones)),
    ],
)
def test_a_layer_of_its_own_differs_in_that_alone(name, given, expected):
    own, shared = describe(DenseConfig, [{"units": 7, name: given}, 7], MODEL)
    assert getattr(own, name) == expected
    assert getattr(shared, name) != expected
    setattr(own, name, getattr(shared, name))
    assert own == shared


def test_recurrent_settings_are_taken_over_too():
    model = RNNConfig(recurrent_l1=0.1, recurrent_l2=0.2, input_dropout=0.3)
    one, other = describe(RecurrentConfig, [4, {"units": 5, "recurrent_l2": 0.0}], model)
    assert (one.units, one.recurrent_l1, one.recurrent_l2, one.input_dropout) == (4, 0.1, 0.2, 0.3)
    assert (other.units, other.recurrent_l1, other.recurrent_l2, other.input_dropout) == (5, 0.1, 0.0, 0.3)


def test_describing_a_layer_leaves_the_settings_as_they_were():
    entry = {"units": 7, "weight_initializer": {"name": "normal", "std": 3.0}}
    describe(DenseConfig, [entry], MODEL)[0].weight_initializer.std = 9.0
    assert entry == {"units": 7, "weight_initializer": {"name": "normal", "std": 3.0}}
    describe(DenseConfig, [7], MODEL)[0].weight_initializer.value = 9.0
    assert MODEL.weight_initializer.value == 2.0


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (True, "model.hidden[1]=True is no layer: set a width such as 256, or settings such as {units: 256}"),
        (2.5, "model.hidden[1]=2.5 is no layer: set a width such as 256, or settings such as {units: 256}"),
        ([3], "model.hidden[1]=[3] is no layer: set a width such as 256, or settings such as {units: 256}"),
        (None, "model.hidden[1]=None is no layer: set a width such as 256, or settings such as {units: 256}"),
        ({"dropout": 0.1}, "model.hidden[1] has no width: set model.hidden[1].units"),
        (0, "model.hidden[1].units=0 is impossible: set a value in [1, inf)"),
        ({"units": -3}, "model.hidden[1].units=-3 is impossible: set a value in [1, inf)"),
        (
            {"units": 3, "dropuot": 0.1},
            "model.hidden[1].dropuot is no setting: did you mean model.hidden[1].dropout?",
        ),
        (
            {"units": 3, "weight_initializer": {"name": "normal", "sdt": 0.1}},
            "model.hidden[1].weight_initializer.sdt is no setting: "
            "did you mean model.hidden[1].weight_initializer.std?",
        ),
        ({"units": 3, "dropout": 1.0}, "model.hidden[1].dropout=1.0 is impossible: set a value in [0, 1)"),
        ({"units": 3, "weight_l1": -1.0}, "model.hidden[1].weight_l1=-1.0 is impossible: set a value in [0, inf)"),
        ({"units": 3, "bias_l2": float("nan")}, "model.hidden[1].bias_l2=nan is impossible: set a value in [0, inf)"),
        (
            {"units": 3, "weight_initializer": {"name": "normal"}},
            "model.hidden[1].weight_initializer.name=normal needs a number: set model.hidden[1].weight_initializer.std",
        ),
        (
            {"units": 3, "bias_initializer": {"name": "orthogonal"}},
            "model.hidden[1].bias_initializer.name=orthogonal needs a matrix: "
            "set zeros, ones, constant, normal, uniform or torch",
        ),
    ],
)
def test_what_is_no_layer_is_refused_by_its_place(entry, message):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        describe(DenseConfig, [4, entry], MLPConfig())


@pytest.mark.parametrize(("name", "value"), [("activation", "rleu"), ("dropout", "much"), ("batch_norm", 3.5)])
def test_a_value_of_the_wrong_type_is_refused_in_one_line(name, value):
    with pytest.raises(ConfigurationError) as caught:
        describe(DenseConfig, [{"units": 4, name: value}], MLPConfig())
    assert str(caught.value).startswith(f"model.hidden[0].{name}: ")
    assert str(value) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_checks_its_layers_and_its_own_settings():
    with pytest.raises(ConfigurationError, match=re.escape("model.hidden[0].units=0")):
        MLPConfig(hidden=[0])
    with pytest.raises(ConfigurationError, match=re.escape("model.dropout=1.5 is impossible: set a value in [0, 1)")):
        MLPConfig(dropout=1.5)
    with pytest.raises(ConfigurationError, match=re.escape("model.recurrent_l1=-0.1 is impossible")):
        RNNConfig(recurrent_l1=-0.1)
    with pytest.raises(ConfigurationError, match=re.escape("model.bias_initializer.name=he_normal needs a matrix")):
        MLPConfig(bias_initializer=InitializerConfig(Initializer.he_normal))


def test_the_output_layer_is_as_the_model_says_but_linear():
    output = describe_output(OutputConfig(), 3, MODEL)
    assert output == DenseConfig(
        activation=Activation.identity,
        weight_initializer=InitializerConfig(Initializer.constant, value=2.0),
        weight_l1=0.1,
        weight_l2=0.2,
        bias_l1=0.3,
        bias_l2=0.4,
        dropout=0.0,
        units=3,
        batch_norm=False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight_initializer", InitializerConfig(Initializer.normal, std=1.0)),
        ("bias_initializer", InitializerConfig(Initializer.ones)),
        ("weight_l1", 0.0),
        ("weight_l2", 0.7),
        ("bias_l1", 0.7),
        ("bias_l2", 0.0),
    ],
)
def test_the_output_layer_differs_where_it_says_so(name, value):
    own, shared = describe_output(OutputConfig(**{name: value}), 3, MODEL), describe_output(OutputConfig(), 3, MODEL)
    assert getattr(own, name) == value
    assert getattr(shared, name) != value
    setattr(own, name, getattr(shared, name))
    assert own == shared


def test_impossible_settings_of_the_output_layer_are_refused():
    output = OutputConfig(weight_l2=-1.0)
    message = "model.output.weight_l2=-1.0 is impossible: set a value in [0, inf)"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        describe_output(output, 3, MLPConfig())


def test_impossible_settings_of_the_output_layer_are_refused_with_the_settings():
    with pytest.raises(ConfigurationError, match=re.escape("model.output.weight_l2=-1.0 is impossible")):
        MLPConfig(output=OutputConfig(weight_l2=-1.0))


def test_linear_starts_as_the_layer_says():
    ones, half = InitializerConfig(Initializer.ones), InitializerConfig(Initializer.constant, value=0.5)
    module = linear(2, DenseConfig(units=3, weight_initializer=ones, bias_initializer=half))
    assert torch.equal(module.weight, torch.ones(3, 2))
    assert torch.equal(module.bias, torch.full((3,), 0.5))


def test_penalties_of_weights_and_biases_are_not_mixed_up():
    module = linear(2, DenseConfig(units=3))
    found = linear_penalties(module, DenseConfig(units=3, weight_l1=1.0, weight_l2=2.0, bias_l1=3.0, bias_l2=4.0))
    assert {one.parameter: (one.l1, one.l2) for one in found} == {"weight": (1.0, 2.0), "bias": (3.0, 4.0)}
