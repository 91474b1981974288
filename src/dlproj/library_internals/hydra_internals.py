"""Private names of Hydra, which is not imported here."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
    from hydra.core.utils import JobReturn

__all__ = ["BasicSweeper", "BasicSweeperConf", "failure_of"]


def __getattr__(name: str) -> Any:
    """Hydra's own sweeper and its settings: the public base class has neither the combinations nor the loop over them.

    They are looked up each time: Hydra executes the modules of its plugins anew when it searches for plugins, and a
    class derived from the one before would fail at super().
    """
    if name in ("BasicSweeper", "BasicSweeperConf"):
        return getattr(import_module("hydra._internal.core_plugins.basic_sweeper"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def failure_of(job: "JobReturn") -> Exception:
    """The exception that ended a failed job: return_value raises it, but prints a line of its own first."""
    error: Exception = job._return_value
    return error
