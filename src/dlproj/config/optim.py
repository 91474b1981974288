"""Settings of each optimizer."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlproj.config.checks import require
from dlproj.config.fields import check_ranges, setting

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


@dataclass(slots=True)
class OptimConfig(ABC):
    """Settings shared by all optimizers."""

    learning_rate: float = setting(0.001, "step size", "(0, inf)")
    weight_decay: float = setting(
        0.0, "λ of λ·w added to the gradient (adamw: decoupled from it); Keras's L2 is model.weight_l2", "[0, inf)"
    )
    layer_decay: float = setting(
        1.0, "factor of the step size from each layer to the one before it; the output has learning_rate", "(0, 1]"
    )
    ema_decay: float | None = setting(
        None, "evaluate and keep an exponential moving average of the weights with this decay; unset: no", "(0, 1)"
    )
    swa_start: float | None = setting(
        None,
        "evaluate and keep the mean of the weights after each epoch beyond this share of training; unset: no",
        "[0, 1)",
    )

    def __post_init__(self) -> None:
        check_ranges(self, "optim.")
        both = self.ema_decay is not None and self.swa_start is not None
        require(not both, "optim.ema_decay and optim.swa_start both average the weights: set one of them")

    @abstractmethod
    def build(self, parameters: "Iterable[nn.Parameter] | Iterable[dict[str, Any]]") -> "Optimizer":
        """Build the torch optimizer, of parameters or of parameter groups."""

    def groups(self, layers: "Sequence[Sequence[nn.Parameter]]") -> list[dict[str, Any]]:
        """Parameter groups for build(), of the output layer first; layers are in the order of the network.

        A layer without trained parameters has no group, but the layers before it count it.
        """
        return [
            {"params": layer, "lr": self.learning_rate * self.layer_decay**depth}
            for depth, layer in enumerate(reversed(layers))
            if layer
        ]

    def averages(self) -> bool:
        """True if an average of the weights is evaluated and kept."""
        return self.ema_decay is not None or self.swa_start is not None


@dataclass(slots=True)
class SGDConfig(OptimConfig):
    """Stochastic gradient descent, with momentum if it is above 0."""

    learning_rate: float = 0.01
    momentum: float = setting(0.0, "share of the old velocity that is kept", "[0, 1)")
    nesterov: bool = setting(False, "Nesterov's momentum; needs momentum above 0")

    def __post_init__(self) -> None:
        OptimConfig.__post_init__(self)
        require(self.momentum > 0 or not self.nesterov, "optim.nesterov=true needs optim.momentum above 0: set 0.9")

    def build(self, parameters: "Iterable[nn.Parameter] | Iterable[dict[str, Any]]") -> "Optimizer":
        from torch.optim import SGD

        return SGD(
            parameters, self.learning_rate, self.momentum, weight_decay=self.weight_decay, nesterov=self.nesterov
        )


@dataclass(slots=True)
class RMSpropConfig(OptimConfig):
    """Gradients divided by their running root mean square. torch adds epsilon outside the root, Keras inside it."""

    alpha: float = setting(0.99, "smoothing constant of the running mean square; Keras's default is 0.9", "[0, 1)")
    epsilon: float = setting(1e-8, "added to the divisor; Keras's default is 1e-7", "(0, inf)")
    momentum: float = setting(0.0, "share of the old velocity that is kept", "[0, 1)")
    centered: bool = setting(False, "divide by the running variance instead of the mean square")

    def build(self, parameters: "Iterable[nn.Parameter] | Iterable[dict[str, Any]]") -> "Optimizer":
        from torch.optim import RMSprop

        return RMSprop(
            parameters,
            lr=self.learning_rate,
            alpha=self.alpha,
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            centered=self.centered,
        )


@dataclass(slots=True)
class AdamConfig(OptimConfig):
    """Adam (Kingma & Ba 2015), torch's fused kernel: on small batches it halves the time of a step."""

    beta1: float = setting(0.9, "decay of the running mean", "[0, 1)")
    beta2: float = setting(0.999, "decay of the running mean square", "[0, 1)")
    epsilon: float = setting(1e-8, "added to the divisor; Keras's default is 1e-7", "(0, inf)")
    amsgrad: bool = setting(False, "divide by the largest mean square so far (Reddi et al. 2018)")

    def build(self, parameters: "Iterable[nn.Parameter] | Iterable[dict[str, Any]]") -> "Optimizer":
        from torch.optim import Adam

        return Adam(parameters, **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {
            "lr": self.learning_rate,
            "betas": (self.beta1, self.beta2),
            "eps": self.epsilon,
            "weight_decay": self.weight_decay,
            "amsgrad": self.amsgrad,
            "fused": True,
        }


@dataclass(slots=True)
class AdamWConfig(AdamConfig):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    weight_decay: float = 0.01

    def build(self, parameters: "Iterable[nn.Parameter] | Iterable[dict[str, Any]]") -> "Optimizer":
        from torch.optim import AdamW

        return AdamW(parameters, **self._arguments())


@dataclass(slots=True)
class AdagradConfig(OptimConfig):
    """Gradients divided by the root of the sum of all squared gradients so far (Duchi et al. 2011)."""

    learning_rate: float = 0.01
    epsilon: float = setting(1e-10, "added to the divisor; Keras's default is 1e-7", "(0, inf)")
    initial_accumulator_value: float = setting(0.0, "initial value of the sums; Keras's default is 0.1", "[0, inf)")

    def build(self, parameters: "Iterable[nn.Parameter] | Iterable[dict[str, Any]]") -> "Optimizer":
        from torch.optim import Adagrad

        return Adagrad(
            parameters,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            initial_accumulator_value=self.initial_accumulator_value,
            eps=self.epsilon,
        )
