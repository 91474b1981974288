"""The mlp document's net at chance: factors worked out by hand, and which nets leave chance."""

import math

import numpy as np
import pytest

from dlproj.config.layers import Initializer
from dlproj.labs.studies.parts.chance import (
    NET,
    Course,
    answers,
    course_table,
    factors,
    gradient_to_he,
    gradients,
    start,
    train,
    trained,
)


@pytest.fixture(scope="module")
def starts():
    return {name: start(name, 40, 10, 0) for name in (Initializer.normal, Initializer.he_normal)}


def test_the_factors_of_the_documents_net_by_hand(starts):
    rows = [row for row in factors(starts).rows if row["initializer"] == "normal"]
    # nσ² with σ² = 1e-4; behind a ReLU half of it
    expected = [0.0784, 0.0256, 0.0128, 0.0064, 0.0032]
    assert [row["factor_predicted"] for row in rows] == pytest.approx(expected, rel=1e-12)
    assert rows[-1]["product_predicted"] == pytest.approx(5.2613e-10, rel=1e-4)
    for row, inputs, outputs in zip(rows, NET[:-1], NET[1:], strict=True):
        error = math.sqrt((2 / outputs + 5 / inputs) / 10)  # of 10 nets' mean
        assert row["factor_measured"] == pytest.approx(row["factor_predicted"], rel=4 * error)


def test_weights_c_times_as_large_make_a_relu_nets_outputs_c_times_as_large_a_layer(starts):
    # the same draws scaled: σ/σ(He) of each layer by hand
    scale = [0.01 * math.sqrt(inputs / 2) for inputs in NET[:-1]]
    small, he = (starts[name].squares.sqrt() for name in starts)
    assert (small / he).tolist() == pytest.approx([1, *np.cumprod(scale)], rel=1e-4)
    assert gradient_to_he(Initializer.normal, 0) == pytest.approx(math.prod(scale[1:]), rel=1e-12)
    assert gradient_to_he(Initializer.normal, 0) == pytest.approx(8.192e-5, rel=1e-3)
    assert gradient_to_he(Initializer.he_uniform, 3) == 1


def test_small_weights_answer_the_same_whatever_the_input_and_have_small_gradients(starts):
    first, he = answers(starts).rows
    assert first["loss"] == pytest.approx(math.log(10), rel=1e-6)
    assert first["farthest_from_a_tenth"] < 1e-4 < 0.01 < he["farthest_from_a_tenth"]
    ratios = {row["layer"]: row["to_he_measured"] for row in gradients(starts).rows if row["initializer"] == "normal"}
    assert list(ratios) == ["784 → 512", "512 → 256", "256 → 128", "128 → 64", "64 → 10"]
    # He's errors, alike on all inputs, make his gradients up to four times as large as predicted
    for place, ratio in enumerate(ratios.values()):
        assert gradient_to_he(Initializer.normal, place) / 5 < ratio < gradient_to_he(Initializer.normal, place) * 1.5


def test_of_the_documents_nets_those_learn_that_did_in_the_document():
    nets = trained()
    assert [*nets.values()] == [0.8465, 0.7804, 0.1095, None, None]
    (two_layers, _), (three_layers, _), (four_layers, _), *_ = nets
    assert (two_layers, four_layers) == ((784, 256, 128, 10), NET)
    two, three = (train(widths, Initializer.normal, 0, 2350) for widths in (two_layers, three_layers))
    assert two.left_after() < three.left_after() < 2350
    assert three.gradients[-1] > 100 * three.gradients[0]
    deep = train(NET, Initializer.normal, 0, 300)
    assert deep.left_after() is None
    assert deep.gradients[-1] < 2 * deep.gradients[0]
    assert deep.losses == pytest.approx([math.log(10)] * 301, abs=1e-4)
    assert train(NET, Initializer.he_normal, 0, 300).left_after() < 50


def test_a_course_that_ends_at_chance_has_not_left_it():
    courses = {
        (NET, Initializer.normal): Course([2.31, 2.30], [1.0, 3.0]),
        (NET, Initializer.he_normal): Course([2.31, 2.1], [1.0, 3.0]),
    }
    normal, he = course_table(courses, {(NET, Initializer.normal): 0.1095, (NET, Initializer.he_normal): None}).rows
    assert (normal["left_chance_after_steps"], he["left_chance_after_steps"]) == (None, 1)
    assert (normal["reported_test_accuracy"], he["reported_test_accuracy"]) == (0.1095, None)
    assert (he["first_gradient"], he["last_gradient"]) == (1, 3)
