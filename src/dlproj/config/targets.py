"""Mappings with a `_target_`, as Hydra writes them: classes of callbacks, loggers and metrics, functions that draw."""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any

from dlproj.config.checks import ConfigurationError, require


def check_targets(group: str, nodes: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for an entry without a `_target_`. Whether that can be imported, make() says."""
    for name, node in nodes.items():
        names = isinstance(node, Mapping) and isinstance(node.get("_target_"), str)
        require(names, f"{group}.{name}={node} names nothing to make: set {group}.{name}._target_=my_module.MyClass")


def make(key: str, node: Mapping[str, Any], kind: type, **further: Any) -> Any:
    """Make an object of the class that the node names, with its arguments; key says where the node stands.

    Only a class derived from `kind` is made, and nothing in its arguments is, so that the settings of a run from
    elsewhere call nothing else. Raises ConfigurationError where it cannot be imported or made, or is of another kind.
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
    except Exception as error:
        raise _unusable(key, node, error) from error


def _unusable(key: str, node: Mapping[str, Any], error: Exception) -> ConfigurationError:
    reason = " ".join(str(error).split())
    return ConfigurationError(f"{key}._target_={node['_target_']} cannot be used: {reason}")
