"""Second derivatives of a layer: by torch.func, by torch.autograd, by formula, and by hand."""

import pytest
import torch

from dlproj.config.checks import ConfigurationError
from dlproj.labs.studies import hessian as module
from dlproj.labs.studies.hessian import both, compare, compared_table, cost_table, hessian, measure, once, works_of
from dlproj.labs.studies.parts.second_derivatives import Layer, Network, random_layer, random_network
from dlproj.labs.studies.parts.timing import Timings

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own


@pytest.fixture(params=["the document's network", "several samples", "our layer"])
def problem(request, generator):
    match request.param:
        case "our layer":
            return random_layer(6, 5, generator, torch.float64)
        case "several samples":
            return random_network((4, 6, 3), 7, generator, torch.float64)
    return random_network((10, 10, 5), 1, generator, torch.float64)


def test_a_product_is_the_hessian_times_the_vector(problem):
    along = torch.einsum("ijkl,kl->ij", problem.hessian(), problem.vector)
    torch.testing.assert_close(problem.product(), along, rtol=0, atol=1e-10)


def test_the_hessian_is_symmetric_and_has_no_eigenvalue_below_zero(problem):
    count = problem.weights.numel()
    matrix = problem.hessian().reshape(count, count)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-14)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-14


def test_each_way_gives_what_torch_autograd_gives(problem):
    theirs = torch.autograd.functional.hessian(problem.loss, problem.weights)
    assert theirs.abs().max() > 0.01
    for found in (problem.hessian(), problem.hessian_by_rows(), problem.closed_form()):
        torch.testing.assert_close(found, theirs, rtol=0, atol=1e-12)


def test_the_gradient_is_that_of_a_backward_pass(problem):
    weights = problem.weights.clone().requires_grad_()
    problem.loss(weights).backward()
    torch.testing.assert_close(problem.gradient(), weights.grad)
    torch.testing.assert_close(problem.backward()(), weights.grad)


def test_the_forward_pass_is_outside_of_the_gradients_time(problem, monkeypatch):
    gradient, work = problem.gradient(), problem.backward()
    monkeypatch.setattr(type(problem), "loss", lambda *_: pytest.fail("a forward pass"))
    for _ in range(2):
        torch.testing.assert_close(work(), gradient)


def test_the_networks_loss_is_that_of_torchs_layers(generator):
    network = random_network((10, 10, 5), 1, generator, torch.float64)
    layers = torch.nn.Sequential(torch.nn.Linear(10, 10), torch.nn.ReLU(), torch.nn.Linear(10, 5)).double()
    layers.load_state_dict(
        {"0.weight": network.weights, "0.bias": network.biases, "2.weight": network.following, "2.bias": network.added}
    )
    theirs = torch.nn.MSELoss()(layers(network.inputs), network.targets)
    torch.testing.assert_close(network.loss(network.weights), theirs)
    assert all(0.2 < values.abs().max() <= 10**-0.5 for values in layers.state_dict().values())  # ±1/√10, as torch


def test_a_network_of_two_units_by_hand():
    # x = 3, sums 6 and -3: the second unit is asleep. L = (2 · max(w x, 0) - t)², so that d²L/dw² = 2 · 2² · 3² = 72.
    weights, following = torch.tensor([[2.0], [-1.0]]), torch.tensor([[2.0, 5.0]])
    one = torch.tensor([[3.0]])
    network = Network(weights, weights, one, one, torch.zeros(2), following, torch.zeros(1))
    for found in (network.hessian_by_rows(), network.closed_form()):
        assert found.reshape(2, 2).tolist() == [[72, 0], [0, 0]]


def test_two_classes_by_hand():
    # z = W x with x = (2, 0) and W = 0: p = ½, so diag p - p pᵀ = ±¼, and x xᵀ = 4 at the first input alone.
    inputs = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    zeros = torch.zeros(2, 2, dtype=torch.float64)
    by_hand = torch.zeros(2, 2, 2, 2, dtype=torch.float64)
    by_hand[:, 0, :, 0] = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    torch.testing.assert_close(Layer(zeros, zeros, inputs, torch.tensor([0])).hessian(), by_hand)


def test_memory_grows_as_the_fourth_power(generator):
    layers = {units: random_layer(units, 2, generator) for units in (4, 8)}
    small, large = measure({units: works_of(layer, largest=8) for units, layer in layers.items()}, 1, seed=0)
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
    table = cost_table(measure({units: works_of(layer, largest=4) for units, layer in layers.items()}, 1, seed=0))
    assert len(table.columns) == len(table.cells[0]) == 9
    assert table.cells[0][-1] == f"{table.rows[0]['hessian_bytes'] / 1e6:.3f}"
    assert (table.cells[1][3], table.cells[1][5], table.cells[1][-1]) == ("–", "–", "10.240 or more")  # 4 · 40⁴ bytes


def test_what_is_reported_stands_beside_the_documents_network_alone(generator):
    table = compared_table([once(0), *compare(both(2, generator), 1, seed=0)])
    assert [(row["network"], row["timed"]) for row in table.rows] == [
        ("10 → 10 → 5", "reported"),
        ("10 → 10 → 5", "once, in a new process"),
        ("10 → 10 → 5", "median"),
        ("ours, 10 × 10", "median"),
    ]
    assert table.cells[0][2:] == ("0.998", "27.000", "–", "–", "27.1")
    assert all(min(row["gradient_seconds"], row["hessian_by_rows_seconds"]) > 0 for row in table.rows)


def test_the_document_has_one_sample_and_our_layer_as_many_as_asked_for(generator):
    network, layer = both(7, generator).values()
    assert (network.inputs.shape, network.targets.shape) == ((1, 10), (1, 5))
    assert (layer.inputs.shape, layer.weights.shape) == ((7, 10), (10, 10))


def test_the_article_leaves_out_hessians_above_the_largest(monkeypatch):
    monkeypatch.setattr(module, "once_in_new_process", once)
    compared, cost, same = hessian(sizes="3,12", largest=3, batch=2, turns=1).sections
    assert len(compared.table.rows) == 4
    measured = {row["units"]: row["hessian_median_seconds"] is not None for row in cost.table.rows}
    assert measured == {3: True, 12: False}
    assert [row["largest |product - H v|"] < 1e-10 for row in same.table.rows] == [True, True]
    assert all(axes.get_xscale() == axes.get_yscale() == "log" for axes in cost.figures["cost"].axes)


@pytest.mark.slow
def test_a_new_process_times_each_once():
    row = module.once_in_new_process(0)
    assert row["gradient_seconds"] > 0
    assert row["hessian_by_rows_seconds"] > 0


def test_the_same_seed_gives_the_same_problem():
    for draw in (lambda source: random_layer(3, 2, source), lambda source: random_network((4, 3, 2), 1, source)):
        one, other = (draw(torch.Generator().manual_seed(5)) for _ in range(2))
        assert torch.equal(one.weights, other.weights)
        assert torch.equal(one.targets, other.targets)


@pytest.mark.parametrize("sizes", ["", "3;4", "0,3", "3,", "many", "3,-4", "2.5"])
def test_what_is_no_list_of_sizes_is_refused(sizes):
    with pytest.raises(ConfigurationError, match=r"--sizes=.* is not a list of whole numbers"):
        hessian(sizes=sizes)


def test_a_hessian_that_the_machine_cannot_hold_is_refused_before_it_is_computed():
    with pytest.raises(ConfigurationError, match=r"the Hessian of 2000 × 2000 weights takes 256,000 GB"):
        hessian("2000", largest=5000)
