"""Losses as functions of one layer's weights, and their first and second derivatives in several ways."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Problem(ABC):
    """Weights (n, m), a vector v of their shape, and the samples: inputs (B, m) and targets."""

    weights: Tensor
    vector: Tensor
    inputs: Tensor
    targets: Tensor

    @abstractmethod
    def loss(self, weights: Tensor) -> Tensor:
        """The mean loss L of the samples, a scalar."""

    @abstractmethod
    def closed_form(self) -> Tensor:
        """The Hessian (n, m, n, m) by its formula."""

    def gradient(self) -> Tensor:
        """∇L (n, m) by torch.func, a forward and a backward pass."""
        return torch.func.grad(self.loss)(self.weights)

    def product(self) -> Tensor:
        """The Hessian-vector product H v (n, m)."""
        return torch.func.jvp(torch.func.grad(self.loss), (self.weights,), (self.vector,))[1]

    def hessian(self) -> Tensor:
        """All second derivatives (n, m, n, m), side by side."""
        return torch.func.hessian(self.loss)(self.weights)

    def backward(self) -> Callable[[], Tensor]:
        """A function that returns ∇L (n, m) by a backward pass alone; the forward pass is done here, once."""
        weights = self.weights.clone().requires_grad_()
        loss = self.loss(weights)
        return lambda: torch.autograd.grad(loss, weights, create_graph=True)[0]

    def hessian_by_rows(self) -> Tensor:
        """All second derivatives (n, m, n, m): the gradient, then a backward pass for each of its numbers."""
        weights = self.weights.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self.loss(weights), weights, create_graph=True)
        flat = gradient.flatten()
        rows = [torch.autograd.grad(flat[i], weights, retain_graph=True)[0] for i in range(len(flat))]
        return torch.stack(rows).reshape(*weights.shape, *weights.shape)


class Layer(Problem):
    """Logits W x of n classes (B,), whose loss is the cross-entropy."""

    __slots__ = ()

    def loss(self, weights: Tensor) -> Tensor:
        """The mean cross-entropy of the batch."""
        return functional.cross_entropy(self.inputs @ weights.T, self.targets)

    def closed_form(self) -> Tensor:
        """The mean of (diag p - p pᵀ) ⊗ x xᵀ."""
        shares = (self.inputs @ self.weights.T).softmax(1)
        by_logits = torch.diag_embed(shares) - shares[:, :, None] * shares[:, None, :]
        return torch.einsum("bik,bj,bl->ijkl", by_logits, self.inputs, self.inputs) / len(self.inputs)


@dataclass(frozen=True, slots=True)
class Network(Problem):
    """Outputs V max(W x + b, 0) + c beside targets (B, q), whose loss is the mean squared error; W are the weights."""

    biases: Tensor  # b (n,)
    following: Tensor  # V (q, n)
    added: Tensor  # c (q,)

    def loss(self, weights: Tensor) -> Tensor:
        """The mean squared error over samples and outputs."""
        hidden = (self.inputs @ weights.T + self.biases).relu()
        errors = hidden @ self.following.T + self.added - self.targets
        return errors.square().mean()  # torch.func cannot differentiate functional.mse_loss forward, then backward

    def closed_form(self) -> Tensor:
        """The mean of 2/q D VᵀV D ⊗ x xᵀ, D the active units: ReLU itself has no second derivative."""
        active = (self.inputs @ self.weights.T + self.biases > 0).to(self.weights.dtype)
        by_sums = torch.einsum("bi,bk,qi,qk->bik", active, active, self.following, self.following)
        return 2 * torch.einsum("bik,bj,bl->ijkl", by_sums, self.inputs, self.inputs) / self.targets.numel()


def random_layer(units: int, batch: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Layer:
    """Inputs and vector from N(0, 1), weights from N(0, 1/n), any class."""
    weights, vector = (torch.randn(units, units, generator=generator, dtype=dtype) for _ in range(2))
    inputs = torch.randn(batch, units, generator=generator, dtype=dtype)
    return Layer(weights / units**0.5, vector, inputs, torch.randint(units, (batch,), generator=generator))


def random_network(
    widths: tuple[int, int, int], batch: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Network:
    """Inputs, targets and vector from N(0, 1), weights and biases uniform in ±1/√inputs, as torch's linear layers."""
    inputs, hidden, outputs = widths

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    def uniform(fan_in: int, *shape: int) -> Tensor:
        return (2 * torch.rand(*shape, generator=generator, dtype=dtype) - 1) / fan_in**0.5

    return Network(
        weights=uniform(inputs, hidden, inputs),
        vector=normal(hidden, inputs),
        inputs=normal(batch, inputs),
        targets=normal(batch, outputs),
        biases=uniform(inputs, hidden),
        following=uniform(hidden, outputs, hidden),
        added=uniform(hidden, outputs),
    )
