"""The computational graph of a network: what is computed of a sample, from which parameters, up to the loss."""

import logging
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from dlproj.config.data import DataSpec, Kind
from dlproj.models.classifier import Classifier
from dlproj.runs.inspection import GraphNode, Inspection
from dlproj.training.monitors.loggers import EpochTensorBoard

_log = logging.getLogger(__name__)


class NoteGraph(Callback):
    """Notes the graph before the first step, for the run's figures and for TensorBoard.

    Of a network that is spread over processes there is none: no process sees all of it.
    """

    def __init__(self, inspection: Inspection, tensorboard: EpochTensorBoard, loss: str) -> None:
        self.inspection = inspection
        self.tensorboard = tensorboard
        self.loss = loss

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        assert isinstance(model, Classifier)
        if not model.execution.is_local or not trainer.is_global_zero:
            if not model.execution.is_local and trainer.is_global_zero:
                _log.warning("figures.graph=true draws no network that is spread over several processes")
            return
        self.inspection.graph = graph_of(model, trainer.datamodule.spec, self.loss)  # type: ignore[attr-defined]
        self.tensorboard.log_graph_nodes(self.inspection.graph)


def graph_of(model: Classifier, spec: DataSpec, loss: str) -> list[GraphNode]:
    """The nodes, each after those that it reads; shapes are those of a single sample.

    Found by one pass of two samples of ones in eval mode, which draws no random number and changes no statistics.
    """
    trace = _Trace(model, list(spec.shape))
    hooks = [module.register_forward_hook(trace.note(name)) for name, module in _operations(model).items()]
    ones = torch.ones(2, *spec.shape, dtype=torch.long if spec.kind is Kind.sequence else model.output.weight.dtype)
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        with torch.no_grad():
            model(ones.to(model.device))
    finally:
        for hook in hooks:
            hook.remove()
        for module in training:
            module.training = True
    return trace.with_loss(loss)


def _operations(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that are drawn as one operation: those without modules below them, and recurrent layers."""
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        within = any(name.startswith(f"{above}.") for above in found)  # an activation in a recurrent layer
        leaf = not list(module.children()) and not isinstance(module, nn.Sequential)  # which has nothing in it
        if not within and (isinstance(module, nn.RNNBase) or leaf):
            found[name] = module
    return found


class _Trace:
    """The graph's nodes as forward hooks find them."""

    def __init__(self, model: Classifier, shape: list[int]) -> None:
        self.model = model
        self.nodes = [GraphNode("inputs", "inputs", "data", shape)]
        self.last = 0  # what the next operation reads
        self.source = 0  # what the last operation read
        self.parameters: dict[int, int] = {}  # node of each parameter, by its id()

    def note(self, name: str) -> Any:
        """A forward hook of the module of this name."""

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
            first = self.last
            if name.endswith("directions.1"):  # of two directions, which read the same
                self.last = self.source
            self._reshape(list(inputs[0].shape[1:]))
            self.source = self.last
            self._operate(name, module, output[0] if isinstance(output, tuple) else output)
            if name.endswith("directions.1"):
                shape = self.nodes[first].shape
                self._add(f"{name}.concatenate", "concatenate", [*shape[:-1], 2 * shape[-1]], [first, self.last])

        return hook

    def _operate(self, name: str, module: nn.Module, output: Tensor) -> None:
        shape = list(output.shape[1:])
        own = {
            key: self._parameter(f"{name}.{key}", value)
            for key, value in module.named_parameters()
            if value.requires_grad
        }
        if isinstance(module, nn.Linear):
            self._add(name, "matmul", shape, [self.last, own["weight"]])
            if "bias" in own:
                self._add(f"{name}.add", "add", shape, [self.last, own["bias"]])
        elif not isinstance(module, nn.Identity) and not (isinstance(module, nn.Dropout) and module.p == 0):
            self._add(name, _word(module), shape, [self.last, *own.values()])

    def _parameter(self, name: str, value: Tensor) -> int:
        if id(value) not in self.parameters:
            self.nodes.append(GraphNode(name, "parameter", "parameter", list(value.shape)))
            self.parameters[id(value)] = len(self.nodes) - 1
        return self.parameters[id(value)]

    def _reshape(self, shape: list[int]) -> None:
        before = self.nodes[self.last].shape
        if shape == before:
            return
        word = "flatten" if len(shape) == 1 else "reshape"
        if len(before) == 2 and shape == before[-1:]:
            both = self.nodes[self.last].operation == "concatenate"
            word = "last time step of each" if both else "last time step"
        self._add(f"{self.nodes[self.last].name}.{word.replace(' ', '_')}", word, shape, [self.last])

    def _add(self, name: str, operation: str, shape: list[int], reads: list[int]) -> None:
        names = {node.name for node in self.nodes}
        while name in names:  # of a module that is used twice
            name += "'"
        self.nodes.append(GraphNode(name, operation, "operation", shape, reads))
        self.last = len(self.nodes) - 1

    def with_loss(self, words: str) -> list[GraphNode]:
        """The nodes with the loss as the last one, and the penalties in it."""
        self.nodes.append(GraphNode("targets", "targets", "data", []))
        self._add("loss", words, [], [self.last, len(self.nodes) - 1])
        penalised = [getattr(one.module, one.parameter) for one in self.model.penalties.active]
        if reads := [self.parameters[id(value)] for value in penalised if id(value) in self.parameters]:
            data_loss = self.last
            self._add("penalty", "penalty", [], reads)
            self._add("total_loss", "add", [], [data_loss, self.last])
        return self.nodes


def _word(module: nn.Module) -> str:
    """What torch's documentation calls the operation: `Dropout(p=0.5)`, or the class's name alone."""
    if isinstance(module, nn.Dropout):
        return f"Dropout({module.p:g}), in training"
    return type(module).__name__
