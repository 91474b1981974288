"""Numbers that a network with one hidden layer keeps: counted by hand, and by torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from dlproj.config.data import DataSpec, Kind
from dlproj.config.mlp import MLPConfig
from dlproj.config.model import ModelConfig
from dlproj.config.optim import AdagradConfig, AdamConfig, AdamWConfig, OptimConfig, RMSpropConfig, SGDConfig
from dlproj.config.rnn import RNNConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.live_bytes import LiveBytes
from dlproj.models.classifier import Classifier

FLOAT32 = 4  # bytes


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a network with one hidden layer, and of its batch."""

    inputs: int  # d
    hidden: int  # h
    outputs: int  # q
    batch: int  # B


DOCUMENTS_TRAINING = "training by the document's formula"
_STEPS = 2  # of training: before the first one an optimizer has no states yet


@dataclass(frozen=True, slots=True)
class Network:
    """A kind of network, and its numbers by hand."""

    config: Callable[[int], ModelConfig]  # of h
    parameters: Callable[[Shape], int]
    values: Callable[[Shape], int]  # that the forward pass computes from its inputs
    at_once: Callable[[Shape, bool], int] | None  # of all these, in training or not, when nothing is kept longer


def mlp_at_once(shape: Shape, training: bool) -> int:
    """The most numbers that an MLP needs at once, if each is freed after its last use; in training, by plain SGD."""
    d, h, q, samples = shape.inputs, shape.hidden, shape.outputs, shape.batch
    output = (h + 1) * q
    parameters = (d + 1) * h + output
    if not training:
        return parameters + samples * max(d + 2 * h, d + h + q)  # x, z and h; then x, h and o
    moments = (
        parameters + samples * (d + h + 3 * q),  # softmax backward: x, h; log p and the gradients by it and by o
        parameters + output + samples * (d + 2 * h + q),  # the output layer's, by h: x, h; the gradients by o and h
        parameters + output + samples * (d + 3 * h),  # ReLU's: x, h; the gradients by h and by z
        2 * parameters + samples * (d + h),  # the hidden layer's: x; the gradients by z and by all parameters
    )
    return max(moments) + 2 * samples + 2  # classes have 8 bytes; the loss and the gradient by it


NETWORKS: Mapping[str, Network] = {
    "MLP": Network(
        lambda hidden: MLPConfig(hidden=[hidden]),
        lambda s: (s.inputs + 1) * s.hidden + (s.hidden + 1) * s.outputs,
        lambda s: s.batch * (2 * s.hidden + s.outputs),
        mlp_at_once,
    ),
    # One number a time step, so d steps. Each computes 4 sums, 4 gates, the cell state, its tanh and the output.
    "LSTM": Network(
        lambda hidden: RNNConfig(hidden=[hidden]),
        lambda s: 4 * s.hidden * (1 + s.hidden + 1) + (s.hidden + 1) * s.outputs,
        lambda s: s.batch * (11 * s.hidden * s.inputs + s.outputs),
        None,  # what oneDNN keeps is its own
    ),
}
# With the numbers that each keeps for a weight.
OPTIMIZERS: Mapping[str, tuple[OptimConfig, int]] = {
    "sgd": (SGDConfig(), 0),
    "momentum": (SGDConfig(momentum=0.9), 1),
    "nesterov": (SGDConfig(momentum=0.9, nesterov=True), 1),
    "adagrad": (AdagradConfig(), 1),
    "rmsprop": (RMSpropConfig(), 1),
    "adam": (AdamConfig(), 2),
    "adamw": (AdamWConfig(), 2),
}


def parts(shape: Shape) -> dict[str, tuple[str, int]]:
    """Formula and count of all that an MLP keeps, by name."""
    d, h, q, b = shape.inputs, shape.hidden, shape.outputs, shape.batch
    return {
        "weights": ("d h + h q", d * h + h * q),
        "biases": ("h + q", h + q),
        "inputs x": ("B d", b * d),
        "sums z": ("B h", b * h),
        "hidden units h": ("B h", b * h),
        "outputs o": ("B q", b * q),
        "gradients of weights": ("d h + h q", d * h + h * q),
        "gradients of biases": ("h + q", h + q),
        "gradients of z, h and o": ("B (2h + q)", b * (2 * h + q)),
    }


def sums(shape: Shape) -> dict[str, tuple[str, int]]:
    """Formula and sum of the parts for inference and for training, and what the document's formula for training gives.

    That has all parameters and their gradients, biases and theirs among them, but of the values z, h and o and their
    gradients, 4h + 2q, only 3h + q: one h and one q fewer than the document's own list.
    """
    d, h, q, samples = shape.inputs, shape.hidden, shape.outputs, shape.batch
    parameters = d * h + h + q * h + q
    return {
        "inference": ("P + B (d + 2h + q)", parameters + samples * (d + 2 * h + q)),
        "training": ("2P + B (d + 4h + 2q)", 2 * parameters + samples * (d + 4 * h + 2 * q)),
        DOCUMENTS_TRAINING: ("2P + B (d + 3h + q)", 2 * parameters + samples * (d + 3 * h + q)),
    }


def formula(name: str, shape: Shape, training: bool, states: int = 0) -> int:
    """Values that the network keeps; in training with so many states of the optimizer a weight."""
    parameters, computed = NETWORKS[name].parameters(shape), NETWORKS[name].values(shape)
    once = parameters + computed
    return (2 * once + states * parameters if training else once) + shape.batch * shape.inputs


def build(name: str, shape: Shape, optim: OptimConfig) -> Classifier:
    """A classifier of this kind and shape."""
    spec = DataSpec(Kind.features, (shape.inputs,), tuple(map(str, range(shape.outputs))))
    return NETWORKS[name].config(shape.hidden).build(spec, optim, SchedulerConfig())


def inference_bytes(name: str, shape: Shape) -> int:
    """The most that torch holds at once."""
    with LiveBytes() as live:
        model = build(name, shape, SGDConfig())
        live.forget_peak()
        with torch.no_grad():
            model(torch.zeros(shape.batch, shape.inputs))
    return live.peak


def training_bytes(name: str, shape: Shape, optim: OptimConfig) -> tuple[int, int]:
    """The most that torch holds at once, and what of it are the optimizer's states."""
    with LiveBytes() as live:
        model = build(name, shape, optim)
        optimizer = optim.build(model.parameters())
        live.forget_peak()
        inputs, targets = torch.zeros(shape.batch, shape.inputs), torch.zeros(shape.batch, dtype=torch.int64)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            model.loss(model(inputs), targets).backward()
            optimizer.step()
    states = [value for kept in optimizer.state.values() for value in kept.values() if torch.is_tensor(value)]
    return live.peak, sum(value.nbytes for value in states if value.dim())  # without the count of steps
