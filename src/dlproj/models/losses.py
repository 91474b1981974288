"""Losses on logits, and the scores and probabilities for metrics and predictions."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from dlproj.config.layers import Activation
from dlproj.config.model import Loss, LossFrom

LossFunction = Callable[[Tensor, Tensor], Tensor]


_KERAS_EPSILON = 1e-7  # Keras clips probabilities to [ε, 1 − ε]


def loss_function(
    loss: Loss, activation: Activation, source: LossFrom = LossFrom.auto, gamma: float = 2.0
) -> LossFunction:
    """Return a function of logits (B, outputs) and integer targets (B,) that computes the mean loss, a scalar.

    With one output the targets 0 and 1 are used as they are, otherwise one-hot encoded. gamma: of the focal loss.
    """
    if loss is Loss.focal:
        each = focal(activation, gamma)
        return lambda logits, targets: each(wide(logits), one_hot(wide(logits), targets)).mean()
    if loss is Loss.mean_squared_error:
        return lambda logits, targets: functional.mse_loss(probabilities(logits, activation), one_hot(logits, targets))
    if _is_clipped(loss, activation, source):
        return partial(_FROM_PROBABILITIES[loss], activation=activation)
    return _FROM_LOGITS[loss]


def loss_words(loss: Loss, activation: Activation, source: LossFrom = LossFrom.auto) -> str:
    """Describe what loss_function() computes from logits: "sigmoid, binary cross entropy"."""
    name = loss.name.replace("_", " ")
    if loss is Loss.mean_squared_error:
        return f"{activation.name}, {name}"
    if _is_clipped(loss, activation, source):
        return f"{activation.name}, clipped, {name}"
    if loss is Loss.focal:
        return f"{activation.name}, focal cross entropy"
    return f"{'softmax' if loss is Loss.cross_entropy else 'sigmoid'}, {name}"


def sample_losses(loss: Loss, activation: Activation, source: LossFrom, gamma: float) -> LossFunction:
    """Return a function of logits and targets, both (B, outputs), that computes the loss of each sample, (B,).

    Targets are in [0, 1]; where they are one-hot, the mean is that of loss_function().
    """
    if loss is Loss.focal:
        return focal(activation, gamma)
    if loss is Loss.mean_squared_error:
        return lambda logits, hot: (probabilities(logits, activation) - hot).square().mean(1)
    if not _is_clipped(loss, activation, source):
        return _EACH_FROM_LOGITS[loss]

    def of_clipped(logits: Tensor, hot: Tensor) -> Tensor:
        clipped = _clipped(logits, activation)
        if loss is Loss.cross_entropy:
            return -(hot * clipped.log()).sum(1)
        return -(hot * clipped.log() + (1 - hot) * (-clipped).log1p()).mean(1)

    return of_clipped


def focal(activation: Activation, gamma: float) -> LossFunction:
    """Return sample_losses() of the focal loss (Lin et al. 2017), without its α, for which there are class weights.

    As in Keras, the softmax form is Σ −y (1 − p)^γ log p over the classes, and the sigmoid form the mean over the
    outputs of a binary one. A wrong output's loss is not bounded, unlike Keras's, whose probabilities are clipped.
    """

    def of_softmax(logits: Tensor, hot: Tensor) -> Tensor:
        log = logits.log_softmax(1)
        return -(hot * _missing(log.exp()) ** gamma * log).sum(1)

    def of_sigmoid(logits: Tensor, hot: Tensor) -> Tensor:
        p = logits.sigmoid()
        entropy = functional.binary_cross_entropy_with_logits(logits, hot, reduction="none")
        return (_missing(hot * p + (1 - hot) * (1 - p)) ** gamma * entropy).mean(1)

    return of_softmax if activation is Activation.softmax else of_sigmoid


def _missing(probability: Tensor) -> Tensor:
    # At 0, a power below 1 has an infinite gradient.
    return (1 - probability).clamp(min=_KERAS_EPSILON)


def _is_clipped(loss: Loss, activation: Activation, source: LossFrom) -> bool:
    of_softmax = loss is Loss.binary_cross_entropy and activation is Activation.softmax
    return source is LossFrom.probabilities or (source is LossFrom.auto and of_softmax)


def _binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, one_hot(logits, targets))


def _clipped(logits: Tensor, activation: Activation) -> Tensor:
    return probabilities(wide(logits), activation).clamp(_KERAS_EPSILON, 1 - _KERAS_EPSILON)


def _cross_entropy_of_clipped(logits: Tensor, targets: Tensor, activation: Activation) -> Tensor:
    return functional.nll_loss(_clipped(logits, activation).log(), targets)


def _binary_cross_entropy_of_clipped(logits: Tensor, targets: Tensor, activation: Activation) -> Tensor:
    # torch's own binary cross-entropy on probabilities refuses to run under autocast on a GPU.
    clipped = _clipped(logits, activation)
    return -torch.where(one_hot(logits, targets) > 0, clipped.log(), (-clipped).log1p()).mean()


_FROM_LOGITS: dict[Loss, LossFunction] = {
    Loss.cross_entropy: functional.cross_entropy,
    Loss.binary_cross_entropy: _binary_cross_entropy,
}
_EACH_FROM_LOGITS: dict[Loss, LossFunction] = {
    Loss.cross_entropy: partial(functional.cross_entropy, reduction="none"),
    Loss.binary_cross_entropy: lambda logits, hot: functional.binary_cross_entropy_with_logits(
        logits, hot, reduction="none"
    ).mean(1),
}
_FROM_PROBABILITIES = {
    Loss.cross_entropy: _cross_entropy_of_clipped,
    Loss.binary_cross_entropy: _binary_cross_entropy_of_clipped,
}


def wide(logits: Tensor) -> Tensor:
    """Convert half precision to float32."""
    return logits if logits.dtype is torch.float64 else logits.float()


def one_hot(logits: Tensor, targets: Tensor) -> Tensor:
    """Convert targets (B,) to the shape (B, outputs) and dtype of the logits."""
    if logits.shape[1] == 1:
        return targets[:, None].to(logits.dtype)
    return functional.one_hot(targets, logits.shape[1]).to(logits.dtype)


def probabilities(logits: Tensor, activation: Activation) -> Tensor:
    """Apply the output layer's activation: (B, outputs) to the same shape."""
    match activation:
        case Activation.softmax:
            return logits.softmax(1)
        case Activation.sigmoid:
            return logits.sigmoid()
        case _:
            return logits


def scores(logits: Tensor) -> Tensor:
    """Convert logits (B, 1 or classes) to a score per class (B, classes); the largest is the prediction."""
    if logits.shape[1] == 1:  # σ(z) > ½ where z > 0
        return torch.cat([torch.zeros_like(logits), logits], dim=1)
    return logits


def class_probabilities(logits: Tensor, activation: Activation) -> Tensor:
    """Convert logits (B, 1 or classes) to the output layer's value for each class (B, classes), at least float32.

    The values of a softmax or a single output add up to 1; sigmoids and raw outputs are not normalised.
    """
    values = probabilities(logits.to(torch.promote_types(logits.dtype, torch.float32)), activation)
    return torch.cat([1 - values, values], dim=1) if values.shape[1] == 1 else values
