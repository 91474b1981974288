"""What training minimises where that is not the plain loss: class weights, smoothed labels, mixed samples."""

import torch
from torch import Tensor

from dlproj.config.layers import Activation
from dlproj.config.model import Loss, ModelConfig
from dlproj.models.losses import LossFunction, one_hot, sample_losses, wide


def criterion(
    config: ModelConfig, activation: Activation, plain: LossFunction, weights: Tensor | None, mixes: bool
) -> LossFunction:
    """Return the training loss, a function of logits (B, outputs) and targets: `plain` unless a setting changes it.

    weights: the factor of each class, (classes,). mixes: True if targets are shares of classes, as Mixup makes them.
    """
    if weights is None and not config.label_smoothing and not mixes:
        return plain
    each = _weighted(_smoothed(config, activation), weights)
    return (lambda logits, shares: _mixed(each, logits, shares)) if mixes else lambda *batch: each(*batch).mean()


def balanced_weights(targets: Tensor, classes: int) -> Tensor:
    """Return samples / (classes · samples of the class), (classes,), of integer targets (N,), as scikit-learn does.

    Their mean over the samples is 1. A class without samples has the weight 0, and is not counted.
    """
    counts = targets.bincount(minlength=classes).double()
    present = counts > 0
    return torch.where(present, len(targets) / (present.sum() * counts.clamp(min=1)), 0).float()


def _smoothed(config: ModelConfig, activation: Activation) -> LossFunction:
    """The loss of each sample, (B,), from logits (B, outputs) and integer targets (B,)."""
    each = sample_losses(config.loss, activation, config.loss_from, config.focal_gamma)
    share = config.label_smoothing
    joint = config.loss is Loss.cross_entropy or (config.loss is Loss.focal and activation is Activation.softmax)

    def smoothed(logits: Tensor, targets: Tensor) -> Tensor:
        logits = wide(logits)
        hot = one_hot(logits, targets)
        return each(logits, hot * (1 - share) + share / (logits.shape[1] if joint else 2) if share else hot)

    return smoothed


def _weighted(each: LossFunction, weights: Tensor | None) -> LossFunction:
    # Not divided by the sum of a batch's weights, unlike torch's: the mean over processes and parts of a batch is then
    # that over the whole.
    return each if weights is None else lambda logits, targets: each(logits, targets) * weights[targets]


def _mixed(each: LossFunction, logits: Tensor, shares: Tensor) -> Tensor:
    """The mean of λ · loss(a) + (1 − λ) · loss(b); shares (B, classes) are λ and 1 − λ, or 1 where a is b."""
    (first, second), (a, b) = (values.unbind(1) for values in shares.topk(2))
    return (first * each(logits, a) + second * each(logits, b)).mean()
