"""Delay modules that torch and Lightning import at start until they are first used.

Training does not use torch._dynamo, the compiler that optimizers import for their decorators, nor the counter of
operations for which Lightning's model summary imports Triton, and only three classes of torchmetrics, which imports
torchvision, scipy.signal and matplotlib if they are installed: together more than half of the time of
`import pytorch_lightning` (https://github.com/Lightning-AI/torchmetrics/issues/3457). After delay() such a module is in
sys.modules with the few names that are asked for, and the first use of any other name executes it in place. No
installed file changes, and if a library asks for other names, it only starts more slowly.
"""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from dlproj.library_internals.torch_internals import COMPILER
from dlproj.library_internals.torchmetrics_internals import LOGGER, PLOT_TYPES

_PLOT, _FLOPS = "torchmetrics.utilities.plot", "torch.utils.flop_counter"
# Names of torchmetrics that Lightning and dlproj use, and the submodules that define them.
_SUBMODULES = {"Metric": "metric", "MetricCollection": "collections", "MeanMetric": "aggregation"}
_not_compiled: list[
    Callable[[ModuleType], None]
] = []  # for each function that must not be compiled: tells the compiler


def delay() -> None:
    """From now on execute these modules only when they are used; modules already imported are not affected."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def is_executed(name: str) -> bool:
    """True if the module was imported and is not delayed."""
    return name in sys.modules and not isinstance(sys.modules[name], _Delayed)


class _Delayed(ModuleType):
    """A module that is executed when a name without a stand-in is asked for."""

    def __getattr__(self, name: str) -> Any:
        if self.__name__ == "torchmetrics" and name in _SUBMODULES:
            import_module("torchmetrics.utilities")  # first, as in torchmetrics: it imports metric in a circle
            return getattr(import_module(f"torchmetrics.{_SUBMODULES[name]}"), name)
        if name.startswith("__") and name != "__all__":  # the import system and inspect look for these
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        _execute(self)
        return getattr(self, name)


def _execute(module: ModuleType) -> None:
    spec = module.__spec__
    assert spec is not None
    assert isinstance(spec.loader, _DelayingLoader)
    module.__class__ = ModuleType
    module.__loader__ = spec.loader = spec.loader.loader
    spec.loader.exec_module(module)
    if module.__name__ == COMPILER:
        for leave_alone in _not_compiled:
            leave_alone(module)


def _disable(fn: Any = None, *arguments: Any, **options: Any) -> Any:
    """Stand-in for torch._dynamo.disable: calls the function as it is, until a compiler is there to be told."""
    if not callable(fn):
        return _executed(COMPILER).disable(fn, *arguments, **options)
    called = fn

    @wraps(fn)
    def call(*call_arguments: Any, **call_options: Any) -> Any:
        return called(*call_arguments, **call_options)

    def leave_alone(dynamo: ModuleType) -> None:
        nonlocal called
        called = dynamo.disable(fn, *arguments, **options)

    _not_compiled.append(leave_alone)
    return call


class _InstancesOfOptimizedModule(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return is_executed(COMPILER) and isinstance(instance, sys.modules[COMPILER].OptimizedModule)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return is_executed(COMPILER) and issubclass(subclass, sys.modules[COMPILER].OptimizedModule)


class _OptimizedModule(metaclass=_InstancesOfOptimizedModule):
    """Stand-in for torch._dynamo.OptimizedModule in isinstance(): False while nothing is compiled."""


def _executed(name: str) -> ModuleType:
    module = import_module(name)
    if isinstance(module, _Delayed):
        _execute(module)
    return module


class _Later:
    """A function or class whose use executes its module: calling it, deriving from it, isinstance()."""

    def __init__(self, module: str, name: str) -> None:
        self.__module, self.__name = module, name

    def __real(self) -> Any:
        return getattr(_executed(self.__module), self.__name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.__real()(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__real(), name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (self.__real(),)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, self.__real())


# Names in a module before it is executed. Types are only for annotations.
_STAND_INS: Mapping[str, Mapping[str, Any]] = {
    COMPILER: {"disable": _disable, "graph_break": lambda: None, "OptimizedModule": _OptimizedModule},
    "torchmetrics": {LOGGER: logging.getLogger("torchmetrics")},
    "torchmetrics.functional": {},
    _PLOT: dict.fromkeys(PLOT_TYPES, Any)
    | {name: _Later(_PLOT, name) for name in ("plot_single_or_multi_val", "plot_confusion_matrix", "plot_curve")},
    _FLOPS: {"FlopCounterMode": _Later(_FLOPS, "FlopCounterMode")},
}


class _DelayingLoader(Loader):
    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(_STAND_INS[module.__name__])
        module.__class__ = _Delayed


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.startswith(f"{COMPILER}."):  # whose submodules count on it
            _executed(COMPILER)
        if name not in _STAND_INS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _DelayingLoader(spec.loader)
        return spec
