"""What is made of a mapping with a `_target_`, by hydra.utils.instantiate: callbacks, loggers, metrics, figures."""

from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from dlproj.config.checks import ConfigurationError, require


def check_targets(group: str, nodes: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for an entry without a `_target_`. Whether that can be imported, make() says."""
    for name, node in nodes.items():
        names = isinstance(node, Mapping) and isinstance(node.get("_target_"), str)
        require(names, f"{group}.{name}={node} names nothing to make: set {group}.{name}._target_=my_module.MyClass")


def make(key: str, node: Mapping[str, Any], kind: type | tuple[type, ...], *arguments: Any, **named: Any) -> Any:
    """What the node describes, made with these arguments, too. key: where the node stands, for the message.

    Raises ConfigurationError where it cannot be imported or made, or is not of this kind.
    """
    target = node["_target_"]
    try:
        made = instantiate({"_convert_": "all"} | dict(node), *arguments, **named)
    except InstantiationException as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ConfigurationError(f"{key}._target_={target} cannot be used: {reason}") from error
    require(isinstance(made, kind), f"{key}._target_={target} makes no {_name(kind)}")
    return made


def _name(kind: type | tuple[type, ...]) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(f"{one.__module__}.{one.__name__}" for one in kinds)
