"""The network in NumPy against torch's autograd, the project's training and values worked out by hand."""

import math
from itertools import chain, pairwise

import numpy as np
import pytest
import torch

from dlproj.config.checks import ConfigurationError, whole_numbers
from dlproj.config.data import DataSpec, Kind
from dlproj.labs.studies import scratch_vs_framework as module
from dlproj.labs.studies.parts.networks import batches_of, prepared
from dlproj.labs.studies.parts.scratch import ScratchMLP, softmax_cross_entropy
from dlproj.labs.studies.parts.scratch_checks import gradient_difference, train_both
from dlproj.labs.studies.parts.timing import Timings
from dlproj.labs.studies.scratch_vs_framework import (
    Shape,
    Steps,
    documented_table,
    scratch_vs_framework,
    steppers,
    time_all,
    time_table,
)

SPEC = DataSpec(Kind.features, (6,), ("a", "b", "c"))


@pytest.fixture(scope="module")
def digits():
    return prepared("digits", 0)


@pytest.mark.parametrize("hidden", [[], [7], [7, 5], [7, 5, 4]])
def test_gradients_are_those_of_autograd(hidden):
    batch = torch.randn(9, 6), torch.randint(3, (9,))
    parameters, difference = gradient_difference(hidden, SPEC, batch, seed=1)
    widths = [6, *hidden, 3]
    assert parameters == sum((one + 1) * other for one, other in pairwise(widths))
    assert difference < 1e-10


def test_softmax_cross_entropy_by_hand():
    loss, by_logits = softmax_cross_entropy(np.array([[0.0, math.log(3)]]), np.array([0]))
    assert loss == pytest.approx(math.log(4))
    assert by_logits == pytest.approx(np.array([[-0.75, 0.75]]))
    loss, by_logits = softmax_cross_entropy(np.array([[1000.0, 0.0], [0.0, 1000.0]]), np.array([1, 1]))
    assert loss == 500
    assert by_logits.tolist() == [[0.5, -0.5], [0, 0]]


def test_a_step_by_hand():
    """One unit, max(2 x - 1, 0), the first logit; the second is 0. It rests at x = 0, where nothing below it learns."""
    network = ScratchMLP([([[2]], [-1]), ([[1], [0]], [0, 0])], np.float64)
    inputs, targets = np.array([[1.0], [0.0]]), np.array([0, 0])
    assert network.forward(inputs)[-1].tolist() == [[1, 0], [0, 0]]
    missed = 1 / (1 + math.e)  # 1 - softmax of the first sample's target; of the second it is ½
    loss, ((weights, biases), (by_output, by_output_bias)) = network.gradients(inputs, targets)
    assert loss == pytest.approx((math.log1p(math.exp(-1)) + math.log(2)) / 2)
    assert weights.tolist() == biases[:, None].tolist() == [[pytest.approx(-missed / 2)]]
    assert by_output[:, 0] == pytest.approx([-missed / 2, missed / 2])
    assert by_output_bias == pytest.approx([-(missed + 0.5) / 2, (missed + 0.5) / 2])
    network.step(inputs, targets, learning_rate=2.0)
    assert network.layers[0][0][0, 0] == pytest.approx(2 + missed)


def test_all_arithmetic_is_in_the_chosen_type():
    network = ScratchMLP([(np.ones((4, 3)), np.zeros(4)), (np.ones((2, 4)), np.zeros(2))], np.float32)
    inputs, targets = np.ones((5, 3), np.float32), np.array([0, 1, 0, 1, 0])
    network.step(inputs, targets, 0.1)
    _, gradients = network.gradients(inputs, targets)
    arrays = [*network.forward(inputs), *(array for layer in [*network.layers, *gradients] for array in layer)]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


def test_an_epoch_ends_with_the_frameworks_weights(digits):
    row = train_both(digits, [32], torch.float64, 0)
    assert row["steps"] == 41  # 1293 / 32
    assert row["largest_difference"] < 1e-10
    assert row["torch_test_accuracy"] == row["numpy_test_accuracy"] > 0.5  # it has learnt
    assert 0 < train_both(digits, [32], torch.float32, 0)["largest_difference"] < 1e-4


def test_batches_are_those_of_the_epoch(digits):
    first, second = ([targets.tolist() for _, targets in batches_of(digits, epoch)] for epoch in (0, 1))
    assert first != second
    assert sorted(chain(*first)) == sorted(chain(*second)) == sorted(digits.train.targets.tolist())


