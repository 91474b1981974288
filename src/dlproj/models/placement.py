"""A model's layers on several devices of one process, one after another."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


class Part(nn.Module):
    """What a pipeline may cut before and after: modules, and what is computed with them."""

    def __init__(self, modules: Iterable[nn.Module], compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.modules_used = nn.ModuleList(modules)
        self.compute = compute

    def forward(self, inputs: Tensor) -> Tensor:
        """A batch, of whatever shape."""
        if inputs.requires_grad:
            # torch gives buffers the strides of the first gradient, and a recurrent layer's is transposed.
            inputs.register_hook(Tensor.contiguous)
        return self.compute(inputs)


def place(blocks: Sequence[nn.Module], devices: Sequence[torch.device]) -> None:
    """Put the blocks on the devices, in order, about as many on each."""
    for block, device in zip(blocks, spread(devices, len(blocks)), strict=True):
        block.to(device)


def connect(blocks: Sequence[nn.Module], devices: Sequence[torch.device]) -> None:
    """Have each block's inputs come to its device, and what the last one gives to the first, where the targets are."""
    for block, device in zip(blocks, spread(devices, len(blocks)), strict=True):
        block.register_forward_pre_hook(partial(_bring, device))
    blocks[-1].register_forward_hook(lambda module, inputs, output: _moved(output, devices[0]))


def spread(devices: Sequence[T], count: int) -> list[T]:
    """For each of so many layers one of the devices, in order, about as often each."""
    return [devices[number * len(devices) // count] for number in range(count)]


def _bring(device: torch.device, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_moved(one, device) for one in inputs)


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
