"""The computational graph of a network, from a sample and the parameters to the loss."""

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
    """Records the graph before the first step, for the run's page and for TensorBoard: 1 to 8 ms.

    A network that is spread over processes has none, since no process sees all of it.

    wanted: True to warn if the graph cannot be recorded.
    """

    def __init__(self, inspection: Inspection, tensorboard: EpochTensorBoard, loss: str, wanted: bool = False) -> None:
        self.inspection = inspection
        self.tensorboard = tensorboard
        self.loss = loss
        self.wanted = wanted
        self.started = False

    def on_fit_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Record the graph of a run that was resumed after its last epoch: its training does not start."""
        if not self.started:
            self.on_train_start(trainer, model)

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        self.started = True
        assert isinstance(model, Classifier)
        if not trainer.is_global_zero:
            return
        if not model.execution.is_local:
            self._warn("is spread over several processes")
            return
        try:
            graph = graph_of(model, trainer.datamodule.spec, self.loss)  # type: ignore[attr-defined]
        except Exception as error:  # whatever a network of one's own does with a sample of ones, the run goes on
            self._warn(f"cannot be traced: {type(error).__name__}: {error}")
            return
        self.inspection.graph = graph
        self.tensorboard.log_graph_nodes(graph)

    def _warn(self, why: str) -> None:
        if self.wanted:
            _log.warning("figures.graph=true cannot draw a network that %s", why)


def graph_of(model: Classifier, spec: DataSpec, loss: str) -> list[GraphNode]:
    """Return the nodes, each after those that it reads, with the shapes of a single sample.

    They are traced by a forward pass of two samples of ones in eval mode, which draws no random numbers and changes no
    statistics.
    """
    if not model.is_chain:
        raise ValueError("its layers are not modules applied one after another")
    trace = _Trace(model, list(spec.shape))
    hooks = [module.register_forward_hook(trace.note(name)) for name, module in _operations(model).items()]
    ones = torch.ones(
        2, *spec.shape, dtype=torch.long if spec.kind is Kind.sequence else next(model.parameters()).dtype
    )
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
    """Return the modules that are drawn as one operation, by name: those without submodules, and recurrent layers.

    Flattening is not among them: it is drawn where a module reads another shape than the one before it gives.
    """
    operations: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        within = any(name.startswith(f"{above}.") for above in operations)  # an activation in a recurrent layer
        leaf = not list(module.children()) and not isinstance(
            module, nn.Sequential | nn.Flatten
        )  # or an empty Sequential
        if not within and (isinstance(module, nn.RNNBase) or leaf):
            operations[name] = module
    return operations


class _Trace:
    """Collects the graph's nodes in forward hooks."""

    def __init__(self, model: Classifier, shape: list[int]) -> None:
        self.model = model
        self.nodes = [GraphNode("inputs", "inputs", "data", shape)]
        self.last = 0  # index of the node that the next operation reads
        self.source = 0  # index of the node that the last operation read
        self.parameters: dict[int, int] = {}  # index of each parameter's node, by the parameter's id()

    def note(self, name: str) -> Any:
        """Return a forward hook for the module of this name."""

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
            first = self.last
            if name.endswith("directions.1"):  # the second of two directions reads what the first read
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
            if key != "unread"  # the rows of an embedding that no word reads
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
        while name in names:  # a module that is used twice
            name += "'"
        self.nodes.append(GraphNode(name, operation, "operation", shape, reads))
        self.last = len(self.nodes) - 1

    def with_loss(self, words: str) -> list[GraphNode]:
        """Return the nodes with the loss, including penalties, added at the end."""
        self.nodes.append(GraphNode("targets", "targets", "data", []))
        self._add("loss", words, [], [self.last, len(self.nodes) - 1])
        penalised = [getattr(penalty.module, penalty.parameter) for penalty in self.model.penalties.active]
        if reads := [self.parameters[id(value)] for value in penalised if id(value) in self.parameters]:
            data_loss = self.last
            self._add("penalty", "penalty", [], reads)
            self._add("total_loss", "add", [], [data_loss, self.last])
        return self.nodes


def _word(module: nn.Module) -> str:
    """Return the operation's name: `Dropout(0.5), in training`, or the class's name."""
    if isinstance(module, nn.Dropout):
        return f"Dropout({module.p:g}), in training"
    return type(module).__name__
