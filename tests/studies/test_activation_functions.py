"""Curves and derivatives of activations against the document's figures and hand-worked values."""

import pytest
import torch

from dlproj.models.activations import Activation
from dlproj.studies.activation_functions import DERIVATIVES, agreement, derivative, identities, sigmoid_table, vanishing

INPUTS = torch.linspace(-10, 10, 2001, dtype=torch.float64)


def test_the_sigmoids_derivative_is_the_documents():
    measured = {row["x"]: row["measured"] for row in sigmoid_table().rows}
    assert measured == {10.0: pytest.approx(4.540e-5, rel=1e-4), 5.0: pytest.approx(6.648e-3, rel=1e-4), 0.0: 0.25}


def test_every_elementwise_activation_has_its_derivative_in_closed_form():
    assert set(DERIVATIVES) == set(Activation) - {Activation.softmax}
    assert all(row["largest_difference"] < 1e-15 for row in agreement(INPUTS).rows)


def test_identities_hold():
    assert all(row["largest_difference"] < 1e-14 for row in identities(INPUTS).rows)


def test_derivatives_by_hand():
    at = torch.tensor([-2.0, 0.0, 2.0], dtype=torch.float64)
    assert derivative(Activation.relu, at).tolist() == [0, 0, 1]
    assert derivative(Activation.prelu, at).tolist() == [0.1, 0.1, 1]
    assert derivative(Activation.tanh, at).tolist() == pytest.approx([0.07065082, 1, 0.07065082])


def test_a_relu_vanishes_below_zero_and_an_identity_nowhere():
    found = {row["activation"]: row for row in vanishing(INPUTS, 0.01).rows}
    assert found["relu"]["vanished_share"] == pytest.approx(0.5, abs=0.001)
    assert (found["relu"]["alive_from"], found["relu"]["alive_to"]) == (pytest.approx(0.01), 10)
    assert found["identity"]["vanished_share"] == 0
    # σ(1 - σ) = 0.01 where σ = (1 ± √0.96)/2: at ± ln((1 + √0.96)/(1 - √0.96)) = ± 4.585
    assert found["sigmoid"]["alive_to"] == pytest.approx(4.585, abs=0.01)
