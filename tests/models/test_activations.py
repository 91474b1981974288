"""Activations, beside scipy where it has them."""

import numpy as np
import pytest
import torch
from scipy import special

from dlproj.models.activations import Activation, activation_module

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
