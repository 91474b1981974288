"""The network in NumPy beside the project's: gradients, and an epoch of training."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch

from dlproj.config.data import DataSpec
from dlproj.config.mlp import MLPConfig
from dlproj.config.optim import SGDConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.data.base import DataModule
from dlproj.data.batches import Batch
from dlproj.labs.studies.parts.networks import batches_of, scratch_copy, stepper
from dlproj.loop_progress import progress
from dlproj.models.mlp import MLPClassifier
from dlproj.reports.article import Column, Table

LEARNING_RATE = 0.1
_DEPTHS = range(4)  # of which gradients are compared


def network(hidden: Sequence[int], spec: DataSpec, dtype: torch.dtype, seed: int) -> MLPClassifier:
    """The project's network, with ReLU and gradient descent."""
    torch.manual_seed(seed)
    model = MLPConfig(hidden=list(hidden)).build(spec, SGDConfig(learning_rate=LEARNING_RATE), SchedulerConfig())
    return model.to(dtype)


def largest_difference(scratch: list[tuple[np.ndarray, np.ndarray]], tensors: list[Any]) -> float:
    """Over the weights and biases, or their gradients, of all layers."""
    pairs = zip(chain(*scratch), tensors, strict=True)
    return max(float(np.abs(array - tensor.detach().numpy()).max()) for array, tensor in pairs)


def gradient_difference(hidden: Sequence[int], spec: DataSpec, batch: Batch, seed: int) -> tuple[int, float]:
    """Parameters of such a network, and the largest difference of both gradients in float64."""
    model = network(hidden, spec, torch.float64, seed)
    inputs, targets = batch[0].double(), batch[1]
    model.loss(model(inputs), targets).backward()
    _, gradients = scratch_copy(model, np.float64).gradients(inputs.flatten(1).numpy(), targets.numpy())
    return model.parameter_count(), largest_difference(gradients, [parameter.grad for parameter in model.parameters()])


def gradient_table(module: DataModule, seed: int) -> Table:
    """The largest difference for each number of hidden layers."""
    batch = next(batches_of(module, 0))
    rows = [(depth, *gradient_difference([32] * depth, module.spec, batch, seed)) for depth in _DEPTHS]
    columns = [Column("hidden layers"), Column("parameters", ","), Column("largest difference", ".1e")]
    return Table.of_values(rows, columns, "gradients")


def train_both(module: DataModule, hidden: Sequence[int], dtype: torch.dtype, seed: int) -> dict[str, Any]:
    """An epoch of each from the same weights on the same batches, and what they end with."""
    model = network(hidden, module.spec, dtype, seed)
    scratch = scratch_copy(model, torch.empty(0, dtype=dtype).numpy().dtype)
    step = stepper(model)
    steps = 0
    for inputs, targets in progress(batches_of(module, 0), "batches"):
        flat = inputs.flatten(1).to(dtype)
        step(flat, targets)
        scratch.step(flat.numpy(), targets.numpy(), LEARNING_RATE)
        steps += 1
    tests = module.transform(module.test.inputs).flatten(1).to(dtype)
    with torch.inference_mode():
        predicted = {"torch": model(tests).argmax(1).numpy(), "NumPy": scratch.forward(tests.numpy())[-1].argmax(1)}
    hits = {name: float((classes == module.test.targets.numpy()).mean()) for name, classes in predicted.items()}
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "steps": steps,
        "largest_difference": largest_difference(scratch.layers, list(model.parameters())),
        "torch_test_accuracy": hits["torch"],
        "numpy_test_accuracy": hits["NumPy"],
    }


def epoch_table(module: DataModule, hidden: Sequence[int], seed: int) -> Table:
    """An epoch in double and in single precision."""
    rows = [train_both(module, hidden, dtype, seed) for dtype in (torch.float64, torch.float32)]
    columns = [
        Column("arithmetic", value="dtype"),
        Column("steps"),
        Column("largest difference of weights", ".1e", "largest_difference"),
        Column("test accuracy, torch", ".2%", "torch_test_accuracy"),
        Column("test accuracy, NumPy", ".2%", "numpy_test_accuracy"),
    ]
    return Table.of(rows, columns, "epoch")
