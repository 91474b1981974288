"""MLPClassifier: what its layers are, what it computes, and the data that it refuses."""

import re

import pytest
import torch
from torch.nn import functional

from dlproj.config.checks import ConfigurationError
from dlproj.config.data import DataSpec, Kind
from dlproj.config.layers import Activation, Initializer, InitializerConfig, LayerPart, OutputConfig
from dlproj.config.mlp import MLPConfig, TextInput
from dlproj.config.model import Loss
from dlproj.config.optim import SGDConfig
from dlproj.config.scheduler import SchedulerConfig

IMAGE = DataSpec(Kind.image, (1, 28, 28), tuple("abcdefghij"))
FEATURES = DataSpec(Kind.features, (6,), ("a", "b", "c"))
WORDS = DataSpec(Kind.sequence, (9,), ("a", "b"), 10, "pre")


def built(config, spec=FEATURES):
    return config.build(spec, SGDConfig(), SchedulerConfig())


def test_logits_are_those_of_the_layers_one_after_another(generator):
    model = built(MLPConfig(hidden=[5, 4]))
    inputs = torch.randn(7, 6, generator=generator)
    first, second = (block.linear for block in model.hidden)
    hidden = (inputs @ first.weight.T + first.bias).clamp(min=0)
    hidden = (hidden @ second.weight.T + second.bias).clamp(min=0)
    torch.testing.assert_close(model(inputs), hidden @ model.output.weight.T + model.output.bias)


def test_an_image_is_read_as_one_row(generator):
    model = built(MLPConfig(hidden=[5]), DataSpec(Kind.image, (2, 3, 4), ("a", "b")))
    images = torch.randn(7, 2, 3, 4, generator=generator)
    torch.testing.assert_close(model(images), model.output(model.hidden(images.reshape(7, 24))))


def test_without_hidden_layers_it_is_a_softmax_regression(generator):
    model = built(MLPConfig(hidden=[]))
    inputs = torch.randn(7, 6, generator=generator)
    torch.testing.assert_close(model(inputs), inputs @ model.output.weight.T + model.output.bias)
    assert model.parameter_count() == 6 * 3 + 3


def test_the_default_is_one_hidden_layer_of_1000():
    assert built(MLPConfig(), IMAGE).parameter_count() == 784 * 1000 + 1000 + 1000 * 10 + 10


def test_the_layer_of_lab2_exercise_8_is_one_entry(generator):
    entry = {
        "units": 729,
        "activation": "softmax",
        "weight_initializer": {"name": "normal", "std": 0.05},
        "bias_initializer": {"name": "ones"},
        "weight_l1": 0.01,
        "bias_l2": 0.05,
    }
    model = built(MLPConfig(hidden=[entry]), IMAGE)
    layer = model.hidden[0]
    assert layer.linear.weight.shape == (729, 784)
    assert layer.linear.weight.mean().item() == pytest.approx(0.0, abs=0.001)
    assert layer.linear.weight.std().item() == pytest.approx(0.05, rel=0.01)
    assert torch.equal(layer.linear.bias, torch.ones(729))
    outputs = layer(torch.rand(3, 784, generator=generator))
    torch.testing.assert_close(outputs.sum(1), torch.ones(3))
    weights = layer.linear.weight.detach().double()
    assert model.penalties().item() == pytest.approx(0.01 * weights.abs().sum().item() + 0.05 * 729, rel=1e-5)


def test_settings_of_the_model_reach_every_layer_and_the_output():
    half, ones = InitializerConfig(Initializer.constant, value=0.5), InitializerConfig(Initializer.ones)
    model = built(MLPConfig(hidden=[2, 2], weight_initializer=half, bias_initializer=ones, weight_l1=0.1, bias_l2=0.2))
    linears = [model.hidden[0].linear, model.hidden[1].linear, model.output]
    for module in linears:
        assert torch.equal(module.weight, torch.full_like(module.weight, 0.5))
        assert torch.equal(module.bias, torch.ones_like(module.bias))
    assert model.penalties().item() == pytest.approx(0.1 * 0.5 * (12 + 4 + 6) + 0.2 * (2 + 2 + 3))


