"""The project's data and networks as the studies use them in plain loops."""

from collections.abc import Callable, Iterator
from typing import cast

from numpy.typing import DTypeLike
from torch import Tensor, nn

from dlproj.config.root import data_config
from dlproj.data.base import DataModule
from dlproj.data.batches import Batch
from dlproj.labs.studies.parts.scratch import Layer, ScratchMLP
from dlproj.models.classifier import Classifier


def prepared(name: str, seed: int) -> DataModule:
    """The data set of this name, read into memory."""
    module = data_config(name, ["batch_size=32"]).build(seed)
    module.prepare_data()
    module.setup()
    return module


def batches_of(module: DataModule, epoch: int) -> Iterator[Batch]:
    """The training batches of an epoch, counted from 0."""
    batches = module.train_dataloader()
    batches.batch_sampler.sampler.set_epoch(epoch)
    return cast(Iterator[Batch], iter(batches))  # no blocks: steps_per_execution is 1


def stepper(model: Classifier) -> Callable[[Tensor, Tensor], Tensor]:
    """A function that takes a step of the model's optimizer on a batch of inputs and targets, and returns its loss."""
    optimizer = model.optim.build(model.parameters())

    def step(inputs: Tensor, targets: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = model.loss(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def scratch_copy(model: nn.Module, dtype: DTypeLike) -> ScratchMLP:
    """The same network in NumPy, with a copy of the weights."""
    return ScratchMLP([_layer(module) for module in model.modules() if isinstance(module, nn.Linear)], dtype)


def _layer(linear: nn.Linear) -> Layer:
    """Weights and biases in float64; zeros where it has no biases."""
    weights = linear.weight.detach().double()
    biases = weights.new_zeros(len(weights)) if linear.bias is None else linear.bias.detach().double()
    return weights.numpy(), biases.numpy()
