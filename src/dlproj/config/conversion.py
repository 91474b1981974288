"""Convert plain values to settings classes; a misspelt key or a wrong type is a one-line error."""

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
    """Message for an unknown key below `prefix` (`model.`): suggests the nearest setting of cls, or lists all."""
    if why := getattr(cls, "not_read", {}).get(key):
        return f"{prefix}{key} has no effect: leave it out, as {why}"
    if new := RENAMED.get(prefix + key):
        return f"unknown setting {prefix}{key}: it is now {new}"
    known = [field.name for field in fields(cls)]
    near = _meant(_ALSO_CALLED.get(key, key), cls)
    are = "settings there are" if len(known) > 1 else "only setting there is"
    every = f"the {are} {', '.join(sorted(known))}" if known else "this choice has no settings"
    return f"unknown setting {prefix}{key}: {f'did you mean {prefix}{near}?' if near else every}"


# Names of settings in other libraries.
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
    """The setting of cls, or of a group below it, with this name, else the one nearest to it, else ""."""
    own, below = [field.name for field in fields(cls)], _settings_below(cls)
    near = [key] if key in [*own, *below] else get_close_matches(key, [*own, *below], n=1)
    return next((name if name in own else below[name] for name in near), "")


def _settings_below(cls: type) -> dict[str, str]:
    """Dotted names of the settings in the groups of cls, by their last part; of duplicates the outermost, first one."""
    names: dict[str, str] = {}
    for name, kind in get_type_hints(cls).items():
        if is_dataclass(kind) and isinstance(kind, type):
            for last, dotted in (_settings_below(kind) | {own.name: own.name for own in fields(kind)}).items():
                names.setdefault(last, f"{name}.{dotted}")
    return names


_WHAT_TO_SET = {  # hints by a part of OmegaConf's message
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
    """One-line message for an OmegaConf error; `prefix` is put before its key."""
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
    """Raise ConfigurationError for a key that its settings class does not have, as `+key=…` can add."""
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
    """Convert a settings object, or a value of one, to containers for YAML and JSON; enum members become their names.

    Same as OmegaConf.to_container(OmegaConf.structured(value), enum_to_str=True), in a hundredth of the time.
    """
    if isinstance(value, Enum):
        return value.name
    if is_dataclass(value):
        return {field.name: plain(_as_declared(getattr(value, field.name), field.type)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _as_declared(value: Any, kind: Any) -> Any:
    """Convert an int to float if the setting is declared as float."""
    return float(value) if type(value) is int and kind in (float, float | None) else value


def typed(cls: type[T], values: Mapping[str, Any], key: str) -> T:
    """Build settings class `cls` from plain values, checked and converted as Hydra does for the command line.

    key: path of the values, for messages: `model.hidden[0]`. Raises ConfigurationError.
    """
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), dict(values)))  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigurationError(explain(error, f"{key}.")) from error
    except OverflowError as error:  # an int too large for a float
        raise ConfigurationError(f"{key}: a number is too large: set a smaller one") from error
