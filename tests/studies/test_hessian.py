"""Second derivatives of a layer: by torch.func, by torch.autograd, by formula, and by hand."""

import pytest
import torch

from dlproj.settings import ConfigurationError
from dlproj.studies import hessian as module
from dlproj.studies.hessian import Layer, cost_table, hessian, measure, random_layer
from dlproj.studies.parts.timing import Timings

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own


@pytest.fixture
def layer(generator):
    return random_layer(6, 5, generator, torch.float64)


def test_a_product_is_the_hessian_times_the_vector(layer):
    along = torch.einsum("ijkl,kl->ij", layer.hessian(), layer.vector)
    torch.testing.assert_close(layer.product(), along, rtol=0, atol=1e-10)


def test_the_hessian_is_symmetric_and_has_no_eigenvalue_below_zero(layer):
    matrix = layer.hessian().reshape(36, 36)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-14)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-14


def test_it_is_that_of_torch_autograd_and_of_the_formula(layer):
    by_rows = torch.autograd.functional.hessian(layer.loss, layer.weights)
    torch.testing.assert_close(layer.hessian(), by_rows, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.closed_form(), by_rows, rtol=0, atol=1e-12)


def test_the_gradient_is_that_of_a_backward_pass(layer):
    weights = layer.weights.clone().requires_grad_()
    layer.loss(weights).backward()
    torch.testing.assert_close(layer.gradient(), weights.grad)


def test_two_classes_by_hand():
    # z = W x with x = (2, 0) and W = 0: p = ½, so diag p - p pᵀ = ±¼, and x xᵀ = 4 at the first input alone.
    inputs = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    zeros = torch.zeros(2, 2, dtype=torch.float64)
    by_hand = torch.zeros(2, 2, 2, 2, dtype=torch.float64)
    by_hand[:, 0, :, 0] = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    torch.testing.assert_close(Layer(zeros, zeros, inputs, torch.tensor([0])).hessian(), by_hand)


def test_memory_grows_as_the_fourth_power(generator):
    layers = {units: random_layer(units, 2, generator) for units in (4, 8)}
    small, large = measure({units: layer.works(largest=8) for units, layer in layers.items()}, 1, seed=0)
    assert small["hessian_formula_bytes"] == 4 * 4**4
    assert large["hessian_formula_bytes"] == 16 * small["hessian_formula_bytes"]
    for row in (small, large):
        assert row["hessian_bytes"] >= row["hessian_formula_bytes"]
        assert row["gradient_bytes"] >= 4 * row["weights"]
        assert row["product_bytes"] < row["hessian_bytes"]


def test_each_row_has_the_times_of_its_own_works_which_take_turns(monkeypatch):
    def timed(works, turns, seed, of, in_a_row):
        assert (turns, seed, in_a_row) == (7, 5, 3)
        return {name: Timings([work().item()]) for name, work in works.items()}

    monkeypatch.setattr(module, "time_in_turns", timed)
    works = {
        units: {"gradient": lambda units=units: torch.tensor(1.0 * units), "product": lambda: torch.tensor(2.0)}
        for units in (3, 4)
    }
    rows = measure(works, 7, seed=5)
    assert [(row["units"], row["weights"], row["gradient_median_seconds"]) for row in rows] == [(3, 9, 3), (4, 16, 4)]
    assert [(row["product_median_seconds"], row["hessian_median_seconds"]) for row in rows] == [(2, None)] * 2


def test_the_table_says_what_a_hessian_that_is_not_computed_would_take_at_least(generator):
    layers = {units: random_layer(units, 2, generator) for units in (4, 40)}
    table = cost_table(measure({units: layer.works(largest=4) for units, layer in layers.items()}, 1, seed=0))
    assert len(table.columns) == len(table.cells[0]) == 9
    assert table.cells[0][-1] == f"{table.rows[0]['hessian_bytes'] / 1e6:.3f}"
    assert (table.cells[1][3], table.cells[1][5], table.cells[1][-1]) == ("–", "–", "10.240 or more")  # 4 · 40⁴ bytes


def test_the_article_leaves_out_hessians_above_the_largest_and_has_the_documents_layer():
    cost, reported, same = hessian(sizes="3,12", largest=3, batch=2, turns=1).sections
    measured = {row["units"]: row["hessian_median_seconds"] is not None for row in cost.table.rows}
    assert measured == {3: True, 10: True, 12: False}
    assert [row["reported_seconds"] for row in reported.table.rows] == [0.998e-3, 27.0e-3, 27.0e-3]
    assert {row["of"]: row["value"] for row in same.table.rows}["largest |product - H v|"] < 1e-10
    assert all(axes.get_xscale() == axes.get_yscale() == "log" for axes in cost.figures["cost"].axes)


def test_the_same_seed_gives_the_same_layer():
    one, other = (random_layer(3, 2, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one.weights, other.weights)
    assert torch.equal(one.targets, other.targets)


@pytest.mark.parametrize("sizes", ["", "3;4", "0,3", "3,", "many", "3,-4", "2.5"])
def test_what_is_no_list_of_sizes_is_refused(sizes):
    with pytest.raises(ConfigurationError, match=r"--sizes=.* is no list of whole numbers"):
        hessian(sizes=sizes)


def test_a_hessian_that_the_machine_cannot_hold_is_refused_before_it_is_computed():
    with pytest.raises(ConfigurationError, match=r"the Hessian of 2000 × 2000 weights takes 256,000 GB"):
        hessian("2000", largest=5000)
