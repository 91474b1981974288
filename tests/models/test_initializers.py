"""Initialisers: what they draw against the distribution that they name, and the settings that they refuse."""

import math
import re

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from dlproj.config.checks import ConfigurationError
from dlproj.config.data import DataSpec, Kind
from dlproj.config.layers import Cell, Initializer, InitializerConfig, OutputConfig, RecurrentConfig, unset
from dlproj.config.mlp import MLPConfig
from dlproj.config.optim import SGDConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.initializers import initialize
from dlproj.models.recurrent import direction

FAN_OUT, FAN_IN = 200, 100
SPEC = DataSpec(Kind.features, (49,), ("a", "b"))


def drawn(config, *shape):
    tensor = torch.full(shape or (FAN_OUT, FAN_IN), math.nan)
    initialize(tensor, config)
    return tensor


@pytest.mark.parametrize(
    ("config", "distribution"),
    [
        (InitializerConfig(Initializer.normal, std=0.05), stats.norm(0, 0.05)),
        (InitializerConfig(Initializer.normal, mean=3.0, std=2.0), stats.norm(3, 2)),
        (InitializerConfig(Initializer.uniform, low=-0.5, high=1.5), stats.uniform(-0.5, 2.0)),
        (
            InitializerConfig(Initializer.glorot_uniform),
            stats.uniform(-math.sqrt(6 / (FAN_IN + FAN_OUT)), 2 * math.sqrt(6 / (FAN_IN + FAN_OUT))),
        ),
        (InitializerConfig(Initializer.glorot_normal), stats.norm(0, math.sqrt(2 / (FAN_IN + FAN_OUT)))),
        (InitializerConfig(Initializer.he_uniform), stats.uniform(-math.sqrt(6 / FAN_IN), 2 * math.sqrt(6 / FAN_IN))),
        (InitializerConfig(Initializer.he_normal), stats.norm(0, math.sqrt(2 / FAN_IN))),
    ],
    ids=lambda value: value.name.name if isinstance(value, InitializerConfig) else "",
)
def test_weights_follow_the_named_distribution(config, distribution):
    weights = drawn(config).numpy().ravel().astype(float)
    low, high = distribution.support()
    assert weights.min() >= low - 1e-6
    assert weights.max() <= high + 1e-6
    assert weights.var() == pytest.approx(distribution.var(), rel=0.03)
    assert stats.kstest(weights, distribution.cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("config", "value"),
    [
        (InitializerConfig(Initializer.zeros), 0.0),
        (InitializerConfig(Initializer.ones), 1.0),
        (InitializerConfig(Initializer.constant, value=-0.25), -0.25),
        (InitializerConfig(Initializer.constant, value=0.0), 0.0),
    ],
)
@pytest.mark.parametrize("shape", [(4, 3), (5,)])
def test_constants(config, value, shape):
    assert torch.equal(drawn(config, *shape), torch.full(shape, value))


@pytest.mark.parametrize(("rows", "columns"), [(20, 5), (5, 20), (7, 7)])
def test_orthogonal_matrices_keep_lengths(rows, columns):
    matrix = drawn(InitializerConfig(Initializer.orthogonal), rows, columns).numpy()
    product = matrix @ matrix.T if rows < columns else matrix.T @ matrix
    np.testing.assert_allclose(product, np.eye(min(rows, columns)), atol=1e-5)


def test_torch_leaves_what_the_layer_drew():
    layer = nn.Linear(4, 3)
    before = layer.weight.detach().clone()
    initialize(layer.weight, InitializerConfig())
    assert torch.equal(layer.weight, before)


def test_a_parameter_keeps_its_gradient():
    parameter = nn.Parameter(torch.zeros(3))
    initialize(parameter, InitializerConfig(Initializer.ones))
    assert parameter.requires_grad
    assert parameter.is_leaf


