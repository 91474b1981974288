"""A classifier around a network of the user's own."""

from typing import Any

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from dlproj.config.checks import require
from dlproj.config.custom import CustomConfig
from dlproj.config.data import DataSpec, Kind
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.classifier import Classifier
from dlproj.models.penalties import Penalties

_SAMPLES = 2  # of the pass that tries the network
_FEATURES, _MAPS = 2, 4  # dimensions of a layer's outputs (B, units) and (B, units, height, width)


class CustomClassifier(Classifier):
    """Any module from inputs to logits (B, outputs); tried with a pass of ones in eval mode when it is made."""

    def __init__(self, config: CustomConfig, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> None:
        super().__init__(config, spec, optim, scheduler)
        network: Any = config.network_for(spec)
        named = f"model.network={config.network}"
        require(isinstance(network, nn.Module), f"{named} makes a {type(network).__name__}: it must make a nn.Module")
        self.network: nn.Module = network
        self.penalties = Penalties([])
        with config.errors():
            layers = _Layers(self.network, spec)
        _check_logits(named, layers.logits, config.outputs_for(spec))
        trained = any(parameter.requires_grad for parameter in self.network.parameters())
        require(trained, f"{named} has no parameters to train: make its layers in __init__()")
        self.is_chain, self._outputs = layers.are_chain, layers.hidden()

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute logits (B, outputs)."""
        logits: Tensor = self.network(inputs)
        return logits

    def sequential_layers(self) -> list[nn.Module]:
        """The whole network: only it knows the order of its layers."""
        return [self.network]

    def sharded_modules(self) -> list[nn.Module]:
        """The whole network, whose layers may be computed in any order, and more than once."""
        return [self.network]

    def hidden_outputs(self) -> dict[str, nn.Module]:
        """Map the name of each activation or recurrent layer that is used once in a pass to the module."""
        modules = dict(self.network.named_modules())
        return {name.removesuffix(".activation"): modules[name] for name in self._outputs}


def _check_logits(named: str, logits: Any, outputs: int) -> None:
    wanted = f"it must return a logit for each class, ({_SAMPLES}, {outputs}) for {_SAMPLES} samples"
    require(isinstance(logits, Tensor), f"{named} returns a {type(logits).__name__}: {wanted}")
    shape = tuple(logits.shape)
    require(shape == (_SAMPLES, outputs), f"{named} returns the shape {shape}: {wanted}")
    floats = logits.is_floating_point()
    require(floats, f"{named} returns {str(logits.dtype).removeprefix('torch.')}: {wanted}, of floats")


class _Layers:
    """The leaf modules of a network in the order of a pass: which are used, how often, and on what."""

    def __init__(self, network: nn.Module, spec: DataSpec) -> None:
        self.calls: list[tuple[str, nn.Module, Any, Any]] = []
        hooks = [module.register_forward_hook(self._note(name)) for name, module in _leaves(network).items()]
        training = [module for module in network.modules() if module.training]
        dtype = torch.int32 if spec.kind is Kind.sequence else torch.get_default_dtype()
        self.inputs = torch.ones(_SAMPLES, *spec.shape, dtype=dtype)
        try:
            network.eval()
            with torch.no_grad(), isolate_rng():
                self.logits = network(self.inputs)
        finally:
            for hook in hooks:
                hook.remove()
            for module in training:
                module.training = True
        self.are_chain = self._are_chain()

    def _note(self, name: str) -> Any:
        def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            self.calls.append((name, module, inputs[0] if inputs else None, output))

        return note

    def _are_chain(self) -> bool:
        """True if each reads what the one before it returned, or a view of that."""
        last: Any = self.inputs
        for _, _, read, output in self.calls:
            if not _same_memory(read, last):
                return False
            last = output[0] if isinstance(output, tuple) else output
        return _same_memory(self.logits, last)

    def hidden(self) -> list[str]:
        """Names of the activations and recurrent layers that are used once, and return features or maps."""
        names = [name for name, *_ in self.calls]
        return [
            name
            for name, module, _, output in self.calls
            if names.count(name) == 1
            and (
                isinstance(module, nn.RNNBase)
                or (_is_activation(module) and isinstance(output, Tensor) and output.dim() in (_FEATURES, _MAPS))
            )
        ]


def _leaves(network: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in network.named_modules() if not list(module.children())}


def _is_activation(module: nn.Module) -> bool:
    kind = type(module)
    return kind.__module__ in ("torch.nn.modules.activation", "dlproj.models.activations")


def _same_memory(a: Any, b: Any) -> bool:
    both = isinstance(a, Tensor) and isinstance(b, Tensor)
    return both and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
