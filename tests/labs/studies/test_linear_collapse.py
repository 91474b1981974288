"""Stacked linear layers against hand-worked maps, NumPy and the rank that theory bounds."""

import numpy as np
import pytest
import torch

from dlproj.config.checks import ConfigurationError
from dlproj.labs.studies.linear_collapse import collapse, comparison, linear_collapse, parse_widths, ranks, scalar_table
from dlproj.labs.studies.parts.stacks import outputs_of, random_layers


def layers_of(*widths):
    return random_layers(widths, torch.Generator().manual_seed(3))


def test_two_maps_of_one_number_are_6x_plus_7_and_37_at_5():
    rows = {row["form"]: row for row in scalar_table().rows}
    assert set(rows) == {"3 (2x + 1) + 4", "6x + 7"}
    assert all(row["measured"] == row["reported"] == 37 for row in rows.values())


def test_two_layers_by_hand():
    first = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([1.0, -1.0])
    second = torch.tensor([[3.0, 1.0]]), torch.tensor([5.0])
    weights, biases = collapse([first, second])
    assert weights.tolist() == [[3.0, 7.0]]
    assert biases.tolist() == [7.0]  # 3·1 + 1·(-1) + 5
    # x = (1, -2): the sums are (-2, -3), which a ReLU makes zero
    inputs = torch.tensor([[1.0, -2.0]])
    assert outputs_of([first, second], inputs).tolist() == [[-4.0]]
    assert outputs_of([first, second], inputs, torch.relu).tolist() == [[5.0]]


def test_the_collapsed_layer_is_numpys_product():
    layers = layers_of(5, 7, 4, 3)
    weights, biases = collapse(layers)
    (w1, b1), (w2, b2), (w3, b3) = [(weight.numpy(), bias.numpy()) for weight, bias in layers]
    np.testing.assert_allclose(weights, np.linalg.multi_dot([w3, w2, w1]), rtol=1e-12)
    np.testing.assert_allclose(biases, w3 @ (w2 @ b1 + b2) + b3, rtol=1e-12)


def test_a_stack_is_affine_and_equals_its_single_layer_until_relus_stand_between():
    inputs = torch.randn(50, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    single, stack, bent = comparison(layers_of(6, 20, 20, 4), inputs).rows
    assert (single["parameters"], stack["parameters"]) == (6 * 4 + 4, 6 * 20 + 20 + 20 * 20 + 20 + 20 * 4 + 4)
    assert stack["largest_difference_to_single"] < 1e-13
    assert stack["largest_departure_from_affine"] < 1e-13
    assert bent["largest_difference_to_single"] > 0.1
    assert bent["largest_departure_from_affine"] > 0.1


@pytest.mark.parametrize("seed", range(5))
def test_the_rank_is_the_narrowest_width(seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 2, 3), (3, 3), (40, 5, 40), (40, 40), (9, 30, 4, 20)]
    rows = ranks({widths: collapse(random_layers(widths, generator))[0] for widths in shapes}).rows
    assert [row["measured_rank"] for row in rows] == [2, 3, 5, 40, 4]
    assert [row["reported_rank"] for row in rows] == [2, 3, None, None, None]


def test_the_values_around_the_rank_are_numpys():
    matrix = torch.diag(torch.tensor([5.0, 0.25, 2.0, 1e-20], dtype=torch.float64))
    (row,) = ranks({(4, 4): matrix}).rows
    kept, dropped = row["smallest_singular_value_kept"], row["largest_singular_value_dropped"]
    assert (row["measured_rank"], kept, dropped) == (3, pytest.approx(0.25), pytest.approx(1e-20))


@pytest.mark.parametrize("text", ["", "5", "5,6", "5,,6", "5,0,6", "5,-1,6", "5,6.5,7", "wide"])
def test_widths_that_are_none_are_refused(text):
    with pytest.raises(ConfigurationError, match=r"--widths=.*: set "):
        parse_widths(text)


def test_the_article_follows_its_options():
    article = linear_collapse("4,6,2", width=12, bottleneck=3, samples=20)
    assert article.subtitle == "layers 4 → 6 → 2, bottleneck 12 → 3 → 12, seed 0"
    (figure,) = article.sections[2].figures.values()
    full, narrow, tolerance = figure.axes[0].lines
    assert sum(narrow.get_ydata() > tolerance.get_ydata()[0]) == 3
    assert sum(full.get_ydata() > tolerance.get_ydata()[0]) == 12
    tables = [section.table.rows for section in linear_collapse("4,6,2", 12, 3, 20).sections]
    assert tables == [section.table.rows for section in article.sections]


def test_a_bottleneck_as_wide_as_its_stack_is_refused():
    with pytest.raises(ConfigurationError, match=r"--bottleneck=8 is not narrower than --width=8"):
        linear_collapse(width=8, bottleneck=8)
