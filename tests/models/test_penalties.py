"""Penalties: their values, their gradients and what they are in terms of weight decay."""

import numpy as np
import pytest
import torch
from torch import nn

from dlproj.config.data import DataSpec, Kind
from dlproj.config.mlp import MLPConfig
from dlproj.config.optim import SGDConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.metrics import TrainingSums
from dlproj.models.penalties import Penalties, Penalty

SPEC = DataSpec(Kind.features, (4,), ("a", "b", "c"))


def layer():
    module = nn.Linear(2, 2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))
        module.bias.copy_(torch.tensor([-1.0, 2.0]))
    return module


@pytest.mark.parametrize(
    ("parameter", "l1", "l2", "expected"),
    [
        ("weight", 0.1, 0.0, 0.1 * 6.5),
        ("weight", 0.0, 0.1, 0.1 * 14.25),
        ("bias", 0.1, 0.0, 0.1 * 3.0),
        ("bias", 0.0, 0.1, 0.1 * 5.0),
        ("bias", 0.2, 0.1, 0.2 * 3.0 + 0.1 * 5.0),
        ("bias", 0.0, 0.0, 0.0),
    ],
)
def test_value(parameter, l1, l2, expected):
    assert Penalty(layer(), parameter, l1, l2)().item() == pytest.approx(expected)


def test_gradient_of_l2_has_no_half_and_that_of_l1_is_the_sign():
    module = layer()
    Penalties([Penalty(module, "weight", 0.0, 0.1), Penalty(module, "bias", 0.3, 0.0)])().backward()
    torch.testing.assert_close(module.weight.grad, 0.2 * module.weight.detach())
    torch.testing.assert_close(module.bias.grad, 0.3 * module.bias.detach().sign())


def test_the_whole_is_the_sum_of_its_parts():
    module = layer()
    penalties = Penalties([Penalty(module, "weight", 0.1, 0.0), Penalty(module, "bias", 0.0, 0.1)])
    assert penalties().item() == pytest.approx(0.65 + 0.5)


def test_penalties_of_nothing_are_false():
    assert not Penalties([])
    assert not Penalties([Penalty(layer(), "weight", 0.0, 0.0)])
    assert Penalties([Penalty(layer(), "weight", 0.0, 0.1)])


def test_a_parameter_that_was_replaced_counts():
    module = layer()
    penalty = Penalty(module, "bias", 1.0, 0.0)
    module.bias = nn.Parameter(torch.tensor([10.0, 10.0]))
    assert penalty().item() == 20.0


def one_update(config, optim, generator):
    torch.manual_seed(0)
    model = config.build(SPEC, optim, SchedulerConfig())
    model.training_sums = TrainingSums(torch.device("cpu"))
    inputs, targets = torch.randn(8, 4, generator=generator), torch.randint(3, (8,), generator=generator)
    optimizer = model.optim.build(model.parameters())
    model.training_step((inputs, targets), 0).backward()
    optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).numpy()


def test_l2_on_everything_is_weight_decay_of_twice_the_size_under_sgd():
    plain, penalized, decayed = (
        one_update(config, optim, torch.Generator().manual_seed(1))
        for config, optim in [
            (MLPConfig(hidden=[5]), SGDConfig()),
            (MLPConfig(hidden=[5], weight_l2=0.5, bias_l2=0.5), SGDConfig()),
            (MLPConfig(hidden=[5]), SGDConfig(weight_decay=1.0)),
        ]
    )
    np.testing.assert_allclose(penalized, decayed, rtol=1e-5, atol=1e-7)
    assert np.abs(penalized - plain).max() > 1e-3
