"""Networks as points of weight space: directions in it, and the loss at a point."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dlproj.config.checks import require
from dlproj.data.batches import Samples, generator
from dlproj.inference.evaluate import data_of
from dlproj.inference.trained import LoadedRun
from dlproj.models.classifier import Classifier
from dlproj.models.losses import scores

Weights = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Landscape:
    """The test loss of a network as a function of its weights."""

    model: Classifier
    inputs: Tensor  # (N, …), as the model reads them
    targets: Tensor  # (N,)
    training: Tensor  # (M, …), what batch normalisation takes its statistics from

    def norms(self) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
        """The layers of batch normalisation."""
        return [module for module in self.model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]

    @torch.inference_mode()
    def at(self, weights: Weights) -> tuple[float, float]:
        """The mean loss, without penalties, and the accuracy; batch normalisation has statistics of these weights."""
        for module in (norms := self.norms()):
            module.momentum = 1.0  # of this batch alone
            module.train()
        if norms:
            functional_call(self.model, weights, (self.training,))
        for module in norms:
            module.eval()
        logits = functional_call(self.model, weights, (self.inputs,))
        accuracy = (scores(logits).argmax(1) == self.targets).double().mean()
        return float(self.model.loss(logits, self.targets)), float(accuracy)


def landscapes_of(trained: Sequence[LoadedRun], samples: int) -> list[Landscape]:
    """The landscape of each run, all in one precision, on the same random `samples` of the test set.

    Raises ConfigurationError where they are too few.
    """
    kept = [next(run.model.parameters()).dtype for run in trained]
    dtype = reduce(torch.promote_types, kept, torch.float32)  # in half precision neighbouring points are the same
    landscapes = [_landscape_of(run, samples, dtype) for run in trained]
    too_few = any(len(landscape.training) < 2 and landscape.norms() for landscape in landscapes)
    require(not too_few, f"--samples={samples} is too few for batch normalisation: set 2 or more")
    return landscapes


def _landscape_of(trained: LoadedRun, samples: int, dtype: torch.dtype) -> Landscape:
    data, model = data_of(trained), trained.model
    (inputs, targets), (training, _) = (_drawn(part, samples) for part in (data.test, data.train))
    inputs, training = data.transform(inputs), data.transform(training)
    if inputs.is_floating_point():
        inputs, training = inputs.to(dtype), training.to(dtype)
    return Landscape(model.to(dtype), inputs, targets, training)


def _drawn(samples: Samples, count: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets of `count` random samples, as files may come sorted by class."""
    chosen = torch.randperm(len(samples.targets), generator=generator("landscape"))[:count]
    return samples.inputs[chosen], samples.targets[chosen]


def weights_of(landscape: Landscape) -> Weights:
    """The weights that training has found, by name."""
    return {name: value.detach() for name, value in landscape.model.named_parameters()}


@torch.inference_mode()
def check_same_function(first: Landscape, second: Landscape) -> None:
    """Raise ConfigurationError unless both compute the same from the same samples once their weights are the same."""
    shapes = [{name: value.shape for name, value in each.model.state_dict().items()} for each in (first, second)]
    require(shapes[0] == shapes[1], "the two runs have other weights: choose runs of one architecture")
    same = first.inputs.shape == second.inputs.shape and torch.equal(first.inputs, second.inputs)
    same = same and torch.equal(first.targets, second.targets)
    message = "choose runs with the same data settings, and where a random split decides the scaling, with one seed"
    require(same, f"the two runs read other data, or scale it otherwise: {message}")
    logits = functional_call(first.model, dict(second.model.state_dict()), (first.inputs,))
    expected = second.model(first.inputs)
    losses = first.model.loss(logits, first.targets), second.model.loss(expected, first.targets)
    same = torch.allclose(logits, expected, rtol=1e-4, atol=1e-4, equal_nan=True)
    message = "the two runs compute otherwise from the same weights: choose runs that differ in training only"
    require(same and torch.allclose(*losses, rtol=1e-4, equal_nan=True), message)


def filter_normalised(weights: Weights, *seeds: int) -> Weights:
    """A random direction, each row of which has the norm of that row of the weights; zero for vectors."""
    source = generator("direction", *seeds)
    return {
        name: _like(value, source) if value.ndim > 1 else torch.zeros_like(value) for name, value in weights.items()
    }


def _like(weight: Tensor, source: torch.Generator) -> Tensor:
    random = torch.randn(weight.shape, generator=source, dtype=weight.dtype)
    return random * (weight.norm(dim=1, keepdim=True) / random.norm(dim=1, keepdim=True))


def moved(start: Weights, *steps: tuple[float, Weights]) -> Weights:
    """The point start + Σ length · direction."""
    return {name: value + sum(length * direction[name] for length, direction in steps) for name, value in start.items()}


def across(direction: Weights, other: Weights) -> Weights:
    """The part of `other` that is perpendicular to the direction."""
    return moved(other, (-dot(direction, other) / dot(direction, direction), direction))


def scaled(direction: Weights, length: float) -> Weights:
    """The direction with this Euclidean length."""
    share = length / norm(direction)
    return {name: share * value for name, value in direction.items()}


def dot(a: Weights, b: Weights) -> float:
    """The inner product over all weights."""
    return sum(float((value.double() * b[name].double()).sum()) for name, value in a.items())


def norm(direction: Weights) -> float:
    """The Euclidean norm over all weights."""
    return dot(direction, direction) ** 0.5


def directions(runs: Sequence[Weights], seed: int) -> tuple[Weights, Weights]:
    """Two that are perpendicular: from one run to the other and a random one as long, or two random ones.

    Raises ConfigurationError where there are none.
    """
    start = runs[0]
    alike = len(runs) == 2 and all(torch.equal(value, start[name]) for name, value in runs[1].items())
    require(not alike, "both runs have the same weights: name two that differ, or one")
    random, other = (filter_normalised(start, seed, i) for i in range(2))
    message = "all weights of the run are zero, which gives a random direction no length: choose another run"
    require(norm(random) > 0, message)
    if len(runs) == 1:
        return random, across(random, other)
    u = {name: value - start[name] for name, value in runs[1].items()}
    return u, scaled(across(u, other), norm(u))
