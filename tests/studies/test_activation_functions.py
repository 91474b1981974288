"""Curves and derivatives of activations against the document's figures and hand-worked values."""

import math

import pytest
import torch

from dlproj.models.activations import Activation
from dlproj.settings import ConfigurationError
from dlproj.studies.activation_functions import (
    DERIVATIVES,
    activation_functions,
    agreement,
    derivative,
    function,
    identities,
    intervals,
    sigmoid_table,
    vanishing,
)

INPUTS = torch.linspace(-10, 10, 2001, dtype=torch.float64)


def test_the_sigmoids_derivative_is_the_documents_to_each_of_its_digits():
    table = sigmoid_table()
    assert [cell[1:] for cell in table.cells] == [(text, text) for text in
            ("4.540e-5", "6.648e-3", "0.25", "6.648e-3", "4.540e-5")]  # fmt: skip
    assert [row["x"] for row in table.rows] == [-10, -5, 0, 5, 10]
    assert table.rows[0]["measured"] == pytest.approx(4.540e-5, rel=1e-4)


def test_every_elementwise_activation_has_its_derivative_in_closed_form():
    assert set(DERIVATIVES) == set(Activation) - {Activation.softmax}
    assert all(row["largest_difference"] < 1e-15 for row in agreement(INPUTS).rows)


def test_identities_hold():
    assert all(row["largest_difference"] < 1e-14 for row in identities(INPUTS).rows)


def test_derivatives_by_hand():
    at = torch.tensor([-2.0, 0.0, 2.0], dtype=torch.float64)
    assert derivative(function(Activation.relu), at).tolist() == [0, 0, 1]
    assert derivative(function(Activation.prelu), at).tolist() == [0.1, 0.1, 1]
    assert derivative(function(Activation.tanh), at).tolist() == pytest.approx([0.07065082, 1, 0.07065082])


def test_where_gradients_vanish():
    edge = 2 * math.acosh(5)  # σ' = 1/(4 cosh²(x/2)); 4.58486
    ((low, end), (begin, high)) = intervals(function(Activation.sigmoid), 0.01)
    assert (low, high) == (-math.inf, math.inf)
    assert (end, begin) == (pytest.approx(-edge, abs=1e-9), pytest.approx(edge, abs=1e-9))
    ((_, end),) = intervals(function(Activation.elu), 1e-6)
    assert end == pytest.approx(math.log(1e-6), abs=1e-8)
    assert intervals(function(Activation.identity), 0.5) == []
    assert intervals(function(Activation.relu), 1e-12) == [(-math.inf, pytest.approx(0, abs=1e-9))]


def test_swish_vanishes_around_its_minimum_too():
    _, (low, high) = intervals(function(Activation.swish), 0.01)
    assert low < -1.278465 < high  # where x = -1 - e^x by its minimum
    edges = derivative(function(Activation.swish), torch.tensor([low, high], dtype=torch.float64))
    assert edges.tolist() == pytest.approx([-0.01, 0.01], abs=1e-9)


def test_shares_are_of_the_inputs_and_intervals_are_written_as_inequalities():
    found = {row["activation"]: row for row in vanishing(8, 0.01).rows}
    assert found["relu"]["vanished_share"] == pytest.approx(0.5, abs=1e-9)
    assert found["sigmoid"]["vanished_share"] == pytest.approx((8 - 4.58486) / 8, abs=1e-5)
    assert found["sigmoid"]["intervals"] == "x < -4.58, x > 4.58"
    assert found["relu"]["intervals"] == "x < 0.00"
    assert found["tanh"]["intervals"] == "x < -2.99, x > 2.99"
    assert (found["identity"]["intervals"], found["identity"]["vanished_share"]) == ("nowhere", 0)
    narrow = {row["activation"]: row["vanished_share"] for row in vanishing(1, 0.01).rows}
    assert narrow["tanh"] == narrow["swish"] == 0


@pytest.mark.parametrize("settings", [{"largest": math.inf}, {"largest": math.nan}, {"vanished": 0.0}, {"vanished": 2}])
def test_numbers_that_mean_nothing_are_refused(settings):
    with pytest.raises(ConfigurationError, match=f"--{next(iter(settings))}=.*: set a value in"):
        activation_functions(**settings)
