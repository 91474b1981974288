"""Losses on logits, and the scores that metrics and predictions read."""

from collections.abc import Callable
from enum import Enum
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from dlproj.models.activations import Activation
from dlproj.settings import require

LossFunction = Callable[[Tensor, Tensor], Tensor]


class Loss(Enum):
    """What is minimised, as the mean over the batch."""

    cross_entropy = "cross_entropy"
    binary_cross_entropy = "binary_cross_entropy"  # on one-hot targets, the mean over the outputs as in Keras
    mean_squared_error = "mean_squared_error"  # on one-hot targets, the mean over the outputs as in Keras


class LossFrom(Enum):
    """What a cross-entropy is computed from.

    Logits are exact however large they are; probabilities are kept within [1e-7, 1 − 1e-7] as in Keras, which bounds
    the loss and stops the gradient of outputs beyond. Binary cross-entropy reads logits through a sigmoid, whatever
    the output's activation: so does Keras 2 of TensorFlow 2.4 to 2.15 after a softmax, too, whose logits it keeps.
    """

    auto = "auto"  # logits, but probabilities for a softmax's binary cross-entropy
    logits = "logits"
    probabilities = "probabilities"


_ACTIVATIONS = {  # the first one is the default
    Loss.cross_entropy: (Activation.softmax,),
    Loss.binary_cross_entropy: (Activation.sigmoid, Activation.softmax),
    Loss.mean_squared_error: (Activation.identity, Activation.sigmoid, Activation.softmax),
}
_KERAS_EPSILON = 1e-7  # Keras keeps probabilities this far from 0 and 1


def output_activation(loss: Loss, chosen: Activation | None, outputs: int) -> Activation:
    """The output layer's activation: the chosen one if the loss can read it, else ConfigurationError."""
    if outputs == 1:
        message = (
            "model.outputs=1 is a probability: set model.loss=binary_cross_entropy, model.output.activation=sigmoid"
        )
        require((chosen or _ACTIVATIONS[loss][0]) is Activation.sigmoid, message)
    allowed = _ACTIVATIONS[loss]
    names = " or ".join(activation.name for activation in allowed)
    if chosen is None:
        return allowed[0]
    message = f"model.output.activation={chosen.name} does not go with model.loss={loss.name}: set {names}"
    require(chosen in allowed, message)
    return chosen


def check_loss_from(loss: Loss, source: LossFrom) -> None:
    """Raise ConfigurationError unless the loss can be computed from this."""
    message = f"model.loss_from={source.name} does not go with model.loss={loss.name}, which reads outputs"
    require(source is LossFrom.auto or loss is not Loss.mean_squared_error, f"{message}: leave it out")


def loss_function(loss: Loss, activation: Activation, source: LossFrom = LossFrom.auto) -> LossFunction:
    """A function of logits (B, outputs) and integer targets (B,) that returns the mean loss, a scalar.

    With one output, targets are 0 and 1 themselves; else they are one-hot.
    """
    if loss is Loss.mean_squared_error:
        return lambda logits, targets: functional.mse_loss(probabilities(logits, activation), one_hot(logits, targets))
    if _is_clipped(loss, activation, source):
        return partial(_FROM_PROBABILITIES[loss], activation=activation)
    return _FROM_LOGITS[loss]


def loss_words(loss: Loss, activation: Activation, source: LossFrom = LossFrom.auto) -> str:
    """What loss_function() computes of logits: "sigmoid, binary cross entropy"."""
    name = loss.name.replace("_", " ")
    if loss is Loss.mean_squared_error:
        return f"{activation.name}, {name}"
    if _is_clipped(loss, activation, source):
        return f"{activation.name}, clipped, {name}"
    return f"{'softmax' if loss is Loss.cross_entropy else 'sigmoid'}, {name}"


def _is_clipped(loss: Loss, activation: Activation, source: LossFrom) -> bool:
    of_softmax = loss is Loss.binary_cross_entropy and activation is Activation.softmax
    return source is LossFrom.probabilities or (source is LossFrom.auto and of_softmax)


def _binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, one_hot(logits, targets))


def _clipped(logits: Tensor, activation: Activation) -> Tensor:
    wide = logits if logits.dtype is torch.float64 else logits.float()
    return probabilities(wide, activation).clamp(_KERAS_EPSILON, 1 - _KERAS_EPSILON)


def _cross_entropy_of_clipped(logits: Tensor, targets: Tensor, activation: Activation) -> Tensor:
    return functional.nll_loss(_clipped(logits, activation).log(), targets)


def _binary_cross_entropy_of_clipped(logits: Tensor, targets: Tensor, activation: Activation) -> Tensor:
    # torch's own binary cross-entropy of probabilities refuses to run under autocast on a GPU.
    clipped = _clipped(logits, activation)
    return -torch.where(one_hot(logits, targets) > 0, clipped.log(), (-clipped).log1p()).mean()


_FROM_LOGITS: dict[Loss, LossFunction] = {
    Loss.cross_entropy: functional.cross_entropy,
    Loss.binary_cross_entropy: _binary_cross_entropy,
}
_FROM_PROBABILITIES = {
    Loss.cross_entropy: _cross_entropy_of_clipped,
    Loss.binary_cross_entropy: _binary_cross_entropy_of_clipped,
}


def one_hot(logits: Tensor, targets: Tensor) -> Tensor:
    """Targets (B,) in the logits' shape (B, outputs) and type."""
    if logits.shape[1] == 1:
        return targets[:, None].to(logits.dtype)
    return functional.one_hot(targets, logits.shape[1]).to(logits.dtype)


def probabilities(logits: Tensor, activation: Activation) -> Tensor:
    """The output layer's activation applied: (B, outputs) to the same shape."""
    match activation:
        case Activation.softmax:
            return logits.softmax(1)
        case Activation.sigmoid:
            return logits.sigmoid()
        case _:
            return logits


def scores(logits: Tensor) -> Tensor:
    """One score a class, the largest being the prediction: (B, 1 or classes) to (B, classes)."""
    if logits.shape[1] == 1:  # σ(z) > ½ where z > 0
        return torch.cat([torch.zeros_like(logits), logits], dim=1)
    return logits


def class_probabilities(logits: Tensor, activation: Activation) -> Tensor:
    """What the output layer says of each class: (B, 1 or classes) logits to (B, classes), float32.

    They add up to 1 after a softmax and with a single output; sigmoids and raw outputs are as they are.
    """
    values = probabilities(logits.float(), activation)
    return torch.cat([1 - values, values], dim=1) if values.shape[1] == 1 else values
