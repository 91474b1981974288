"""MLP, CNN and RNN classifiers trained by Lightning and composed by Hydra, from the command line or from Python.

>>> import dlproj
>>> run = dlproj.train("model=mlp", "optim=rmsprop", data="digits", max_epochs=5)
>>> run.plot()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlproj.api.estimator import Classifier
    from dlproj.api.finding import FoundBatchSize, FoundRate, find_batch_size, find_learning_rate
    from dlproj.api.labs import reproduce
    from dlproj.api.run import Run, compare, list_runs, load_run
    from dlproj.api.sweep import Sweep, search, sweep
    from dlproj.api.training import resume, train
    from dlproj.config.checks import ConfigurationError, DataError, UserError

_MODULES = {  # imported on first use: `import dlproj` takes no time
    "dlproj.api.estimator": ("Classifier",),
    "dlproj.api.finding": ("FoundBatchSize", "FoundRate", "find_batch_size", "find_learning_rate"),
    "dlproj.api.labs": ("reproduce",),
    "dlproj.api.run": ("Run", "compare", "list_runs", "load_run"),
    "dlproj.api.sweep": ("Sweep", "search", "sweep"),
    "dlproj.api.training": ("resume", "train"),
    "dlproj.config.checks": ("ConfigurationError", "DataError", "UserError"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
__all__ = [
    "Classifier",
    "ConfigurationError",
    "DataError",
    "FoundBatchSize",
    "FoundRate",
    "Run",
    "Sweep",
    "UserError",
    "compare",
    "find_batch_size",
    "find_learning_rate",
    "list_runs",
    "load_run",
    "reproduce",
    "resume",
    "search",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
