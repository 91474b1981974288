"""The description of layers: widths, mappings, what they take over from the model, and what is refused."""

import re

import pytest
import torch

from dlproj.config.checks import ConfigurationError
from dlproj.config.layers import (
    Activation,
    DenseConfig,
    Initializer,
    InitializerConfig,
    LayerPart,
    OutputConfig,
    RecurrentConfig,
    describe,
    describe_output,
)
from dlproj.config.mlp import MLPConfig
from dlproj.config.rnn import RNNConfig
from dlproj.models.layers import linear, linear_penalties

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
        ("bias", False, False),
        (
            "order",
            ["linear", "activation", "dropout", "batch_norm"],
            [LayerPart.linear, LayerPart.activation, LayerPart.dropout, LayerPart.batch_norm],
        ),
        ("negative_slope", 0.2, 0.2),
        ("prelu_init", -1, -1.0),
        ("elu_alpha", 2, 2.0),
        ("swish_beta", 0, 0.0),
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
        (True, "model.hidden[1]=True is not a layer: set a width such as 256, or settings such as {units: 256}"),
        (2.5, "model.hidden[1]=2.5 is not a layer: set a width such as 256, or settings such as {units: 256}"),
        ([3], "model.hidden[1]=[3] is not a layer: set a width such as 256, or settings such as {units: 256}"),
        (None, "model.hidden[1]=None is not a layer: set a width such as 256, or settings such as {units: 256}"),
        ({"dropout": 0.1}, "model.hidden[1] has no width: set model.hidden[1].units"),
        (0, "model.hidden[1].units=0 must be in [1, inf)"),
        ({"units": -3}, "model.hidden[1].units=-3 must be in [1, inf)"),
        (
            {"units": 3, "dropuot": 0.1},
            "unknown setting model.hidden[1].dropuot: did you mean model.hidden[1].dropout?",
        ),
        (
            {"units": 3, "weight_initializer": {"name": "normal", "sdt": 0.1}},
            "unknown setting model.hidden[1].weight_initializer.sdt: "
            "did you mean model.hidden[1].weight_initializer.std?",
        ),
        (
            {"units": 3, "batch_norm": True, "order": ["linear", "activation"]},
            "model.hidden[1]: its order has no batch_norm: put batch_norm into order, or set batch_norm=false",
        ),
        (
            {"units": 3, "dropout": 0.1, "order": ["linear", "activation"]},
            "model.hidden[1]: its order has no dropout: put dropout into order, or set dropout=0",
        ),
        ({"units": 3, "negative_slope": -0.1}, "model.hidden[1].negative_slope=-0.1 must be in [0, inf)"),
        ({"units": 3, "prelu_init": float("inf")}, "model.hidden[1].prelu_init=inf must be in (-inf, inf)"),
        ({"units": 3, "elu_alpha": 0.0}, "model.hidden[1].elu_alpha=0.0 must be in (0, inf)"),
        ({"units": 3, "swish_beta": -1.0}, "model.hidden[1].swish_beta=-1.0 must be in [0, inf)"),
        ({"units": 3, "dropout": 1.0}, "model.hidden[1].dropout=1.0 must be in [0, 1)"),
        ({"units": 3, "weight_l1": -1.0}, "model.hidden[1].weight_l1=-1.0 must be in [0, inf)"),
        ({"units": 3, "bias_l2": float("nan")}, "model.hidden[1].bias_l2=nan must be in [0, inf)"),
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
    with pytest.raises(ConfigurationError, match=re.escape("model.dropout=1.5 must be in [0, 1)")):
        MLPConfig(dropout=1.5)
    with pytest.raises(ConfigurationError, match=re.escape("model.recurrent_l1=-0.1 must be in")):
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
        ("bias", False),
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
    message = "model.output.weight_l2=-1.0 must be in [0, inf)"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        describe_output(output, 3, MLPConfig())


def test_impossible_settings_of_the_output_layer_are_refused_with_the_settings():
    with pytest.raises(ConfigurationError, match=re.escape("model.output.weight_l2=-1.0 must be in")):
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


RULE = "set linear first and once, then activation at least once, and batch_norm and dropout wherever wanted"
ORDERS = {
    "": "",
    "linear": "linear",
    "activation, linear": "activation, linear",
    "batch_norm, linear, activation": "batch_norm, linear, activation",
    "linear, activation, linear": "linear, activation, linear",
    "linear, linear, activation": "linear, linear, activation",
    "linear, batch_norm, dropout": "linear, batch_norm, dropout",
    "[linear], activation": "['linear'], activation",
}


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_that_cannot_be_is_refused_with_the_possible_ones(order, composed):
    message = f": {RULE}"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(f'model.order=[{ORDERS[order]}]{message}')}$"):
        composed("data=digits", f"model.order=[{order}]")
    with pytest.raises(ConfigurationError, match=f"^{re.escape(f'model.hidden[0].order=[{ORDERS[order]}]{message}')}$"):
        composed("data=digits", f"model.hidden=[{{units: 4, order: [{order}]}}]")


