"""Second derivatives of a layer: by torch.func, by torch.autograd, by formula, and by hand."""

import pytest
import torch

from dlproj.settings import ConfigurationError
from dlproj.studies import hessian as module
from dlproj.studies.hessian import Layer, hessian, measure, random_layer

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")  # torch's own


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
    small, large = (measure(random_layer(units, 2, generator), 1, whole=True) for units in (4, 8))
    assert small["hessian_formula_bytes"] == 4 * 4**4
    assert large["hessian_formula_bytes"] == 16 * small["hessian_formula_bytes"]
    for row in (small, large):
        assert row["hessian_bytes"] >= row["hessian_formula_bytes"]
        assert row["gradient_bytes"] >= 4 * row["weights"]
        assert row["product_bytes"] < row["hessian_bytes"]


def test_the_article_leaves_out_hessians_above_the_largest_and_has_the_documents_layer():
    cost, reported, same = hessian(sizes="3,12", largest=3, batch=2, repetitions=1).sections
    measured = {row["units"]: row["hessian_median_seconds"] is not None for row in cost.table.rows}
    assert measured == {3: True, 10: True, 12: False}
    assert [row["reported_seconds"] for row in reported.table.rows] == [0.998e-3, 27.0e-3, 27.0e-3]
    assert {row["of"]: row["value"] for row in same.table.rows}["largest |product - H v|"] < 1e-10
    assert all(axes.get_xscale() == axes.get_yscale() == "log" for axes in cost.figures["cost"].axes)


def test_the_same_seed_gives_the_same_layer():
    one, other = (random_layer(3, 2, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one.weights, other.weights)
    assert torch.equal(one.targets, other.targets)


def test_threads_are_as_before(monkeypatch):
    monkeypatch.setattr(module, "random_layer", lambda *_: 1 / 0)
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        hessian(sizes="3")
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


@pytest.mark.parametrize("sizes", ["", "3;4", "0,3", "3,", "many", "3,-4", "2.5"])
def test_what_is_no_list_of_sizes_is_refused(sizes):
    with pytest.raises(ConfigurationError, match=r"--sizes=.* is no list of whole numbers"):
        hessian(sizes=sizes)
