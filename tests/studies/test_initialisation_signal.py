"""The signal through depth against the recursions of He and Glorot, worked out by hand, and integrals by NumPy."""

import math

import numpy as np
import pytest
import torch

from dlproj.models.activations import Activation
from dlproj.models.initializers import Initializer
from dlproj.studies.initialisation_signal import (
    CONFIGS,
    NET,
    VARIANCES,
    answers,
    factors,
    gradient_to_he,
    gradients,
    initialisation_signal,
    measure,
    predict,
    random_layers,
    start,
)


@pytest.fixture(scope="module")
def starts():
    return {name: start(CONFIGS[name], 40, 10, 0) for name in (Initializer.normal, Initializer.he_normal)}


def test_each_initialiser_is_there():
    assert set(CONFIGS) == set(Initializer)
    for name, config in CONFIGS.items():
        config.check(f"{name}")


@pytest.mark.parametrize("name", VARIANCES)
def test_the_drawn_weights_have_the_stated_variance(name):
    (layer,) = random_layers(CONFIGS[name], (300, 200), 0)
    # of 60,000 draws the mean square has a relative standard error of at most √(2/60,000) = 0.6 %
    assert float(layer.weight.detach().square().mean()) == pytest.approx(VARIANCES[name](300, 200), rel=0.025)
    assert not layer.bias.any()


def test_he_keeps_the_variance_through_relus_and_glorot_halves_it_by_the_layer():
    depth, width, seeds = 6, 128, 20
    # a draw's variance has a relative variance of (1 + 5/width)^depth - 1 at most: 4 standard errors of the mean
    bound = 4 * math.sqrt(((1 + 5 / width) ** depth - 1) / seeds)
    for name, start_at, factor in ((Initializer.he_normal, 2, 1), (Initializer.glorot_uniform, 1, 0.5)):
        drawn = [measure(CONFIGS[name], Activation.relu, depth, width, 32, seed) for seed in range(seeds)]
        forward = sum(signal.forward for signal in drawn) / seeds
        backward = sum(signal.backward for signal in drawn) / seeds
        expected = [factor**layer for layer in range(depth)]
        assert (forward / start_at).tolist() == pytest.approx(expected, rel=bound)
        assert (2 * backward).tolist() == pytest.approx(expected[::-1], rel=bound)


def test_predictions_for_relu_by_hand():
    forward, backward = predict(2.0, Activation.relu, 5)
    assert forward == pytest.approx([2] * 5, rel=1e-12)
    assert backward == pytest.approx([0.5] * 5, rel=1e-12)
    forward, backward = predict(0.0256, Activation.relu, 3)
    assert forward == pytest.approx([0.0256, 0.0256 * 0.0128, 0.0256 * 0.0128**2], rel=1e-12)
    assert backward == pytest.approx([0.5 * 0.0128**2, 0.5 * 0.0128, 0.5], rel=1e-12)


def test_a_faint_signal_passes_tanh_unchanged_and_a_sigmoid_at_a_quarter():
    forward, backward = predict(1e-6, Activation.tanh, 2)
    assert forward == pytest.approx([1e-6, 1e-12], rel=1e-5)
    assert backward == pytest.approx([1e-6, 1], rel=1e-5)
    forward, backward = predict(1e-6, Activation.sigmoid, 2)
    assert forward == pytest.approx([1e-6, 1e-6 / 4], rel=1e-5)  # of activations of 1/2
    assert backward == pytest.approx([1e-6 / 16**2, 1 / 16], rel=1e-5)


def test_predictions_are_integrals_over_the_normal_distribution():
    z = np.linspace(-12, 12, 200_001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    forward, backward = predict(1.5, Activation.tanh, 2)
    second = 1.5 * (np.tanh(math.sqrt(1.5) * z) ** 2 * density).sum()
    assert forward == pytest.approx([1.5, second], rel=1e-7)
    last, first = (((1 - np.tanh(math.sqrt(q) * z) ** 2) ** 2 * density).sum() for q in (second, 1.5))
    assert backward == pytest.approx([last * 1.5 * first, last], rel=1e-6)


@pytest.mark.parametrize("activation", [Activation.sigmoid, Activation.tanh])
def test_wide_layers_do_as_predicted(activation):
    signal = measure(CONFIGS[Initializer.glorot_normal], activation, 5, 400, 64, 0)
    forward, backward = predict(1.0, activation, 5)
    # each layer's mean square is over 400 units at least: √(2/400) = 7 % an error, which smooth functions dampen
    assert signal.forward.tolist() == pytest.approx(forward, rel=0.2)
    assert signal.backward.tolist() == pytest.approx(backward, rel=0.2)


def test_sigmoids_forget_their_inputs_and_zeros_pass_nothing():
    signal = measure(CONFIGS[Initializer.glorot_normal], Activation.sigmoid, 6, 64, 16, 0)
    assert signal.share[0] > 0.9
    assert signal.share[-1] < 1e-4
    nothing = measure(CONFIGS[Initializer.zeros], Activation.relu, 3, 8, 4, 0)
    assert not nothing.forward.any()
    assert not nothing.backward.any()


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


def test_only_small_weights_leave_the_net_where_it_is(starts):
    steps = {(row["initializer"], row["layer"]): row["steps_to_move"] for row in gradients(starts).rows}
    assert steps["normal", "784 → 512"] > 100 * 2350
    assert steps["he_normal", "784 → 512"] < 2350 / 10
    first, he = answers(starts).rows
    assert (first["reported_test_accuracy"], he["reported_test_accuracy"]) == (0.1095, None)
    assert first["loss"] == pytest.approx(math.log(10), rel=1e-6)
    assert first["farthest_from_a_tenth"] < 1e-4 < 0.01 < he["farthest_from_a_tenth"]


def test_the_article_is_the_same_for_the_same_seed_and_leaves_torchs_generator_alone():
    before = torch.random.get_rng_state()
    one, same, other = (initialisation_signal(3, 8, 4, 1, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    tables = [[section.table.rows for section in article.sections if section.table] for article in (one, same, other)]
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]
    (figure,) = one.sections[0].figures.values()
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == ["relu", "sigmoid", "tanh"]
    assert {len(axes.lines) for axes in figure.axes} == {len(Initializer) - 1}
