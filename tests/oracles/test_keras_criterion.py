"""Class weights, smoothed labels and the focal loss beside Keras's: the same losses, gradients and steps."""

import pytest
import torch
from keras_twin import assert_same_steps, features, keras, keras_warnings, twin

from dlproj.config.layers import Activation, OutputConfig
from dlproj.config.mlp import MLPConfig
from dlproj.config.model import Loss, LossFrom
from dlproj.config.optim import SGDConfig

pytestmark = keras_warnings
layers, losses = keras.layers, keras.losses
SOFTMAX, SIGMOID = Activation.softmax, Activation.sigmoid
BINARY, CROSS, FOCAL = Loss.binary_cross_entropy, Loss.cross_entropy, Loss.focal
SMOOTHING, GAMMA = 0.2, 1.5
WEIGHTS = {0: 0.5, 1: 3.0, 2: 0.0}


CASES = {  # the loss here, its output and source; the same loss there
    "cross-entropy": (CROSS, SOFTMAX, LossFrom.logits, losses.CategoricalCrossentropy, {"from_logits": True}),
    "cross-entropy of probabilities": (CROSS, SOFTMAX, LossFrom.probabilities, losses.CategoricalCrossentropy, {}),
    "binary": (BINARY, SIGMOID, LossFrom.logits, losses.BinaryCrossentropy, {"from_logits": True}),
    "binary of probabilities": (BINARY, SIGMOID, LossFrom.probabilities, losses.BinaryCrossentropy, {}),
    "binary after a softmax": (BINARY, SOFTMAX, LossFrom.auto, losses.BinaryCrossentropy, {}),
    "focal": (
        *(FOCAL, SOFTMAX, LossFrom.auto, losses.CategoricalFocalCrossentropy),
        {"from_logits": True, "gamma": GAMMA, "alpha": 1.0},
    ),
    "binary focal": (
        *(FOCAL, SIGMOID, LossFrom.auto, losses.BinaryFocalCrossentropy),
        {"from_logits": True, "gamma": GAMMA},
    ),
}


def pair(case, outputs, smoothing, weights):
    loss, activation, source, theirs, settings = CASES[case]
    last = "linear" if settings.get("from_logits") else activation.name
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(outputs, last)])
    model.compile(keras.optimizers.SGD(0.1), theirs(label_smoothing=smoothing, **settings))
    config = MLPConfig(
        hidden=[8],
        loss=loss,
        loss_from=source,
        focal_gamma=GAMMA,
        output=OutputConfig(activation=activation),
        outputs=1 if outputs == 1 else None,
        label_smoothing=smoothing,
        class_weights=weights,
    )
    classes = max(outputs, 2)
    return twin(model, config, features(6, classes), SGDConfig(learning_rate=0.1), scale=0.6), model, classes


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, SMOOTHING])
@pytest.mark.parametrize(("case", "outputs"), [*((case, 3) for case in CASES), ("binary", 1), ("binary focal", 1)])
def test_same_loss_and_steps_with_class_weights_and_smoothed_labels(case, outputs, smoothing, weighted, generator):
    weights = {key: value for key, value in WEIGHTS.items() if key < max(outputs, 2)} if weighted else None
    ours, theirs, classes = pair(case, outputs, smoothing, list(weights.values()) if weights else None)
    inputs = torch.randn(10, 6, generator=generator)
    targets = torch.randint(classes, (10,), generator=generator)
    assert_same_steps(ours, theirs, inputs, targets, class_weight=weights)
