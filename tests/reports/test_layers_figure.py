"""The layers of a network, read from graphs that training records."""

from math import prod

import pytest

from dlproj.reports.layers import Layer, layers
from dlproj.training.monitors.network_graph import graph_of


@pytest.fixture
def drawn(composed):
    """Call with overrides: the layers, and the number of the model's parameters."""

    def of(*overrides):
        config = composed("data=digits", *overrides)
        spec = config.data.spec()
        model = config.model.build(spec, config.optim, config.scheduler)
        return layers(graph_of(model, spec, "loss")), model.parameter_count()

    return of


def test_an_mlp(drawn):
    found, total = drawn("model.hidden=[16]", "model.dropout=0.25", "model.weight_l2=0.1")
    assert found == [
        Layer("inputs", "1 × 8 × 8", ["flatten to 64"]),
        Layer("hidden.0", "16", ["Linear", "ReLU", "Dropout(0.25), in training"], 16 * 64 + 16),
        Layer("output", "10", ["Linear"], 10 * 16 + 10),
    ]
    assert total == sum(layer.parameters for layer in found)


def test_a_cnn(drawn):
    found, total = drawn("model=cnn")
    assert found[1] == Layer("conv.0", "32 × 4 × 4", ["Conv2d 3 × 3", "ReLU", "MaxPool2d"], 32 * 9 + 32)
    assert [layer.name for layer in found] == ["inputs", "conv.0", "conv.1", "hidden.0", "output"]
    assert found[2].operations[-1] == "flatten to 256"
    assert total == sum(layer.parameters for layer in found)


@pytest.mark.parametrize(("model", "gates", "biases"), [("simple_rnn", 1, 1), ("lstm", 4, 1), ("gru", 3, 2)])
@pytest.mark.parametrize("bidirectional", ["true", "false"])
def test_a_recurrent_network_in_one_or_both_directions(drawn, model, gates, biases, bidirectional):
    settings = (f"model={model}", "model.hidden=[4,4]", "model.image_reading=rows")
    found, total = drawn(*settings, f"model.bidirectional={bidirectional}")
    assert [layer.name for layer in found] == ["inputs", "layers.0", "layers.1", "output"]
    directions = 2 if bidirectional == "true" else 1
    assert found[1].shape == f"8 × {4 * directions}"
    assert found[1].parameters == directions * gates * (prod((4, 8)) + prod((4, 4)) + biases * 4)
    assert total == sum(layer.parameters for layer in found)


def test_no_graph_has_no_layers():
    assert layers([]) == []
