"""A Lightning strategy that spreads one process's model over several devices."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor, nn

from dlproj.models.classifier import Classifier
from dlproj.models.layers import layer_modules

T = TypeVar("T")


class LayerSplit(SingleDeviceStrategy):
    """Places a model's layers on several devices in order; batches, loss and metrics are on the first."""

    def __init__(self, devices: list[str], **options: Any) -> None:
        self.devices = [torch.device(name) for name in devices]
        super().__init__(device=self.devices[0], **options)
        self._is_connected = False

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Keep each parameter's state on its device: Lightning would move all of it to the first."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(state)

    def model_to_device(self) -> None:
        """Place the layers; again before testing, since Lightning moves a model to the CPU after training."""
        assert isinstance(self.lightning_module, Classifier)
        super().model_to_device()
        layers = self.lightning_module.sequential_layers()
        place(layers, self.devices)
        if not self._is_connected:
            connect(layers, self.devices)
        self._is_connected = True


def place(layers: Sequence[nn.Module], devices: Sequence[torch.device]) -> None:
    """Move the layers to the devices in order, about equally many to each."""
    for layer, device in zip(layers, spread(devices, len(layers)), strict=True):
        layer.to(device)


def connect(layers: Sequence[nn.Module], devices: Sequence[torch.device]) -> None:
    """Make each layer move its inputs to its device, and the last its outputs to the first, where the targets are."""
    for layer, device in zip(layers, spread(devices, len(layers)), strict=True):
        for module in layer_modules(layer):
            module.register_forward_pre_hook(partial(_bring, device))
    layers[-1].register_forward_hook(lambda module, inputs, output: _moved(output, devices[0]))


def spread(devices: Sequence[T], count: int) -> list[T]:
    """Return a device for each of `count` layers: in order, each device about equally often."""
    return [devices[i * len(devices) // count] for i in range(count)]


def _bring(device: torch.device, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_moved(value, device) for value in inputs)


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