def test_the_output_layer_can_do_without_the_penalty_of_the_others():
    ones = InitializerConfig(Initializer.ones)
    config = MLPConfig(hidden=[2], weight_initializer=ones, weight_l1=0.1, output=OutputConfig(weight_l1=0.0))
    assert built(config).penalties().item() == pytest.approx(0.1 * 12)


def test_a_block_is_linear_batch_norm_activation_dropout():
    model = built(
        MLPConfig(hidden=[4, {"units": 3, "batch_norm": False, "dropout": 0.0}], batch_norm=True, dropout=0.3)
    )
    assert [name for name, _ in model.hidden[0].named_children()] == ["linear", "batch_norm", "activation", "dropout"]
    assert [name for name, _ in model.hidden[1].named_children()] == ["linear", "activation"]
    assert isinstance(model.output, torch.nn.Linear)


def test_batch_norm_normalises_over_the_batch_what_the_activation_reads(generator):
    model = built(MLPConfig(hidden=[4], batch_norm=True, activation=Activation.sigmoid))
    read = []
    model.hidden[0].activation.register_forward_pre_hook(lambda module, arguments: read.append(arguments[0]))
    model.train()(torch.randn(64, 6, generator=generator) * 10 + 5)
    torch.testing.assert_close(read[0].mean(0), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(read[0].var(0, unbiased=False), torch.ones(4), rtol=0, atol=1e-3)


LINEAR, BATCH_NORM, ACTIVATION, DROPOUT = LayerPart
ALTOGETHER = [LINEAR, ACTIVATION, DROPOUT, BATCH_NORM, ACTIVATION, DROPOUT]


def test_parts_come_in_the_order_that_is_set_and_what_is_off_is_left_out():
    hidden = [4, {"units": 4, "batch_norm": False}, {"units": 4, "dropout": 0.0}, {"units": 4, "order": [*LayerPart]}]
    model = built(MLPConfig(hidden=hidden, batch_norm=True, dropout=0.3, order=ALTOGETHER))
    assert [[name for name, _ in block.named_children()] for block in model.hidden] == [
        ["linear", "activation", "dropout", "batch_norm", "activation_2", "dropout_2"],
        ["linear", "activation", "dropout", "activation_2", "dropout_2"],
        ["linear", "activation", "batch_norm", "activation_2"],
        ["linear", "batch_norm", "activation", "dropout"],
    ]
    assert model.hidden_outputs()["hidden.0"] is model.hidden[0].activation_2
    assert model.hidden_outputs()["hidden.3"] is model.hidden[3].activation


def test_logits_in_the_documents_order_are_those_of_a_plain_loop_over_its_list(generator):
    """regularization: a ReLU after every entry of [linear, bn1, linear, bn2, linear], nothing before the output."""
    last = {"units": 3, "batch_norm": False, "order": ["linear", "activation"]}
    order = [LINEAR, ACTIVATION, BATCH_NORM, ACTIVATION]
    model = built(MLPConfig(hidden=[5, 4, last], batch_norm=True, order=order)).train()
    outputs = inputs = torch.randn(9, 6, generator=generator)
    first, second, third = model.hidden
    for entry in (first.linear, first.batch_norm, second.linear, second.batch_norm, third.linear):
        if isinstance(entry, torch.nn.Linear):
            sums = outputs @ entry.weight.T + entry.bias
        else:
            sums = (outputs - outputs.mean(0)) / (outputs.var(0, unbiased=False) + 1e-5).sqrt()
        outputs = sums.clamp(min=0)
    torch.testing.assert_close(model(inputs), outputs @ model.output.weight.T + model.output.bias)


def test_each_activation_of_a_layer_learns_a_slope_of_its_own():
    order = [LINEAR, ACTIVATION, BATCH_NORM, ACTIVATION]
    model = built(MLPConfig(hidden=[4], batch_norm=True, order=order, activation=Activation.prelu, prelu_init=0.5))
    slopes = [model.hidden[0].activation.weight, model.hidden[0].activation_2.weight]
    assert slopes[0] is not slopes[1]
    assert [slope.tolist() for slope in slopes] == [[0.5], [0.5]]


def test_the_names_of_the_weights_in_the_usual_order_are_those_of_earlier_checkpoints():
    model = built(MLPConfig(hidden=[4], batch_norm=True, activation=Activation.prelu))
    assert list(model.state_dict()) == [
        "hidden.0.linear.weight",
        "hidden.0.linear.bias",
        "hidden.0.batch_norm.weight",
        "hidden.0.batch_norm.bias",
        "hidden.0.batch_norm.running_mean",
        "hidden.0.batch_norm.running_var",
        "hidden.0.batch_norm.num_batches_tracked",
        "hidden.0.activation.weight",
        "output.weight",
        "output.bias",
    ]


def test_each_layer_has_the_parameter_of_its_own_activation(generator):
    own = {"units": 4, "activation": "swish", "swish_beta": 2.0}
    model = built(MLPConfig(hidden=[5, own], activation=Activation.leaky_relu, negative_slope=0.3))
    inputs = torch.randn(7, 6, generator=generator)
    first, second = (block.linear for block in model.hidden)
    sums = second(functional.leaky_relu(first(inputs), 0.3))
    torch.testing.assert_close(model(inputs), model.output(sums * torch.sigmoid(2 * sums)))


def test_without_biases_the_maps_are_products_alone(generator):
    model = built(MLPConfig(hidden=[5, {"units": 4, "bias": True}], bias=False))
    inputs = torch.randn(7, 6, generator=generator)
    first, second = (block.linear for block in model.hidden)
    hidden = (inputs @ first.weight.T).clamp(min=0)
    hidden = (hidden @ second.weight.T + second.bias).clamp(min=0)
    torch.testing.assert_close(model(inputs), hidden @ model.output.weight.T)
    assert model.parameter_count() == 6 * 5 + 5 * 4 + 4 + 4 * 3
    assert built(MLPConfig(hidden=[5], bias=False, output=OutputConfig(bias=True))).output.bias is not None


def test_dropout_drops_that_share_in_training_and_nothing_in_evaluation():
    ones = InitializerConfig(Initializer.ones)
    config = MLPConfig(hidden=[1000], dropout=0.3, weight_initializer=ones, bias_initializer=ones)
    model = built(config)
    inputs = torch.ones(20, 6)
    outputs = model.train().hidden(inputs)
    torch.testing.assert_close(outputs.unique(), torch.tensor([0.0, 7 / 0.7]))
    assert (outputs == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert torch.equal(model.eval().hidden(inputs), torch.full((20, 1000), 7.0))


def test_inputs_that_are_as_many_as_the_data_has_are_accepted():
    assert built(MLPConfig(hidden=[2], inputs=784), IMAGE).hidden[0].linear.in_features == 784


@pytest.mark.parametrize(
    ("settings", "spec", "message"),
    [
        (
            {"inputs": 700},
            IMAGE,
            "model.inputs=700, but the data has 784 (image of 1 × 28 × 28): set model.inputs=784 or leave it out",
        ),
        (
            {"outputs": 1, "loss": Loss.binary_cross_entropy},
            FEATURES,
            "model.outputs=1 is for two classes, the data has 3: leave model.outputs unset",
        ),
        (
            {"text_input": TextInput.counts},
            FEATURES,
            "model.text_input and model.embedding_dim are for texts: leave them out for this data",
        ),
        (
            {"inputs": 9},
            WORDS,
            "model.inputs=9, but the data has 128 (sequence of 9): set model.inputs=128 or leave it out",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused_before_and_while_building(settings, spec, message):
    config = MLPConfig(hidden=[2], **settings)
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        config.check_data(spec)
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        built(config, spec)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inputs": 0}, "model.inputs=0 must be in [1, inf)"),
        ({"outputs": 2}, "model.outputs=2: leave it unset for one output a class, or set 1"),
        (
            {"loss": Loss.cross_entropy, "output": OutputConfig(activation=Activation.sigmoid)},
            "model.output.activation=sigmoid does not go with model.loss=cross_entropy: set softmax",
        ),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        MLPConfig(**settings)
