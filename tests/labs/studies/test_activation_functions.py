"""Curves and derivatives of activations against the document's figures and hand-worked values."""

import math
import re
from functools import partial

import pytest
import torch

from dlproj.config.checks import ConfigurationError
from dlproj.config.layers import Activation
from dlproj.labs.studies.activation_functions import (
    DERIVATIVES,
    activation_functions,
    agreement,
    derivative,
    function,
    identities,
    intervals,
    limits_table,
    sigmoid_table,
    tanh_table,
    vanishing,
)
from dlproj.labs.studies.parts.activation_families import FAMILIES
from dlproj.labs.studies.parts.stacks import as_tanh, random_layers

INPUTS = torch.linspace(-10, 10, 2001, dtype=torch.float64)


def test_the_sigmoids_derivative_is_the_documents_to_each_of_its_digits():
    table = sigmoid_table()
    assert [cell[1:] for cell in table.cells] == [
        (text, text) for text in ("4.540e-5", "6.648e-3", "0.25", "6.648e-3", "4.540e-5")
    ]
    assert [row["x"] for row in table.rows] == [-10, -5, 0, 5, 10]
    assert table.rows[0]["measured"] == pytest.approx(4.540e-5, rel=1e-4)


def test_every_elementwise_activation_has_its_derivative_in_closed_form():
    assert set(DERIVATIVES) == set(Activation) - {Activation.softmax}
    rows = agreement(INPUTS, {"leaky and parametric ReLU": [0, 0.3], "ELU": [0.5, 2], "Swish": [0, 0.5, 100]}).rows
    assert len(rows) == len(DERIVATIVES) + 7
    assert all(row["largest_difference"] < 1e-15 for row in rows)


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


def test_families_are_torchs_layers():
    x = torch.linspace(-5, 5, 100, dtype=torch.float64)
    by_name = {name: family.function for name, family in FAMILIES.items()}
    assert_equal = partial(torch.testing.assert_close, rtol=1e-14, atol=0)
    prelu = torch.nn.PReLU(init=0.1).double()
    prelu.weight.data.fill_(0.1)
    assert_equal(by_name["leaky and parametric ReLU"](x, 0.1), prelu(x).detach())
    assert_equal(by_name["ELU"](x, 2.0), torch.nn.ELU(2.0)(x))
    assert_equal(by_name["Swish"](x, 1.0), torch.nn.SiLU()(x))


def test_swish_goes_to_half_x_and_to_relu_but_not_to_x():
    flat, one, steep = limits_table(INPUTS, [1000.0, 0.0, 1.0]).rows
    assert (flat["beta"], flat["from_half_x"], flat["from_x"], flat["bound_from_relu"]) == (0, 0, 5, None)
    assert one["from_relu"] == pytest.approx(0.27846, abs=1e-4)  # u σ(-u) is largest at u = 1.27846: u - 1
    assert steep["from_relu"] <= steep["bound_from_relu"] == pytest.approx(0.27846e-3, rel=1e-4)
    small = limits_table(INPUTS, [1e-3]).rows[0]
    assert 0.99 * small["bound_from_half_x"] < small["from_half_x"] <= small["bound_from_half_x"] == 0.025


def sequential(layers, activation):
    modules = []
    for weights, biases in layers:
        linear = torch.nn.Linear(weights.shape[1], weights.shape[0], dtype=weights.dtype)
        linear.load_state_dict({"weight": weights, "bias": biases})
        modules += [linear, activation()]
    return torch.nn.Sequential(*modules[:-1])


@pytest.mark.parametrize("widths", [(5, 7, 3), (5, 7, 6, 4, 3), (4, 2)])
def test_a_sigmoid_network_is_a_tanh_network_by_torchs_layers(widths, generator):
    layers = random_layers(widths, generator)
    inputs = torch.randn(50, widths[0], generator=generator, dtype=torch.float64)
    by_sigmoid, by_tanh = (
        sequential(layers, torch.nn.Sigmoid)(inputs),
        sequential(as_tanh(layers), torch.nn.Tanh)(inputs),
    )
    torch.testing.assert_close(by_sigmoid, by_tanh, rtol=0, atol=1e-13)
    assert by_sigmoid.std() > 0.1


def test_one_unit_by_hand():
    # 3 σ(2x + 4) + 5 = 1.5 tanh(x + 2) + 6.5
    one, two = as_tanh([tuple(map(torch.tensor, layer)) for layer in (([[2.0]], [4.0]), ([[3.0]], [5.0]))])
    assert [tensor.item() for tensor in (*one, *two)] == [1, 2, 1.5, 6.5]


def test_converted_networks_differ_by_rounding_in_each_precision():
    rows = tanh_table([1, 3], 16, seed=0).rows
    assert [row["hidden_layers"] for row in rows] == [1, 3]
    assert all(0 < row["float64"] < 1e-13 < row["float32"] < 1e-4 < row["largest_output"] for row in rows)


def test_the_page_draws_a_line_a_parameter():
    article = activation_functions(relu_alphas="0.5", elu_alphas="1,2", swish_betas="0,1,2", layers="1", units=4)
    (figure,) = next(section.figures for section in article.sections if section.heading == "Families").values()
    above = figure.axes[:3]
    assert [axes.get_title(loc="left") for axes in above] == list(FAMILIES)
    assert [len(axes.lines) for axes in above] == [1, 2, 3 + 2]  # and Swish's limits


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"relu_alphas": "0.1,11"}, "--relu-alphas=11.0 must be in [0, 10]"),
        (
            {"elu_alphas": "1,,2"},
            "--elu-alphas=1,,2 must be numbers in [0, 10], separated by commas, such as 0.1,0.5,1",
        ),
        ({"swish_betas": "-1"}, "--swish-betas=-1 must be numbers in [0, 1e6], separated by commas"),
        ({"swish_betas": "nan"}, "--swish-betas=nan must be numbers in [0, 1e6], separated by commas"),
        ({"swish_betas": "1e400"}, "--swish-betas=inf must be in [0, 1e6]"),
        ({"layers": "101"}, "--layers=101 is too deep: set 100 or fewer"),
    ],
)
def test_parameters_outside_of_their_ranges_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        activation_functions(**settings)


@pytest.mark.parametrize("settings", [{"largest": math.inf}, {"largest": math.nan}, {"vanished": 0.0}, {"vanished": 2}])
def test_numbers_that_mean_nothing_are_refused(settings):
    with pytest.raises(ConfigurationError, match=f"--{next(iter(settings))}=.* must be in"):
        activation_functions(**settings)
