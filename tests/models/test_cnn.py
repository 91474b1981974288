"""CNNClassifier: what its layers are, what it computes, and the data that it refuses."""

import re

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from dlproj.config.checks import ConfigurationError
from dlproj.config.cnn import CNNConfig
from dlproj.config.data import DataSpec, Kind
from dlproj.config.layers import Initializer, InitializerConfig
from dlproj.config.optim import SGDConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.inference.evaluate import evaluate
from dlproj.inference.export import Format, export
from dlproj.inference.trained import open_run
from dlproj.runs.inspection import read_inspection
from dlproj.runs.record import read_run
from dlproj.training.monitors.inspector import DeadUnits
from dlproj.training.run import run

IMAGE = DataSpec(Kind.image, (2, 8, 6), ("a", "b", "c"))


def built(spec=IMAGE, **settings):
    return CNNConfig(**{"conv": [3], "hidden": [4]} | settings).build(spec, SGDConfig(), SchedulerConfig())


def test_a_convolution_is_scipys_correlation_summed_over_the_channels(generator):
    model = built().double()
    images = torch.rand(5, 2, 8, 6, generator=generator, dtype=torch.float64)
    first = model.conv[0].linear
    for image, maps in zip(images.numpy(), first(images).detach().numpy(), strict=True):
        for kernel, bias, found in zip(first.weight.detach().numpy(), first.bias.detach().numpy(), maps, strict=True):
            wanted = sum(correlate2d(channel, part, mode="same") for channel, part in zip(image, kernel, strict=True))
            np.testing.assert_allclose(found, wanted + bias, rtol=1e-12, atol=1e-12)


def test_logits_are_those_of_convolution_relu_pooling_and_dense_layers(generator):
    model = built()
    images = torch.rand(5, 2, 8, 6, generator=generator)
    maps = model.conv[0].linear(images).clamp(min=0)
    pooled = torch.stack(
        [
            maps[:, :, row : row + 2, column : column + 2].amax((2, 3))
            for row in range(0, 8, 2)
            for column in range(0, 6, 2)
        ],
        -1,
    )
    first = model.hidden[0].linear
    hidden = (pooled.flatten(1) @ first.weight.T + first.bias).clamp(min=0)
    torch.testing.assert_close(model(images), hidden @ model.output.weight.T + model.output.bias)


def test_the_default_has_the_parameters_counted_by_hand():
    model = CNNConfig().build(DataSpec(Kind.image, (1, 28, 28), tuple("0123456789")), SGDConfig(), SchedulerConfig())
    counted = (9 * 1 + 1) * 32 + (9 * 32 + 1) * 64 + (64 * 7 * 7 + 1) * 128 + (128 + 1) * 10
    assert model.parameter_count() == counted


def test_each_layer_can_have_settings_of_its_own():
    entry = {"units": 5, "kernel_size": 5, "pool": 1, "batch_norm": True, "activation": "tanh", "dropout": 0.2}
    model = built(conv=[entry, 3], weight_l2=0.5)
    assert [name for name, _ in model.conv[0].named_children()] == ["linear", "batch_norm", "activation", "dropout"]
    assert [name for name, _ in model.conv[1].named_children()] == ["linear", "activation", "pool"]
    assert model.conv[0].linear.weight.shape == (5, 2, 5, 5)
    assert isinstance(model.conv[0].batch_norm, torch.nn.BatchNorm2d)
    assert len(model.penalties.active) == 4  # two convolutions, a dense layer, the output


def test_initialisers_count_the_inputs_of_a_whole_square():
    he = InitializerConfig(Initializer.he_normal)
    weights = built(conv=[4000], weight_initializer=he).conv[0].linear.weight
    assert weights.std().item() == pytest.approx((2 / (2 * 3 * 3)) ** 0.5, rel=0.02)


