"""Losses beside scikit-learn, the outputs that each can read, and scores."""

import re

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, mean_squared_error

from dlproj.config.checks import ConfigurationError
from dlproj.config.layers import Activation
from dlproj.config.model import Loss, LossFrom, check_loss_from, output_activation
from dlproj.models.losses import loss_function, probabilities, scores

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


CROSS_ENTROPIES = [(loss, activation) for loss, activation in PAIRS if loss is not Loss.mean_squared_error]


def by_numpy(loss, activation, source, logits, targets):
    """As Keras 2 defines it, in float64."""
    z, hot = logits.double().numpy(), np.eye(logits.shape[1])[targets]
    softmax = np.exp(z - z.max(1, keepdims=True))
    softmax /= softmax.sum(1, keepdims=True)
    if source is LossFrom.logits:
        if loss is Loss.cross_entropy:
            return (np.logaddexp.reduce(z, 1) - (hot * z).sum(1)).mean()
        return (np.logaddexp(0, z) - hot * z).mean()
    p = softmax if activation is Activation.softmax else 1 / (1 + np.exp(-z))
    p = p.clip(1e-7, 1 - 1e-7)
    if loss is Loss.cross_entropy:
        return -(hot * np.log(p)).sum(1).mean()
    return -(hot * np.log(p) + (1 - hot) * np.log(1 - p)).mean()


@pytest.mark.parametrize("size", [1.0, 8.0, 300.0])
@pytest.mark.parametrize("source", [LossFrom.logits, LossFrom.probabilities])
@pytest.mark.parametrize(("loss", "activation"), CROSS_ENTROPIES)
def test_each_form_is_the_one_of_numpy_even_where_outputs_are_saturated(loss, activation, source, size, generator):
    logits, targets = size * torch.randn(20, 4, generator=generator), torch.randint(4, (20,), generator=generator)
    ours = loss_function(loss, activation, source)(logits, targets)
    # float32 has no number nearer to 1 - 1e-7 than 1 - 1.19e-7.
    tolerance = 1e-5 if source is LossFrom.logits else 0.01
    assert float(ours) == pytest.approx(by_numpy(loss, activation, source, logits, targets), rel=tolerance)


@pytest.mark.parametrize(
    ("loss", "activation", "source"),
    [
        (Loss.cross_entropy, Activation.softmax, LossFrom.logits),
        (Loss.binary_cross_entropy, Activation.sigmoid, LossFrom.logits),
        (Loss.binary_cross_entropy, Activation.softmax, LossFrom.probabilities),
    ],
)
def test_auto_clips_a_softmax_before_binary_cross_entropy_alone(loss, activation, source, generator):
    logits, targets = 50 * torch.randn(20, 4, generator=generator), torch.randint(4, (20,), generator=generator)
    auto, chosen = loss_function(loss, activation), loss_function(loss, activation, source)
    assert torch.equal(auto(logits, targets), chosen(logits, targets))


def test_binary_cross_entropy_from_logits_reads_a_softmax_output_through_sigmoids(generator):
    logits, targets = 50 * torch.randn(20, 4, generator=generator), torch.randint(4, (20,), generator=generator)
    of_softmax, of_sigmoid = (
        loss_function(Loss.binary_cross_entropy, activation, LossFrom.logits)(logits, targets)
        for activation in (Activation.softmax, Activation.sigmoid)
    )
    assert torch.equal(of_softmax, of_sigmoid)


@pytest.mark.parametrize(("loss", "activation"), CROSS_ENTROPIES)
def test_probabilities_stop_the_gradient_of_a_saturated_mistake_and_logits_do_not(loss, activation):
    for source, moves in ((LossFrom.probabilities, False), (LossFrom.logits, True)):
        logits = torch.tensor([[100.0, -100.0]], requires_grad=True)
        loss_function(loss, activation, source)(logits, torch.tensor([1])).backward()
        assert bool(logits.grad.any()) is moves


@pytest.mark.parametrize("source", [LossFrom.logits, LossFrom.probabilities])
def test_a_mean_squared_error_has_one_form(source):
    message = (
        f"model.loss_from={source.name} does not go with model.loss=mean_squared_error, which reads outputs: "
        "leave it out"
    )
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        check_loss_from(Loss.mean_squared_error, source)


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


def test_clipped_probabilities_stay_in_double_precision():
    logits, targets = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 2, 1, 1])
    for loss in (Loss.cross_entropy, Loss.binary_cross_entropy):
        found = loss_function(loss, Activation.softmax, LossFrom.probabilities)(logits, targets)
        assert found.dtype is torch.float64
