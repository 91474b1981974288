"""Optimizers and learning-rate schedules: their settings, and the torch objects that these build."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from dlproj.settings import VALIDATION_METRICS, better, one_of, require, within

Parameters = Iterable[nn.Parameter]


@dataclass(slots=True)
class OptimConfig:
    """Settings that every optimizer has."""

    learning_rate: float = 0.001  # above 0
    weight_decay: float = 0.0  # λ of λ·w added to the gradient (adamw: decoupled from it); Keras's L2 is a penalty

    def __post_init__(self) -> None:
        within("optim.learning_rate", self.learning_rate, "(0, inf)")
        within("optim.weight_decay", self.weight_decay, "[0, inf)")

    @abstractmethod
    def build(self, parameters: Parameters) -> Optimizer:
        """The torch optimizer."""


@dataclass(slots=True)
class SGDConfig(OptimConfig):
    """Stochastic gradient descent, with momentum where it is above 0."""

    learning_rate: float = 0.01
    momentum: float = 0.0  # share of the old velocity that is kept, in [0, 1)
    nesterov: bool = False  # needs momentum

    def __post_init__(self) -> None:
        OptimConfig.__post_init__(self)
        within("optim.momentum", self.momentum, "[0, 1)")
        require(self.momentum > 0 or not self.nesterov, "optim.nesterov=true needs optim.momentum above 0: set 0.9")

    def build(self, parameters: Parameters) -> Optimizer:
        """torch.optim.SGD."""
        return SGD(
            parameters, self.learning_rate, self.momentum, weight_decay=self.weight_decay, nesterov=self.nesterov
        )


@dataclass(slots=True)
class RMSpropConfig(OptimConfig):
    """Gradients divided by a running root mean square. torch adds epsilon outside the root, Keras inside it."""

    decay: float = 0.99  # of the running mean square, in [0, 1); Keras's default is 0.9
    epsilon: float = 1e-8  # above 0; Keras's default is 1e-7
    momentum: float = 0.0  # in [0, 1)
    centered: bool = False  # divide by the running variance instead

    def __post_init__(self) -> None:
        OptimConfig.__post_init__(self)
        within("optim.decay", self.decay, "[0, 1)")
        within("optim.epsilon", self.epsilon, "(0, inf)")
        within("optim.momentum", self.momentum, "[0, 1)")

    def build(self, parameters: Parameters) -> Optimizer:
        """torch.optim.RMSprop."""
        return RMSprop(
            parameters,
            lr=self.learning_rate,
            alpha=self.decay,
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            centered=self.centered,
        )


@dataclass(slots=True)
class AdamConfig(OptimConfig):
    """Adam (Kingma & Ba 2015), in torch's fused form: on small batches it halves the time of a step."""

    beta1: float = 0.9  # decay of the running mean, in [0, 1)
    beta2: float = 0.999  # decay of the running mean square, in [0, 1)
    epsilon: float = 1e-8  # above 0; Keras's default is 1e-7
    amsgrad: bool = False

    def __post_init__(self) -> None:
        OptimConfig.__post_init__(self)
        within("optim.beta1", self.beta1, "[0, 1)")
        within("optim.beta2", self.beta2, "[0, 1)")
        within("optim.epsilon", self.epsilon, "(0, inf)")

    def build(self, parameters: Parameters) -> Optimizer:
        """torch.optim.Adam."""
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

    def build(self, parameters: Parameters) -> Optimizer:
        """torch.optim.AdamW."""
        return AdamW(parameters, **self._arguments())


@dataclass(slots=True)
class AdagradConfig(OptimConfig):
    """Gradients divided by the root of the sum of all squared gradients so far (Duchi et al. 2011)."""

    learning_rate: float = 0.01
    epsilon: float = 1e-10  # above 0; Keras's default is 1e-7
    initial_accumulator: float = 0.0  # what the sums start from, 0 or more; Keras's default is 0.1

    def __post_init__(self) -> None:
        OptimConfig.__post_init__(self)
        within("optim.epsilon", self.epsilon, "(0, inf)")
        within("optim.initial_accumulator", self.initial_accumulator, "[0, inf)")

    def build(self, parameters: Parameters) -> Optimizer:
        """torch.optim.Adagrad."""
        return Adagrad(
            parameters,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            initial_accumulator_value=self.initial_accumulator,
            eps=self.epsilon,
        )


