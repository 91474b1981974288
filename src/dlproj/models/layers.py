"""The layers of feed-forward networks, made of their settings."""

from collections import Counter, OrderedDict
from collections.abc import Iterable

from torch import nn

from dlproj.config.layers import ConvConfig, DenseConfig, LayerPart
from dlproj.models.initializers import initialize
from dlproj.models.penalties import Penalty


def linear(inputs: int, layer: DenseConfig) -> nn.Linear:
    """The layer's linear map, initialised: (…, inputs) to (…, units)."""
    module = nn.Linear(inputs, layer.units, layer.bias)
    _initialize(module, layer)
    return module


def convolution(inputs: int, layer: ConvConfig) -> nn.Conv2d:
    """The layer's convolution, initialised: (B, inputs, height, width) to (B, units, height, width)."""
    module = nn.Conv2d(inputs, layer.units, layer.kernel_size, padding="same", bias=layer.bias)
    _initialize(module, layer)
    return module


def _initialize(module: nn.Linear | nn.Conv2d, layer: DenseConfig) -> None:
    initialize(module.weight, layer.weight_initializer)
    if module.bias is not None:
        initialize(module.bias, layer.bias_initializer)


def linear_penalties(module: nn.Linear | nn.Conv2d, layer: DenseConfig) -> list[Penalty]:
    """The penalties of a layer's weights and biases."""
    of_bias = [Penalty(module, "bias", layer.bias_l1, layer.bias_l2)] if layer.bias else []
    return [Penalty(module, "weight", layer.weight_l1, layer.weight_l2), *of_bias]


def conv_blocks(inputs: int, layers: Iterable[ConvConfig]) -> tuple[nn.Sequential, list[Penalty]]:
    """A block a layer with its pooling, (B, inputs, height, width) to (B, units, …); their penalties."""
    blocks, penalties = nn.Sequential(), list[Penalty]()
    for layer in layers:
        first = convolution(inputs, layer)
        parts = block(first, layer)
        if layer.pool > 1:
            parts.add_module("pool", nn.MaxPool2d(layer.pool))
        blocks.append(parts)
        penalties += linear_penalties(first, layer)
        inputs = layer.units
    return blocks, penalties


def dense_blocks(inputs: int, layers: Iterable[DenseConfig]) -> tuple[nn.Sequential, list[Penalty], int]:
    """A block a layer, (B, inputs) to (B, width); their penalties; the width."""
    blocks, penalties = nn.Sequential(), list[Penalty]()
    for layer in layers:
        first = linear(inputs, layer)
        blocks.append(block(first, layer))
        penalties += linear_penalties(first, layer)
        inputs = layer.units
    return blocks, penalties, inputs


def block(first: nn.Linear | nn.Conv2d, layer: DenseConfig) -> nn.Sequential:
    """The layer's parts in their order, by their names; a second one of a kind is activation_2, and so on."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    count: Counter[LayerPart] = Counter()
    for part in layer.parts():
        count[part] += 1
        parts[part.name if count[part] == 1 else f"{part.name}_{count[part]}"] = _module(part, first, layer)
    return nn.Sequential(parts)


def _module(part: LayerPart, first: nn.Linear | nn.Conv2d, layer: DenseConfig) -> nn.Module:
    match part:
        case LayerPart.linear:
            return first
        case LayerPart.batch_norm:
            return (nn.BatchNorm1d if isinstance(first, nn.Linear) else nn.BatchNorm2d)(layer.units)
        case LayerPart.activation:
            return layer.activation_module()
        case LayerPart.dropout:
            return nn.Dropout(layer.dropout)


def last_activations(prefix: str, blocks: nn.Sequential) -> dict[str, nn.Module]:
    """The last activation of each block, which is what the layer puts out, by the block's name: "hidden.0"."""
    return {
        f"{prefix}.{name}": [module for part, module in one.named_children() if part.startswith("activation")][-1]
        for name, one in blocks.named_children()
    }