@pytest.mark.parametrize(
    ("config", "vector", "message"),
    [
        (InitializerConfig(value=1.0), False, "key.value is read by constant only: set key.name=constant"),
        (InitializerConfig(Initializer.uniform, std=1.0), False, "key.std is read by normal only: set key.name=normal"),
        (InitializerConfig(Initializer.ones, mean=0.0), False, "key.mean is read by normal only: set key.name=normal"),
        (
            InitializerConfig(Initializer.normal, std=1.0, low=0.0),
            False,
            "key.low is read by uniform only: set key.name=uniform",
        ),
        (InitializerConfig(high=0.0), False, "key.high is read by uniform only: set key.name=uniform"),
        (InitializerConfig(Initializer.constant), False, "key.name=constant needs a number: set key.value"),
        (InitializerConfig(Initializer.normal), False, "key.name=normal needs a number: set key.std"),
        (InitializerConfig(Initializer.uniform, low=0.0), False, "key.name=uniform needs a number: set key.high"),
        (InitializerConfig(Initializer.uniform, high=0.0), False, "key.name=uniform needs a number: set key.low"),
        (InitializerConfig(Initializer.normal, std=0.0), False, "key.std=0.0 must be in (0, inf)"),
        (
            InitializerConfig(Initializer.uniform, low=1.0, high=1.0),
            False,
            "key.low=1.0 is not below key.high=1.0: set it lower",
        ),
        *(
            (
                InitializerConfig(name),
                True,
                f"key.name={name.name} needs a matrix: set zeros, ones, constant, normal, uniform or torch",
            )
            for name in Initializer
            if name.name.startswith(("glorot", "he_", "orthogonal"))
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(config, vector, message):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        config.check("key", vector)


@pytest.mark.parametrize("shape", [(FAN_OUT, FAN_IN), (FAN_OUT,)])
@pytest.mark.parametrize(
    "config",
    [
        InitializerConfig(Initializer.normal, std=1.0),
        InitializerConfig(Initializer.normal, mean=1.0, std=1.0),
        InitializerConfig(Initializer.uniform, low=-1.0, high=1.0),
        InitializerConfig(Initializer.constant, value=0.0),
    ],
)
def test_what_is_accepted_can_be_drawn(config, shape):
    config.check("key", vector=len(shape) == 1)
    assert drawn(config, *shape).isfinite().all()


def test_only_the_output_layer_may_leave_the_name_unset():
    with pytest.raises(ConfigurationError, match=re.escape("model.weight_initializer.name")):
        MLPConfig(weight_initializer=unset())
    config = MLPConfig(weight_initializer=InitializerConfig(Initializer.ones), output=OutputConfig())
    assert config.output.weight_initializer == unset()
    assert (config.build(SPEC, SGDConfig(), SchedulerConfig()).output.weight == 1).all()


def test_torchs_biases_stay_uniform_in_one_over_root_inputs_where_weights_are_drawn_anew():
    config = MLPConfig(hidden=[2000, 500], weight_initializer=InitializerConfig(Initializer.glorot_uniform))
    model = config.build(SPEC, SGDConfig(), SchedulerConfig())
    for block, inputs, units in zip(model.hidden, (49, 2000), (2000, 500), strict=True):
        weights, biases = (values.detach().numpy().ravel().astype(float) for values in block.linear.parameters())
        bounds = {inputs**-0.5: biases, math.sqrt(6 / (inputs + units)): weights}
        for bound, values in bounds.items():
            assert stats.kstest(values, stats.uniform(-bound, 2 * bound).cdf).pvalue > 0.01
            assert abs(values).max() <= bound


@pytest.mark.parametrize("cell", list(Cell))
def test_torchs_biases_of_a_recurrent_layer_are_uniform_in_one_over_root_units(cell):
    layer = RecurrentConfig(units=400, weight_initializer=InitializerConfig(Initializer.glorot_uniform))
    biases = direction(cell, 3, layer, None).bias_ih_l0.detach().numpy().astype(float)
    assert stats.kstest(biases, stats.uniform(-1 / 20, 2 / 20).cdf).pvalue > 0.01
