"""From plain values to settings classes, with one line for what is misspelt or of another type."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Any, TypeVar, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from dlproj.config.checks import ConfigurationError
from dlproj.config.fields import About, about
from dlproj.config.renamed import RENAMED

T = TypeVar("T")


def no_setting(prefix: str, key: str, cls: type) -> str:
    """Words for a misspelt key below `prefix` (`model.`), pointing to the nearest setting of cls or to all of them."""
    if why := getattr(cls, "not_read", {}).get(key):
        return f"{prefix}{key} has no effect: leave it out, as {why}"
    if new := RENAMED.get(prefix + key):
        return f"unknown setting {prefix}{key}: it is now {new}"
    known = [field.name for field in fields(cls)]
    near = _meant(_ALSO_CALLED.get(key, key), cls)
    every = f"the settings there are {', '.join(sorted(known))}" if known else "this choice has no settings"
    return f"unknown setting {prefix}{key}: {f'did you mean {prefix}{near}?' if near else every}"


# What other libraries call a setting.
_ALSO_CALLED = {
    "lr": "learning_rate",
    "epochs": "max_epochs",
    "num_epochs": "max_epochs",
    "bs": "batch_size",
    "wd": "weight_decay",
    "optimizer": "optim",
    "lr_scheduler": "scheduler",
    "dataset": "data",
    "gpus": "devices",
    "hidden_sizes": "hidden",
    "hidden_units": "hidden",
    "layers": "hidden",
}


def _meant(key: str, cls: type) -> str:
    """The setting of cls or of the groups below it that has this name or, where none has, the nearest; "" for none."""
    own, below = [field.name for field in fields(cls)], _settings_below(cls)
    near = [key] if key in [*own, *below] else get_close_matches(key, [*own, *below], n=1)
    return next((one if one in own else below[one] for one in near), "")


def _settings_below(cls: type) -> dict[str, str]:
    """The dotted names of the settings in the groups of cls by their last parts; of equal ones the first, outer one."""
    found: dict[str, str] = {}
    for name, kind in get_type_hints(cls).items():
        if is_dataclass(kind) and isinstance(kind, type):
            for last, dotted in (_settings_below(kind) | {one.name: one.name for one in fields(kind)}).items():
                found.setdefault(last, f"{name}.{dotted}")
    return found


_WHAT_TO_SET = {  # by what OmegaConf's message contains
    "converted to Float": "set a number",
    "converted to Integer": "set a whole number",
    "is not a valid bool": "set true or false",
    "is not Optional": "it cannot be null; set a value",
    "Incompatible value 'None'": "it cannot be null; set a value",
    "is not a ListConfig": "set a list, such as [256]",
    "is not a subclass of": "it is a group of settings; set one of them by its name",
    "Invalid type assigned": "it is a group of settings; set one of them by its name",
    "incompatible with type hint": "it is a group of settings; set one of them by its name",
    "is not in struct": "put + before it to add it",
    "missing mandatory value": "set a value or make a choice",
}


def explain(error: OmegaConfBaseException, prefix: str = "") -> str:
    """One line for what OmegaConf found wrong with a value or a key; prefix is put before its key."""
    full_key = prefix + (error.full_key or str(error.key or ""))
    above, dot, key = full_key.rstrip(".").rpartition(".")
    cls = error.object_type
    if isinstance(error, ConfigKeyError | ConfigAttributeError) and isinstance(cls, type) and is_dataclass(cls):
        return no_setting(above + dot, key, cls)
    message = str(error.msg or error).splitlines()[0]
    hints = [hint for words, hint in _WHAT_TO_SET.items() if words in message]
    known = about(cls).get(key, About()) if isinstance(cls, type) and is_dataclass(cls) else About()
    where = f" in {known.interval}" if known.interval else ""
    return ": ".join([above + dot + key, message.rstrip("."), *(hint + where for hint in hints[:1])])


def refuse_unknown(node: DictConfig, prefix: str = "") -> None:
    """Raise ConfigurationError if a settings class got a key that it lacks, which `+key=…` can bring about."""
    cls = OmegaConf.get_type(node)
    if cls is None or not is_dataclass(cls):
        return
    known = {field.name for field in fields(cls)}
    for key in map(str, node):
        if key not in known:
            raise ConfigurationError(no_setting(prefix, key, cls))
        below = None if OmegaConf.is_missing(node, key) else node[key]
        if isinstance(below, DictConfig):
            refuse_unknown(below, f"{prefix}{key}.")


def plain(value: Any) -> Any:
    """A settings object, or what one holds, as containers that YAML and JSON have: a choice is its name.

    As OmegaConf.to_container(OmegaConf.structured(value), enum_to_str=True), in a hundredth of the time.
    """
    if isinstance(value, Enum):
        return value.name
    if is_dataclass(value):
        return {one.name: plain(_as_declared(getattr(value, one.name), one.type)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def _as_declared(value: Any, kind: Any) -> Any:
    """A whole number is stored as a float where the setting is one."""
    return float(value) if type(value) is int and kind in (float, float | None) else value


def typed(cls: type[T], values: Mapping[str, Any], key: str) -> T:
    """Build the settings class cls from plain values, checked and converted as Hydra does with the command line.

    key is where the values stand, for the message: `model.hidden[0]`. Raises ConfigurationError.
    """
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), dict(values)))  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigurationError(explain(error, f"{key}.")) from error
    except OverflowError as error:  # of a whole number as a float
        raise ConfigurationError(f"{key}: a number is too large: set a smaller one") from error
