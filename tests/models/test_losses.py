"""Losses beside scikit-learn, the outputs that each can read, and scores."""

import re

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, mean_squared_error

from dlproj.models.activations import Activation
from dlproj.models.losses import Loss, loss_function, output_activation, probabilities, scores
from dlproj.settings import ConfigurationError

PAIRS = [
    (Loss.cross_entropy, Activation.softmax),
    (Loss.binary_cross_entropy, Activation.sigmoid),
    (Loss.binary_cross_entropy, Activation.softmax),
    (Loss.mean_squared_error, Activation.identity),
    (Loss.mean_squared_error, Activation.sigmoid),
    (Loss.mean_squared_error, Activation.softmax),
]


def by_sklearn(loss, activation, logits, targets):
    outputs = probabilities(logits.double(), activation).numpy()
    if loss is Loss.cross_entropy:
        return log_loss(targets, outputs, labels=range(outputs.shape[1]))
    hot = targets[:, None].numpy() if outputs.shape[1] == 1 else np.eye(outputs.shape[1])[targets]
    if loss is Loss.mean_squared_error:
        return mean_squared_error(hot, outputs)
    # Every output is a yes or no of its own.
    return log_loss(hot.ravel(), outputs.ravel(), labels=[0, 1])


@pytest.mark.parametrize(("loss", "activation"), PAIRS)
def test_same_loss_as_scikit_learn(loss, activation, generator):
    logits, targets = torch.randn(20, 4, generator=generator), torch.randint(4, (20,), generator=generator)
    ours = loss_function(loss, activation)(logits, targets)
    assert ours.shape == ()
    assert float(ours) == pytest.approx(by_sklearn(loss, activation, logits, targets), rel=1e-5)


@pytest.mark.parametrize("loss", [Loss.binary_cross_entropy, Loss.mean_squared_error])
def test_same_loss_with_a_single_output(loss, generator):
    logits, targets = torch.randn(20, 1, generator=generator), torch.randint(2, (20,), generator=generator)
    ours = loss_function(loss, Activation.sigmoid)(logits, targets)
    assert float(ours) == pytest.approx(by_sklearn(loss, Activation.sigmoid, logits, targets), rel=1e-5)


@pytest.mark.parametrize(("loss", "activation"), PAIRS)
def test_loss_and_gradient_stay_finite_on_saturated_outputs(loss, activation):
    logits = torch.tensor([[1000.0, 0.0, -1000.0], [-1000.0, 1000.0, 0.0]], requires_grad=True)
    value = loss_function(loss, activation)(logits, torch.tensor([2, 1]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (Loss.cross_entropy, Activation.softmax),
        (Loss.binary_cross_entropy, Activation.sigmoid),
        (Loss.mean_squared_error, Activation.identity),
    ],
)
def test_each_loss_has_an_output_of_its_own(loss, expected):
    assert output_activation(loss, None, 3) is expected


@pytest.mark.parametrize(("loss", "activation"), PAIRS)
def test_an_output_that_the_loss_can_read_is_kept(loss, activation):
    assert output_activation(loss, activation, 3) is activation


@pytest.mark.parametrize(
    ("loss", "chosen", "outputs", "message"),
    [
        (
            Loss.cross_entropy,
            Activation.sigmoid,
            3,
            "model.output.activation=sigmoid does not go with model.loss=cross_entropy: set softmax",
        ),
        (
            Loss.binary_cross_entropy,
            Activation.identity,
            3,
            "model.output.activation=identity does not go with model.loss=binary_cross_entropy: set sigmoid or softmax",
        ),
        (
            Loss.mean_squared_error,
            Activation.relu,
            3,
            "model.output.activation=relu does not go with model.loss=mean_squared_error: "
            "set identity or sigmoid or softmax",
        ),
        *(
            (
                loss,
                chosen,
                1,
                "model.outputs=1 is a probability: set model.loss=binary_cross_entropy, "
                "model.output.activation=sigmoid",
            )
            for loss, chosen in [
                (Loss.cross_entropy, None),
                (Loss.mean_squared_error, None),
                (Loss.binary_cross_entropy, Activation.softmax),
                (Loss.mean_squared_error, Activation.softmax),
            ]
        ),
    ],
)
def test_an_output_that_the_loss_cannot_read_is_refused(loss, chosen, outputs, message):
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        output_activation(loss, chosen, outputs)


def test_a_single_output_above_one_half_is_class_one():
    logits = torch.tensor([[-2.0], [3.0], [-0.1], [0.1]])
    above = (probabilities(logits, Activation.sigmoid)[:, 0] > 0.5).int()
    assert scores(logits).argmax(1).tolist() == above.tolist() == [0, 1, 0, 1]


def test_scores_of_several_outputs_are_the_logits(generator):
    logits = torch.randn(3, 4, generator=generator)
    assert torch.equal(scores(logits), logits)