def test_an_unknown_part_is_refused_with_the_known_ones():
    message = (
        "model.hidden[0].order[1]: Invalid value 'relu', expected one of [linear, batch_norm, activation, dropout]"
    )
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        describe(DenseConfig, [{"units": 3, "order": ["linear", "relu"]}], MLPConfig())


def test_a_recurrent_layer_has_neither_order_nor_the_choice_of_a_bias():
    for name, value in (("order", ["linear", "activation"]), ("bias", False)):
        with pytest.raises(ConfigurationError, match=rf"^unknown setting model\.hidden\[0\]\.{name}: "):
            describe(RecurrentConfig, [{"units": 3, name: value}], RNNConfig())


def test_a_linear_map_without_bias_has_neither_bias_nor_penalty_of_one():
    layer = DenseConfig(units=3, bias=False, bias_l2=0.1, weight_l2=0.2)
    module = linear(2, layer)
    assert module.bias is None
    assert [one.parameter for one in linear_penalties(module, layer)] == ["weight"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("model.elu_alpha=2", "model.elu_alpha is read by activation=elu only: leave it out, or choose that"),
        (
            "model.activation=elu model.hidden=[{units:3,activation:relu,elu_alpha:2}]",
            "model.hidden[0].elu_alpha is read by activation=elu only: leave it out, or choose that",
        ),
        (
            "model.activation=leaky_relu model.prelu_init=0.1",
            "model.prelu_init is read by activation=prelu only: leave it out, or choose that",
        ),
        (
            "model=lstm model.image_reading=rows model.swish_beta=2",
            "model.swish_beta is read by activation=swish only: leave it out, or choose that",
        ),
        (
            "model.bias=false model.bias_l1=0.1 model.bias_initializer.name=ones",
            "without a bias model.bias_initializer and model.bias_l1 would act on nothing: leave it out, or set "
            "model.bias=true",
        ),
        (
            "model.hidden=[3,{units:3,bias:false,bias_l2:0.1}]",
            "without a bias model.hidden[1].bias_l2 would act on nothing: leave it out, or set "
            "model.hidden[1].bias=true",
        ),
        (
            "model.output.bias=false model.output.bias_l2=0.1",
            "without a bias model.output.bias_l2 would act on nothing: leave it out, or set model.output.bias=true",
        ),
        (
            "model.hidden=[] model.order=[linear,activation]",
            "model.hidden=[] has no hidden layers for model.order to act",
        ),
        (
            "model.eval_mode=false",
            "model.eval_mode=false acts on dropout and batch norm, which the model has not: leave it out",
        ),
    ],
)
def test_what_no_layer_reads_is_refused(overrides, message, composed):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        composed("data=digits", *overrides.split())


@pytest.mark.parametrize(
    ("overrides", "layer", "name", "value"),
    [
        ("model.elu_alpha=2 model.hidden=[3,{units:3,activation:elu}]", 1, "elu_alpha", 2),
        ("model.elu_alpha=2 model.activation=elu model.hidden=[3,{units:3,activation:relu}]", 0, "elu_alpha", 2),
        ("model.bias=false model.bias_l1=0.1 model.output.bias=true", -1, "bias_l1", 0.1),
        ("model.bias=false model.hidden=[3,{units:3,bias:true,bias_l1:0.1}]", 1, "bias_l1", 0.1),
        ("model.hidden=[] model.output.bias=false", -1, "bias", False),
        (
            "model=simple_rnn model.image_reading=rows model.activation=swish model.swish_beta=2 model.hidden=[3]",
            0,
            "swish_beta",
            2,
        ),
    ],
)
def test_what_some_layer_reads_is_accepted_and_reaches_it(overrides, layer, name, value, composed):
    model = composed("data=digits", *overrides.split()).model
    layers = [*model.hidden_layers(), describe_output(model.output, 10, model)]
    assert getattr(layers[layer], name) == value


@pytest.mark.parametrize(
    "overrides",
    [
        "model.eval_mode=false model.hidden=[3,{units:3,batch_norm:true}]",
        "model=gru model.image_reading=rows model.eval_mode=false model.input_dropout=0.1",
    ],
)
def test_training_mode_is_kept_where_something_acts_in_it(overrides, composed):
    assert composed("data=digits", *overrides.split()).model.eval_mode is False
