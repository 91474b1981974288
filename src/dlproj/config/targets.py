"""Mappings with a `_target_`, as Hydra writes them: classes of callbacks, loggers and metrics, functions that draw."""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

from dlproj.config.checks import ConfigurationError, UserError, require


def check_targets(group: str, nodes: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for an entry without a `_target_`; make() checks whether it exists."""
    for name, node in nodes.items():
        names = isinstance(node, Mapping) and isinstance(node.get("_target_"), str)
        require(names, f"{group}.{name}={node} names nothing to make: set {group}.{name}._target_=my_module.MyClass")


def make(key: str, node: Mapping[str, Any], kind: type, **further: Any) -> Any:
    """Make an object of the class that the node names, with its arguments; key says where the node stands.

    Only classes derived from `kind` are made, and a `_target_` within the arguments is not: settings that come with a
    run's folder from elsewhere can call nothing else. Raises ConfigurationError if it cannot be imported or made, or
    is of another kind.
    """
    cls = _located(key, node)
    fits = isinstance(cls, type) and issubclass(cls, kind)
    require(fits, f"{key}._target_={node['_target_']} makes no {kind.__module__}.{kind.__name__}")
    return _called(key, node, cls, **further)


def call(key: str, node: Mapping[str, Any], *arguments: Any) -> Any:
    """Call the function that the node names with these arguments and its own. Raises ConfigurationError as make()."""
    return _called(key, node, _located(key, node), *arguments)


def _located(key: str, node: Mapping[str, Any]) -> Any:
    try:
        return resolve_name(node["_target_"])
    except Exception as error:  # importing runs the module
        raise _unusable(key, node, error) from error


def _called(key: str, node: Mapping[str, Any], function: Any, *arguments: Any, **further: Any) -> Any:
    own = {name: value for name, value in node.items() if name != "_target_"}
    try:
        return function(*arguments, **further | own)
    except UserError as error:
        raise ConfigurationError(f"{key.replace('.', '=', 1)}: {error}") from error
    except Exception as error:
        raise _unusable(key, node, error) from error


def _unusable(key: str, node: Mapping[str, Any], error: Exception) -> ConfigurationError:
    reason = " ".join(str(error).split())
    return ConfigurationError(f"{key}._target_={node['_target_']} cannot be used: {reason}")
