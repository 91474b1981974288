"""A multilayer perceptron in NumPy alone: forward pass, backward pass and gradient descent by hand."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import DTypeLike

Layer = tuple[np.ndarray, np.ndarray]  # weights (outputs, inputs) and biases (outputs,)


class ScratchMLP:
    """Linear layers with ReLU between them, trained by stochastic gradient descent on softmax cross-entropy."""

    def __init__(self, layers: Iterable[Layer], dtype: DTypeLike) -> None:
        self.layers = [(np.array(weights, dtype), np.array(biases, dtype)) for weights, biases in layers]

    def forward(self, inputs: np.ndarray) -> list[np.ndarray]:
        """What each layer reads, (B, inputs) for inputs (B, inputs) of the first, and last the logits (B, outputs)."""
        reads = [inputs]
        for layer in self.layers[:-1]:
            sums = affine(reads[-1], layer)
            reads.append(np.maximum(sums, 0, out=sums))
        return [*reads, affine(reads[-1], self.layers[-1])]

    def gradients(self, inputs: np.ndarray, targets: np.ndarray) -> tuple[float, list[Layer]]:
        """The mean loss over a batch with classes (B,), and its gradient by each layer's weights and biases.

        With δ the gradient by a layer's sums z = h Wᵀ + b: ∂W = δᵀ h, ∂b = Σ δ over the batch, and the layer below has
        (δ W) ⊙ [h > 0], as its own output is h = max(z, 0).
        """
        *reads, logits = self.forward(inputs)
        loss, by_sums = softmax_cross_entropy(logits, targets)
        gradients: list[Layer] = []
        for i in reversed(range(len(self.layers))):
            gradients.append((by_sums.T @ reads[i], by_sums.sum(0)))
            if i:
                by_sums = by_sums @ self.layers[i][0]
                by_sums *= reads[i] > 0
        return loss, gradients[::-1]

    def step(self, inputs: np.ndarray, targets: np.ndarray, learning_rate: float) -> float:
        """One step of gradient descent on a batch; its mean loss before the step."""
        loss, gradients = self.gradients(inputs, targets)
        for layer, by_layer in zip(self.layers, gradients, strict=True):
            for parameter, gradient in zip(layer, by_layer, strict=True):
                parameter -= learning_rate * gradient
        return loss


def affine(inputs: np.ndarray, layer: Layer) -> np.ndarray:
    """The layer's sums (B, outputs) for inputs (B, inputs)."""
    weights, biases = layer
    sums = inputs @ weights.T
    sums += biases
    return sums


def softmax_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean over the batch of log Σ exp z - z_target, and its gradient (softmax z - one-hot) / B by the logits."""
    rows = np.arange(len(targets))
    shifted = logits - logits.max(1, keepdims=True)  # exp of a large logit would overflow
    powers = np.exp(shifted)
    totals = powers.sum(1, keepdims=True)
    loss = float(np.mean(np.log(totals[:, 0]) - shifted[rows, targets]))
    powers /= totals
    powers[rows, targets] -= 1
    powers /= len(targets)
    return loss, powers
