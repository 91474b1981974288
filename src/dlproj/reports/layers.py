"""The layers of a network with shapes and parameters, read from its computational graph."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from dlproj.runs.inspection import GraphNode

_OF_NO_LAYER = ("loss", "penalty", "total_loss")
_WORDS = {"matmul": "Linear", "add": ""}  # a bias is part of its Linear
_RESHAPES = ("flatten", "reshape")


@dataclass(slots=True)
class Layer:
    """A layer, or the inputs."""

    name: str  # such as hidden.0
    shape: str  # of the output for one sample, such as "32 × 4 × 4"
    operations: list[str] = field(default_factory=list)
    parameters: int = 0
    frozen: bool = False


def layers(nodes: Sequence[GraphNode], frozen: Sequence[str] = ()) -> list[Layer]:
    """The inputs and the layers, in order; none of an empty graph. A shared parameter counts where it is first read.

    frozen: names of layers that are not trained.
    """
    found: dict[str, Layer] = {}
    counted: set[int] = set()
    for node in nodes:
        if node.kind == "parameter" or node.name in _OF_NO_LAYER or (node.kind == "data" and node.name != "inputs"):
            continue
        name = _layer_name(node.name)
        layer = found.setdefault(name, Layer(name, "", frozen=any(f"{name}.".startswith(f"{one}.") for one in frozen)))
        own = [nodes[i] for i in node.reads if nodes[i].kind == "parameter" and i not in counted]
        counted.update(node.reads)
        layer.parameters += sum(math.prod(parameter.shape) for parameter in own)
        if node.operation not in _RESHAPES:
            layer.shape = _shape(node.shape)
        if node.kind == "operation" and (words := _operation(node, own)):
            layer.operations.append(words)
    return list(found.values())


def _operation(node: GraphNode, own: Sequence[GraphNode]) -> str:
    """The operation in words: "Conv2d 3 × 3", "flatten to 256"; "" for adding a bias."""
    if node.operation in _RESHAPES:
        return f"{node.operation} to {_shape(node.shape)}"
    kernel = next((_shape(parameter.shape[2:]) for parameter in own if len(parameter.shape) > 2), "")
    return f"{_WORDS.get(node.operation, node.operation)} {kernel}".strip()


def _layer_name(name: str) -> str:
    """The layer that a node belongs to: hidden.0 of hidden.0.linear.add."""
    matched = re.match(r"[^.]+(\.\d+)?", name)
    return matched[0] if matched else name


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(f"{size:,}" for size in shape)