@dataclass(slots=True)
class SchedulerConfig:
    """The learning rate stays as it is."""

    lengthens: ClassVar[bool] = True  # whether more epochs can follow: the rates until then do not depend on how many

    def check(self, learning_rate: float, max_epochs: int) -> None:
        """Raise ConfigurationError if the schedule does not go with the rate it starts from or the number of epochs."""

    def build(self, optimizer: Optimizer, epochs: int, steps: int) -> dict[str, Any]:
        """Lightning's description of the schedule over so many epochs and optimizer steps in all; empty for none."""
        return {}


@dataclass(slots=True)
class StepConfig(SchedulerConfig):
    """Multiply the rate by gamma every so many epochs."""

    every: int = 10  # epochs, 1 or more
    gamma: float = 0.1  # in (0, 1]

    def __post_init__(self) -> None:
        within("scheduler.every", self.every, "[1, inf)")
        within("scheduler.gamma", self.gamma, "(0, 1]")

    def build(self, optimizer: Optimizer, epochs: int, steps: int) -> dict[str, Any]:
        """StepLR."""
        return {"scheduler": StepLR(optimizer, self.every, self.gamma)}


@dataclass(slots=True)
class ExponentialConfig(SchedulerConfig):
    """Multiply the rate by gamma after each epoch."""

    gamma: float = 0.95  # in (0, 1]

    def __post_init__(self) -> None:
        within("scheduler.gamma", self.gamma, "(0, 1]")

    def build(self, optimizer: Optimizer, epochs: int, steps: int) -> dict[str, Any]:
        """ExponentialLR."""
        return {"scheduler": ExponentialLR(optimizer, self.gamma)}


@dataclass(slots=True)
class CosineConfig(SchedulerConfig):
    """Rise in a straight line over the warm-up, then fall along half a cosine to the end of training, step by step."""

    lengthens: ClassVar[bool] = False

    warmup_epochs: float = 0.0  # 0 or more, fewer than trainer.max_epochs
    final_learning_rate: float = 0.0  # 0 or more

    def __post_init__(self) -> None:
        within("scheduler.warmup_epochs", self.warmup_epochs, "[0, inf)")
        within("scheduler.final_learning_rate", self.final_learning_rate, "[0, inf)")

    def check(self, learning_rate: float, max_epochs: int) -> None:
        """As above."""
        message = f"scheduler.warmup_epochs={self.warmup_epochs} leaves nothing of trainer.max_epochs={max_epochs}"
        require(self.warmup_epochs < max_epochs, f"{message}: set it lower")
        _check_lowest("final_learning_rate", self.final_learning_rate, learning_rate)

    def build(self, optimizer: Optimizer, epochs: int, steps: int) -> dict[str, Any]:
        """LinearLR, then CosineAnnealingLR."""
        warmup = round(steps * self.warmup_epochs / epochs)
        cosine = CosineAnnealingLR(optimizer, max(1, steps - warmup), self.final_learning_rate)
        if warmup == 0:
            return {"scheduler": cosine, "interval": "step"}
        rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        return {"scheduler": SequentialLR(optimizer, [rise, cosine], [warmup]), "interval": "step"}


@dataclass(slots=True)
class PlateauConfig(SchedulerConfig):
    """Multiply the rate by a factor after `patience` epochs without improvement, counted as early stopping does."""

    monitor: str = "val/loss"
    factor: float = 0.1  # in (0, 1)
    patience: int = 3  # epochs, 1 or more
    min_learning_rate: float = 0.0  # 0 or more

    def __post_init__(self) -> None:
        one_of("scheduler.monitor", self.monitor, VALIDATION_METRICS)
        within("scheduler.factor", self.factor, "(0, 1)")
        within("scheduler.patience", self.patience, "[1, inf)")
        within("scheduler.min_learning_rate", self.min_learning_rate, "[0, inf)")

    def check(self, learning_rate: float, max_epochs: int) -> None:
        """As above."""
        _check_lowest("min_learning_rate", self.min_learning_rate, learning_rate)

    def build(self, optimizer: Optimizer, epochs: int, steps: int) -> dict[str, Any]:
        """ReduceLROnPlateau."""
        scheduler = ReduceLROnPlateau(
            optimizer,
            better(self.monitor),
            self.factor,
            self.patience - 1,  # torch waits for one epoch more than it is told
            threshold=0.0,
            min_lr=self.min_learning_rate,
        )
        return {"scheduler": scheduler, "monitor": self.monitor}


def _check_lowest(name: str, lowest: float, learning_rate: float) -> None:
    message = f"scheduler.{name}={lowest} is above optim.learning_rate={learning_rate}: set it lower"
    require(lowest <= learning_rate, message)