def test_the_study_shows_what_was_reported_beside_what_is_measured():
    article = scratch_vs_framework(hidden="8", widths="4,8", depths="1,3", batches="4,8,16", steps=1)
    tables = {section.table.name: section.table for section in article.sections}
    assert [row["reported_seconds"] for row in tables["documented"].rows] == [0.1127, 0.2414, None]
    assert all(row["measured_seconds"] > 0 for row in tables["documented"].rows)
    assert [row["hidden_layers"] for row in tables["gradients"].rows] == [0, 1, 2, 3]
    assert all(row["largest_difference"] < 1e-10 for row in tables["gradients"].rows)
    timed = [(row["hidden_layers"], row["units_a_layer"], row["batch"]) for row in tables["step_time"].rows]
    assert timed == [(2, 4, 128), (2, 8, 128), (1, 256, 128), (3, 256, 128), (2, 256, 4), (2, 256, 8), (2, 256, 16)]
    assert "torch_lower_quartile_seconds" in tables["step_time"].rows[0]
    panels = article.sections[2].figures["step_time"].axes
    assert [axes.get_xlabel() for axes in panels] == ["Units a hidden layer", "Hidden layers", "Samples a batch"]
    assert {axes.get_xscale() for axes in panels} == {axes.get_yscale() for axes in panels} == {"log"}
    assert panels[0].get_ylabel() == "Time of a step (ms)"


def test_the_ratio_is_that_of_numpys_median_to_torchs():
    timings = {"torch": Timings([1.0, 2.0, 9.0]), "NumPy": Timings([5.0, 6.0, 7.0]), "NumPy, float64": Timings([8.0])}
    steps = Steps(Shape((4, 4), 8), timings)
    assert steps.ratio() == 3
    (row,) = time_table({"width": [steps]}).rows
    assert (row["torch_median_seconds"], row["numpy_median_seconds"], row["numpy_over_torch"]) == (2, 6, 3)
    rows = {row["implementation"]: row for row in documented_table(steps).rows}
    assert [row["measured_seconds"] for row in rows.values()] == [20, 60, 80]
    assert [row["measured_over_torch"] for row in rows.values()] == [1, 3, 4]
    assert rows["NumPy"]["reported_over_torch"] == pytest.approx(0.2414 / 0.1127)


def test_each_implementation_steps_in_its_own_arithmetic():
    documented = steppers(Shape((256, 128), 512), seed=0)
    for name, dtype in (("NumPy", np.float32), ("NumPy, float64", np.float64)):
        step = documented[name]
        arrays = [step.args[0], *chain(*step.func.__self__.layers)]
        assert {array.dtype for array in arrays} == {np.dtype(dtype)}
    assert documented["torch"].args[0].dtype == torch.float32
    assert list(steppers(Shape((4,), 8), seed=0)) == ["torch", "NumPy"]


def test_all_shapes_take_turns_and_each_is_timed_once(monkeypatch):
    def timed(works, turns, seed, of, in_a_row):
        assert (turns, seed, in_a_row) == (4, 7, 3)
        names = list(works)
        return {name: Timings([names.index(name)]) for name in names}

    monkeypatch.setattr(module, "time_in_turns", timed)
    found, documented = time_all({"width": [256, 8], "depth": [2], "batch": [128]}, 3, seed=7)
    assert found["width"][0] == found["depth"][0] == found["batch"][0]  # 2 layers of 256 units, 128 samples
    assert [one.shape.hidden for one in found["width"]] == [(256, 256), (8, 8)]
    assert [one.timings["NumPy"].median() for one in (*found["width"], documented)] == [1, 3, 5]
    assert list(documented.timings) == ["torch", "NumPy", "NumPy, float64"]


@pytest.mark.parametrize("text", ["", "a", "1,,2", "1.5", "-1", "0", "8,0", "1234567"])
def test_what_is_no_list_of_numbers_is_refused(text):
    with pytest.raises(ConfigurationError, match=r"^--widths=.* is not a list of whole numbers from 1 on: set such"):
        whole_numbers("--widths", text)


def test_options_are_checked():
    assert whole_numbers("--images", "0,12", least=0) == [0, 12]
    with pytest.raises(ConfigurationError, match=r"^--data=cifar10 must be one of digits, fmnist$"):
        scratch_vs_framework(data="cifar10")
    with pytest.raises(ConfigurationError, match=r"^--hidden"):
        scratch_vs_framework(hidden="many")
