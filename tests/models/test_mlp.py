"""MLPClassifier: what its layers are, what it computes, and the data that it refuses."""

import re

import pytest
import torch

from dlproj.data.base import DataSpec, Kind
from dlproj.models.activations import Activation
from dlproj.models.initializers import Initializer, InitializerConfig
from dlproj.models.layers import OutputConfig
from dlproj.models.losses import Loss
from dlproj.models.mlp import MLPConfig
from dlproj.optim import SchedulerConfig, SGDConfig
from dlproj.settings import ConfigurationError

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
            {},
            WORDS,
            "model=mlp reads images or features, not word ids: set model=lstm, gru or simple_rnn",
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
        ({"inputs": 0}, "model.inputs=0 is impossible: set a value in [1, inf)"),
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
