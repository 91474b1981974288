"""A trained ReLU network whose pieces are counted, its data, and its test images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dlproj.config.checks import ConfigurationError, require
from dlproj.config.data import Kind
from dlproj.config.layers import Activation
from dlproj.config.mlp import MLPConfig
from dlproj.config.model import ModelConfig
from dlproj.config.optim import AdamConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.data.base import DataModule
from dlproj.inference.evaluate import data_of
from dlproj.inference.trained import LoadedRun, open_run
from dlproj.labs.studies.parts.networks import batches_of, prepared, scratch_copy, stepper
from dlproj.labs.studies.parts.scratch import ScratchMLP
from dlproj.loop_progress import progress
from dlproj.models.classifier import Classifier


@dataclass(frozen=True, slots=True)
class Subject:
    """A trained ReLU network, in float64, and its data."""

    name: str
    data: DataModule
    model: Classifier
    network: ScratchMLP  # the model in NumPy

    def units(self) -> list[int]:
        """The units of each hidden layer."""
        return [len(biases) for _, biases in self.network.layers[:-1]]

    def class_of(self, index: int) -> str:
        """The class of a test image, by its name."""
        return self.data.spec.classes[int(self.data.test.targets[index])]


def of_run(folder: Path) -> Subject:
    """A run's network. Raises UserError, a ConfigurationError unless it is an MLP with ReLU on images."""
    opened = _opened(folder)
    refuse_all_but_relu(opened.config.model)
    require(opened.data.spec.kind is Kind.image, f"--run {folder} reads no images: name a run on images")
    model = opened.model.double()
    return Subject(str(folder), data_of(opened), model, scratch_copy(model, np.float64))


def _opened(folder: Path) -> LoadedRun:
    """The run, opened without a change of this process's number of threads."""
    threads = torch.get_num_threads()
    try:
        return open_run(folder)
    finally:
        torch.set_num_threads(threads)


def refuse_all_but_relu(config: ModelConfig) -> None:
    """Raise ConfigurationError unless the model is linear layers with ReLU between them, with an output a class."""
    wanted = "set --run to an MLP with ReLU in all hidden layers"
    layers = config.dense_layers()
    if layers is None:
        raise ConfigurationError(f"--run is not a multilayer perceptron: {wanted}")
    others = sorted({layer.activation.name for layer in layers} - {Activation.relu.name})
    require(not others, f"--run has the activation {' and '.join(others)}: {wanted}")
    require(bool(layers), f"--run has no hidden layer, so that it is linear: {wanted}")
    require(not any(layer.batch_norm for layer in layers), f"--run has batch norm: {wanted} and batch_norm=false")
    require(config.outputs is None, f"--run has a single output: {wanted} and an output a class")


def of_digits(hidden: Sequence[int], epochs: int, seed: int) -> Subject:
    """A network trained on the digits here."""
    data = prepared("digits", seed)
    model = trained(data, hidden, Activation.relu, epochs, seed)
    return Subject(f"digits, {epochs} epochs", data, model, scratch_copy(model, np.float64))


def trained(data: DataModule, hidden: Sequence[int], activation: Activation, epochs: int, seed: int) -> Classifier:
    """A network trained by Adam, in float64 from then on."""
    torch.manual_seed(seed)
    config = MLPConfig(hidden=list(hidden), activation=activation)
    model = config.build(data.spec, AdamConfig(learning_rate=0.01), SchedulerConfig())
    step = stepper(model)
    for epoch in progress(range(epochs), "epochs"):
        for inputs, targets in batches_of(data, epoch):
            step(inputs, targets)
    return model.double().eval()


def corners_of(data: DataModule, indices: Sequence[int]) -> np.ndarray:
    """The inputs (3, inputs) that the model reads of three test images. Raises ConfigurationError."""
    require(len(set(indices)) == len(indices) == 3, "--images names other than three images: set such as 0,1,2")
    last, count = max(indices), len(data.test)
    require(last < count, f"--images {last} is beyond the {count} test images: set less than {count}")
    inputs = data.transform(data.test.inputs[torch.tensor(indices)])
    corners: np.ndarray = inputs.flatten(1).double().numpy()
    flat = np.linalg.matrix_rank(corners[1:] - corners[0]) < 2
    require(not flat, "--images names three that lie on one line: set others")
    return corners


@torch.inference_mode()
def accuracy(model: Classifier, data: DataModule) -> float:
    """The accuracy on the test set."""
    predicted = model(data.transform(data.test.inputs).double()).argmax(1)
    return float((predicted == data.test.targets).double().mean())
