"""Optimizers beside Keras: the same updates from the same gradients; and where each adds its epsilon."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from keras_twin import keras, keras_warnings

from dlproj.config.optim import AdagradConfig, AdamConfig, AdamWConfig, RMSpropConfig, SGDConfig
from dlproj.training.averaging import AverageWeights

pytestmark = keras_warnings
theirs = keras.optimizers
SHAPE, STEPS = (4, 3), 5


def gradients(size):
    """Gradients of either sign, from a tenth of `size` to `size`."""
    draw = np.random.default_rng(0)
    return draw.uniform(0.1 * size, size, (STEPS, *SHAPE)) * draw.choice([-1.0, 1.0], (STEPS, *SHAPE))


def start():
    return np.random.default_rng(1).normal(size=SHAPE)


def our_updates(config, steps, dtype):
    weights = torch.nn.Parameter(torch.tensor(start(), dtype=dtype))
    optimizer = config.build([weights])
    after = []
    for gradient in steps:
        weights.grad = torch.tensor(gradient, dtype=dtype)
        optimizer.step()
        after.append(weights.detach().clone().numpy())
    return np.stack(after)


def their_updates(optimizer, steps, dtype):
    weights = keras.Variable(start(), dtype=dtype)
    after = []
    with torch.no_grad():
        for gradient in steps:
            optimizer.apply([torch.tensor(gradient, dtype=getattr(torch, dtype))], [weights])
            after.append(keras.ops.convert_to_numpy(weights).copy())
    return np.stack(after)


@pytest.mark.parametrize(
    ("config", "optimizer"),
    [
        (SGDConfig(0.1), lambda: theirs.SGD(0.1)),
        (SGDConfig(0.1, momentum=0.9), lambda: theirs.SGD(0.1, momentum=0.9)),
        (SGDConfig(0.1, momentum=0.9, nesterov=True), lambda: theirs.SGD(0.1, momentum=0.9, nesterov=True)),
        # Keras adds epsilon inside the root, torch outside: both are compared where it does not count.
        (RMSpropConfig(0.01, alpha=0.9, epsilon=1e-9), lambda: theirs.RMSprop(0.01, rho=0.9, epsilon=1e-14)),
        (
            RMSpropConfig(0.01, alpha=0.9, epsilon=1e-9, momentum=0.9),
            lambda: theirs.RMSprop(0.01, rho=0.9, epsilon=1e-14, momentum=0.9),
        ),
        (
            RMSpropConfig(0.01, alpha=0.9, epsilon=1e-9, centered=True),
            lambda: theirs.RMSprop(0.01, rho=0.9, epsilon=1e-14, centered=True),
        ),
        (AdamConfig(0.01, epsilon=1e-7), lambda: theirs.Adam(0.01, epsilon=1e-7)),
        (
            AdamConfig(0.01, beta1=0.8, beta2=0.9, epsilon=1e-7),
            lambda: theirs.Adam(0.01, beta_1=0.8, beta_2=0.9, epsilon=1e-7),
        ),
        (AdamWConfig(0.01, weight_decay=0.1, epsilon=1e-7), lambda: theirs.AdamW(0.01, weight_decay=0.1, epsilon=1e-7)),
        (AdagradConfig(0.1, initial_accumulator_value=0.1, epsilon=1e-7), lambda: theirs.Adagrad(0.1)),
    ],
    ids=lambda value: "keras" if callable(value) else str(value),
)
def test_same_updates(config, optimizer):
    steps = gradients(1.0)
    ours = our_updates(config, steps, torch.float32)
    np.testing.assert_allclose(ours, their_updates(optimizer(), steps, "float32"), rtol=1e-5, atol=1e-5)


def rmsprop(steps, epsilon, inside):
    weights, square, after = start(), 0.0, []
    for gradient in steps:
        square = 0.9 * square + 0.1 * gradient**2
        weights = weights - 0.01 * gradient / (np.sqrt(square + epsilon) if inside else np.sqrt(square) + epsilon)
        after.append(weights)
    return np.stack(after)


def adam(steps, epsilon, before_correction):
    weights, mean, square, after = start(), 0.0, 0.0, []
    for step, gradient in enumerate(steps, start=1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        correction = np.sqrt(1 - 0.999**step)
        root = (np.sqrt(square) + epsilon) / correction if before_correction else np.sqrt(square) / correction + epsilon
        weights = weights - 0.01 * mean / (1 - 0.9**step) / root
        after.append(weights)
    return np.stack(after)


def adagrad(steps, epsilon, inside):
    weights, total, after = start(), 0.1, []
    for gradient in steps:
        total = total + gradient**2
        weights = weights - 0.1 * gradient / (np.sqrt(total + epsilon) if inside else np.sqrt(total) + epsilon)
        after.append(weights)
    return np.stack(after)


@pytest.mark.parametrize(
    ("formula", "config", "optimizer"),
    [
        (rmsprop, RMSpropConfig(0.01, alpha=0.9, epsilon=0.05), lambda: theirs.RMSprop(0.01, rho=0.9, epsilon=0.05)),
        (adam, AdamConfig(0.01, epsilon=0.05), lambda: theirs.Adam(0.01, epsilon=0.05)),
        (
            adagrad,
            AdagradConfig(0.1, initial_accumulator_value=0.1, epsilon=0.05),
            lambda: theirs.Adagrad(0.1, initial_accumulator_value=0.1, epsilon=0.05),
        ),
    ],
)
def test_epsilon_stands_where_torch_has_it_and_not_where_keras_has_it(formula, config, optimizer):
    steps = gradients(0.1)
    torchs, kerass = formula(steps, 0.05, False), formula(steps, 0.05, True)
    assert np.abs(torchs - kerass).max() > 1e-4
    np.testing.assert_allclose(our_updates(config, steps, torch.float64), torchs, rtol=1e-12)
    # Keras keeps its betas as float32 numbers.
    np.testing.assert_allclose(their_updates(optimizer(), steps, "float64"), kerass, rtol=1e-6)


@pytest.mark.parametrize("decay", [0.5, 0.875, 0.96875])  # Keras keeps it in float32, as the rate
def test_the_moving_average_of_the_weights_is_that_of_keras(decay):
    steps = gradients(1.0)
    variable = keras.Variable(start(), dtype="float64")
    optimizer = theirs.SGD(0.125, use_ema=True, ema_momentum=decay)
    model = torch.nn.ParameterDict({"weights": torch.nn.Parameter(torch.tensor(start()))})
    ours = SGDConfig(0.125, ema_decay=decay).build(model.parameters())
    averages = AverageWeights(SGDConfig(ema_decay=decay))
    averages.on_train_start(SimpleNamespace(optimizers=[ours]), model)
    for gradient in steps:
        model["weights"].grad = torch.tensor(gradient)
        ours.step()
        with torch.no_grad():
            optimizer.apply([torch.tensor(gradient)], [variable])
    averages.on_train_end(None, model)
    optimizer.finalize_variable_values([variable])
    found = model["weights"].detach().numpy()
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(variable), rtol=1e-12)
