"""The layers of feed-forward networks, built from their settings."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable

from torch import Tensor, nn

from dlproj.config.layers import ConvConfig, DenseConfig, LayerPart
from dlproj.models.initializers import initialize
from dlproj.models.penalties import Penalty

BATCH_NORMS = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def linear(inputs: int, layer: DenseConfig) -> nn.Linear:
    """Return the layer's initialised linear map: (…, inputs) to (…, units)."""
    module = nn.Linear(inputs, layer.units, layer.bias)
    _initialize(module, layer)
    return module


def convolution(inputs: int, layer: ConvConfig) -> nn.Conv2d:
    """Return the layer's initialised convolution: (B, inputs, height, width) to (B, units, height, width)."""
    module = nn.Conv2d(inputs, layer.units, layer.kernel_size, padding="same", bias=layer.bias)
    _initialize(module, layer)
    return module


def _initialize(module: nn.Linear | nn.Conv2d, layer: DenseConfig) -> None:
    initialize(module.weight, layer.weight_initializer)
    if module.bias is not None:
        initialize(module.bias, layer.bias_initializer)


def linear_penalties(module: nn.Linear | nn.Conv2d, layer: DenseConfig) -> list[Penalty]:
    """Return the penalties on a layer's weights and biases."""
    of_bias = [Penalty(module, "bias", layer.bias_l1, layer.bias_l2)] if layer.bias else []
    return [Penalty(module, "weight", layer.weight_l1, layer.weight_l2), *of_bias]


def conv_blocks(inputs: int, layers: Iterable[ConvConfig]) -> tuple[nn.Sequential, list[Penalty]]:
    """Build a block with pooling per layer, (B, inputs, height, width) to (B, units, …); also return the penalties."""
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
    """Build a block per layer, (B, inputs) to (B, width); also return the penalties and the width."""
    blocks, penalties = nn.Sequential(), list[Penalty]()
    for layer in layers:
        first = linear(inputs, layer)
        blocks.append(block(first, layer))
        penalties += linear_penalties(first, layer)
        inputs = layer.units
    return blocks, penalties, inputs


def block(first: nn.Linear | nn.Conv2d, layer: DenseConfig) -> nn.Sequential:
    """Build the layer's parts in order, named by kind; repeated kinds are numbered: activation_2, …."""
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


class Layer(nn.Module):
    """A layer made of modules and a function that computes its output with them."""

    def __init__(self, modules: Iterable[nn.Module], compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.modules_used = nn.ModuleList(modules)
        self.compute = compute

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply `compute` to a batch of any shape."""
        if inputs.requires_grad:
            # torch's buffers take the strides of the first gradient, and a recurrent layer's is transposed.
            inputs.register_hook(Tensor.contiguous)
        return self.compute(inputs)


def layer_modules(layer: nn.Module) -> list[nn.Module]:
    """List a layer's modules that have parameters of their own; their submodules are not listed."""
    if next(layer.parameters(recurse=False), None) is not None:
        return [layer]
    return [module for child in layer.children() for module in layer_modules(child)]


def output_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Map the name of each hidden layer to the module whose output is the layer's.

    That is the last activation of a block(), and each direction of a recurrent layer.
    """
    outputs: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        activations = [child for part, child in module.named_children() if part.startswith("activation")]
        if isinstance(module, nn.RNNBase):
            outputs[name] = module
        elif activations:
            outputs[name] = activations[-1]
    return outputs
