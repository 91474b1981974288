"""The signal through depth against the recursions of He and Glorot, worked out by hand, and integrals by NumPy."""

import math

import numpy as np
import pytest
import torch

from dlproj.config.layers import Activation, Initializer
from dlproj.labs.studies.initialisation_signal import (
    ACTIVATIONS,
    Signal,
    _changes,
    _farthest,
    across,
    ends,
    initialisation_signal,
    keepers,
    measure,
    predict,
    predicted,
)
from dlproj.labs.studies.parts import chance
from dlproj.labs.studies.parts.initial_weights import CONFIGS, VARIANCES, random_layers


def test_each_initialiser_is_there():
    assert set(CONFIGS) == set(Initializer)
    for name, config in CONFIGS.items():
        config.check(f"{name}")


@pytest.mark.parametrize("name", VARIANCES)
def test_the_drawn_weights_have_the_stated_variance(name):
    (layer,) = random_layers(name, (300, 200), 0)
    # of 60,000 draws the mean square has a relative standard error of at most √(2/60,000) = 0.6 %
    assert float(layer.weight.detach().square().mean()) == pytest.approx(VARIANCES[name](300, 200), rel=0.025)
    assert not layer.bias.any()


def test_he_keeps_the_variance_through_relus_and_glorot_halves_it_by_the_layer():
    depth, width, seeds = 6, 128, 20
    # a draw's variance has a relative variance of (1 + 5/width)^depth - 1 at most: 4 standard errors of the mean
    bound = 4 * math.sqrt(((1 + 5 / width) ** depth - 1) / seeds)
    for name, start_at, factor in ((Initializer.he_normal, 2, 1), (Initializer.glorot_uniform, 1, 0.5)):
        drawn = [measure(name, Activation.relu, depth, width, 32, seed) for seed in range(seeds)]
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
    signal = measure(Initializer.glorot_normal, activation, 5, 400, 64, 0)
    forward, backward = predict(1.0, activation, 5)
    # each layer's mean square is over 400 units at least: √(2/400) = 7 % an error, which smooth functions dampen
    assert signal.forward.tolist() == pytest.approx(forward, rel=0.2)
    assert signal.backward.tolist() == pytest.approx(backward, rel=0.2)


def test_sigmoids_forget_their_inputs_and_zeros_pass_nothing():
    signal = measure(Initializer.glorot_normal, Activation.sigmoid, 6, 64, 16, 0)
    assert signal.share[0] > 0.9
    assert signal.share[-1] < 1e-4
    nothing = measure(Initializer.zeros, Activation.relu, 3, 8, 4, 0)
    assert not nothing.forward.any()
    assert not nothing.backward.any()


@pytest.mark.parametrize("activation", [Activation.elu, Activation.swish, Activation.prelu, Activation.tanh])
@pytest.mark.parametrize("variance", [1e-8, 1.0, 1e2])
def test_predictions_are_integrals_by_a_finer_rule(activation, variance):
    z = torch.linspace(-14, 14, 1_000_001, dtype=torch.float64)
    density = (-z.square() / 2).exp() / math.sqrt(2 * math.pi) * (z[1] - z[0])
    x = math.sqrt(variance) * z
    value, slope = {  # written out here, with torch's first slope of the parametric ReLU
        Activation.elu: (x.expm1().where(x < 0, x), x.exp().clamp(max=1)),
        Activation.swish: (x * x.sigmoid(), x.sigmoid() + x * x.sigmoid() * (-x).sigmoid()),
        Activation.prelu: (x.where(x > 0, 0.25 * x), (x > 0).double() * 0.75 + 0.25),
        Activation.tanh: (x.tanh(), 1 / x.clamp(-300, 300).cosh().square()),
    }[activation]
    forward, backward = predict(variance, activation, 2)
    assert forward[1] == pytest.approx(variance * float((value.square() * density).sum()), rel=1e-5)
    below = float((slope.square() * density).sum())
    assert backward[0] / backward[1] == pytest.approx(variance * below, rel=1e-5)


def test_the_ends_are_the_last_layers_sums_and_the_first_layers_gradients():
    depth, width, name = 4, 50, Initializer.he_normal
    signal = measure(name, Activation.sigmoid, depth, width, 16, 0)
    (row,) = ends({(name, Activation.sigmoid): signal}, depth, width)
    forward, backward = predict(width * 2 / width, Activation.sigmoid, depth)
    assert (row["forward_predicted"], row["backward_predicted"]) == (forward[-1], backward[0])
    assert (row["forward_measured"], row["backward_measured"]) == (signal.forward[-1], signal.backward[0])
    assert row["forward_predicted"] == pytest.approx(2 * 0.2762, rel=0.01)  # E[σ(z)²] of z from N(0, 0.55)
    assert row["backward_measured"] < signal.backward[-1] / 100
    assert predicted(Initializer.ones, Activation.sigmoid, depth, width) == (None, None)


def test_he_keeps_the_signal_of_relu_and_glorot_that_of_tanh():
    found = {
        (name, activation): measure(name, activation, 12, 200, 32, 1) for name in CONFIGS for activation in ACTIVATIONS
    }
    rows = {row["activation"]: row for row in keepers(found).rows}
    assert list(rows) == [activation.name for activation in ACTIVATIONS]
    assert rows["relu"]["initializer"] in ("he_normal", "he_uniform")
    assert rows["tanh"]["initializer"] in ("glorot_normal", "glorot_uniform", "orthogonal", "he_normal", "he_uniform")
    assert rows["identity"]["initializer"] == "orthogonal"  # whose products are orthogonal, too
    assert rows["identity"]["factor_of_sums"] == pytest.approx(1, rel=1e-4)  # but for float32
    signal = Signal(torch.tensor([2.0, 5.0, 8.0]), torch.tensor([3.0, 7.0, 6.0]), torch.zeros(3))
    assert _changes(signal) == (4, 0.5)
    assert _farthest((4, 0.1)) == pytest.approx(math.log(10))
    assert _farthest((0, 1)) == _farthest((math.nan, 1)) == math.inf


def test_each_initialiser_and_activation_has_its_cell():
    rows = [{"initializer": one, "of": value, "expected": 2 * value or None} for one in "ab" for value in range(8)]
    table = across(rows, "of", "expected")
    assert len(table.columns) == 10
    assert table.cells[1] == ["b", *"01234567", "0.50 to 0.50"]


def test_the_article_is_the_same_for_the_same_seed_and_leaves_torchs_generator_alone(monkeypatch):
    monkeypatch.setattr(chance, "STEPS", 2)
    before = torch.random.get_rng_state()
    one, same, other = (initialisation_signal(3, 8, 4, 1, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    tables = [[section.table.rows for section in article.sections if section.table] for article in (one, same, other)]
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]
    assert (len(tables[0][0]), len(tables[0][1])) == (8, len(Initializer) * 8)
    (figure,) = one.sections[0].figures.values()
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == ["relu", "sigmoid", "tanh"]
    assert {len(axes.lines) for axes in figure.axes} == {len(Initializer) - 1}