def test_pooling_leaves_out_the_rest_at_the_edges():
    assert CNNConfig(conv=[3, 4], pool=3).shapes(DataSpec(Kind.image, (1, 28, 28), ("a", "b"))) == [
        (3, 9, 9),
        (4, 3, 3),
    ]


@pytest.mark.parametrize(
    ("settings", "spec", "message"),
    [
        ({}, DataSpec(Kind.features, (6,), ("a", "b")), "model=cnn reads images: set model=mlp for features"),
        ({"conv": [3, 3, 3, 3]}, IMAGE, "model.conv[2].pool=2 leaves nothing of 8 × 6 pixels: set it, or those"),
    ],
)
def test_data_that_does_not_fit_is_refused(settings, spec, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        CNNConfig(**settings).check_data(spec)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"conv": []}, "model.conv is empty: set at least one layer, such as [32], or model=mlp"),
        ({"conv": [0]}, "model.conv[0].units=0 must be in [1, inf)"),
        ({"conv": [{"units": 3, "pool": 0}]}, "model.conv[0].pool=0 must be in [1, inf)"),
        ({"conv": [{"units": 3, "stride": 2}]}, "unknown setting model.conv[0].stride: "),
        ({"kernel_size": 4}, "model.conv[0].kernel_size=4 must be odd, to keep the image's size: set 5"),
        ({"kernel_size": 0}, "model.kernel_size=0 must be in [1, inf)"),
        ({"conv": [{"units": 3, "activation": "softmax"}]}, "model.conv[0].activation=softmax is for dense layers"),
        ({"hidden": [-1]}, "model.hidden[0].units=-1 must be in [1, inf)"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        CNNConfig(**settings)


def test_tensor_parallelism_is_refused(composed):
    with pytest.raises(ConfigurationError, match=r"model=cnn does not go with trainer.tensor_parallel_size=2: set "):
        composed("data=digits", "model=cnn", "trainer=tensor_parallel")


def test_a_dead_feature_map_is_one_dead_unit(generator):
    """Of two maps one is 0 everywhere; of 4 hidden units none."""
    model = built(conv=[2])
    torch.nn.init.zeros_(model.conv[0].linear.weight[0])
    torch.nn.init.constant_(model.conv[0].linear.bias, -1.0)
    torch.nn.init.ones_(model.conv[0].linear.weight[1])
    watching = DeadUnits.__new__(DeadUnits)
    watching._ranges = {}
    for _ in range(2):
        watching._watch(
            "conv.0", model.conv[0].activation, None, model.conv[0][:2](torch.rand(3, 2, 8, 6, generator=generator))
        )
    low, high = watching._ranges["conv.0"]
    assert (high - low > 0).tolist() == [False, True]


@pytest.fixture(scope="module")
def folder(composed, tmp_path_factory):
    """A run on the digits with every figure."""
    folder = tmp_path_factory.mktemp("run") / "cnn"
    run(
        composed(
            "data=digits",
            "model=cnn",
            "model.conv=[8,16]",
            "model.hidden=[32]",
            "trainer.max_epochs=4",
            "optim.learning_rate=0.01",
            "trainer.accelerator=cpu",
            "trainer.progress_bar=false",
            "figures=all",
            "model.batch_norm=true",
        ),
        folder,
    )
    return folder


def test_it_learns_the_digits_and_leaves_every_figure(folder):
    found = read_run(folder)
    assert found.result.metrics["test/accuracy"] > 0.93
    assert read_inspection(folder).dead_units.keys() == {"conv.0", "conv.1", "hidden.0"}
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    assert drawn >= {"learning_curves", "confusion_matrix", "histograms", "dead_units", "graph", "gradient_norms"}


def test_it_is_evaluated_and_exported_as_it_was_trained(folder):
    trained = open_run(folder, None)
    again = evaluate(trained, "test", [])
    assert again.metrics["test/accuracy"] == read_run(folder).result.metrics["test/accuracy"]
    assert export(trained, Format.exported_program, None).largest_difference < 1e-6
