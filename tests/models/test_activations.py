"""Activations, beside scipy where it has them."""

import numpy as np
import pytest
import torch
from scipy import special
from torch import nn
from torch.nn import functional

from dlproj.config.layers import PARAMETERS, Activation, LayerSettings
from dlproj.models.activations import activation_module

FORMULAS = {
    Activation.relu: lambda x: np.maximum(x, 0),
    Activation.leaky_relu: lambda x: np.where(x > 0, x, 0.01 * x),
    Activation.prelu: lambda x: np.where(x > 0, x, 0.25 * x),
    Activation.elu: lambda x: np.where(x > 0, x, special.expm1(x)),
    Activation.sigmoid: special.expit,
    Activation.tanh: np.tanh,
    Activation.swish: lambda x: x * special.expit(x),
    Activation.softmax: lambda x: special.softmax(x, axis=-1),
    Activation.identity: lambda x: x,
}


@pytest.mark.parametrize("activation", list(Activation), ids=lambda activation: activation.name)
@pytest.mark.parametrize("shape", [(12,), (4, 3), (2, 2, 3)])
def test_values(activation, shape):
    values = torch.linspace(-5, 5, 12).reshape(shape)
    output = activation_module(activation)(values).detach().numpy()
    np.testing.assert_allclose(output, FORMULAS[activation](values.numpy()), rtol=1e-5, atol=1e-6)


def test_only_prelu_learns_and_that_one_slope():
    counts = {one: sum(p.numel() for p in activation_module(one).parameters()) for one in Activation}
    assert counts == dict.fromkeys(Activation, 0) | {Activation.prelu: 1}


def test_each_call_makes_a_module_of_its_own():
    assert activation_module(Activation.prelu) is not activation_module(Activation.prelu)


@pytest.mark.parametrize(
    ("activation", "parameter", "formula"),
    [
        (Activation.leaky_relu, 0.3, lambda x: functional.leaky_relu(x, 0.3)),
        (Activation.leaky_relu, 0.0, functional.relu),
        (Activation.prelu, -0.5, lambda x: functional.prelu(x, torch.tensor([-0.5], dtype=torch.float64))),
        (Activation.elu, 2.5, lambda x: functional.elu(x, 2.5)),
        (Activation.swish, 3.0, lambda x: functional.silu(3 * x) / 3),
        (Activation.swish, 0.0, lambda x: x / 2),
        (Activation.swish, 1e4, functional.relu),
    ],
)
def test_a_parameter_changes_values_and_gradients_as_in_torch(activation, parameter, formula):
    values = torch.linspace(-5, 5, 12, dtype=torch.float64, requires_grad=True)
    ours, theirs = activation_module(activation, parameter).double()(values), formula(values)
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(output.sum(), values)[0] for output in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_swish_with_the_usual_parameter_is_torchs_own_module():
    assert type(activation_module(Activation.swish)) is type(activation_module(Activation.swish, 1.0)) is nn.SiLU


@pytest.mark.parametrize("activation", PARAMETERS, ids=lambda activation: activation.name)
def test_a_layer_hands_on_its_parameter_whose_default_is_the_modules_own(activation):
    values = torch.linspace(-5, 5, 12)
    usual = LayerSettings(activation=activation).activation_module()
    assert torch.equal(usual(values), activation_module(activation)(values))
    other = LayerSettings(activation=activation, **{PARAMETERS[activation]: 0.7}).activation_module()
    assert torch.equal(other(values), activation_module(activation, 0.7)(values))
    assert not torch.equal(other(values), usual(values))
