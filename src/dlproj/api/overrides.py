"""Keywords of Python as the overrides that the command line takes."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

from dlproj.config.checks import ConfigurationError, require
from dlproj.config.root import Config
from dlproj.config.schemas import SCHEMAS
from dlproj.config.table import columns_typed

_GROUPS = tuple(SCHEMAS)
_PLAIN = re.compile(r"(?!(?:null|true|false|nan|inf)$)[a-z/][\w./-]*", re.IGNORECASE | re.ASCII)  # text as it is


def as_overrides(typed: Sequence[str], keywords: Mapping[str, Any]) -> list[str]:
    """The overrides as typed, then one for each keyword.

    A keyword is a group's choice (`optim="adam"`), a setting by its full name with two underscores for each dot
    (`model__hidden=[64]`), a group's settings (`model={"hidden": [64]}`), or the last part of a setting's name where no
    other group has it (`max_epochs=5`). data may be arrays, (x_train, y_train, x_test, y_test) or the first two, or a
    DataFrame. Raises UserError.
    """
    overrides = list(typed)
    for name, value in keywords.items():
        if not is_arrays(name, value):
            overrides += _overrides(full_name(name.replace("__", ".")), value)
    return with_arrays(keywords, overrides)


def is_arrays(name: str, value: Any) -> bool:
    """True for data=(x_train, y_train, x_test, y_test), or the first two of them, and for a DataFrame."""
    return name == "data" and (isinstance(value, list | tuple) or hasattr(value, "columns"))


def with_arrays(keywords: Mapping[str, Any], overrides: list[str]) -> list[str]:
    """The overrides, behind those that choose the arrays among the keywords as data. Raises DataError."""
    data: Any = keywords.get("data")
    if not is_arrays("data", data):
        return overrides
    from dlproj.api.arrays import stored_arrays, stored_table

    if hasattr(data, "columns"):
        return ["data=table", f"data.file={quoted(stored_table(data))}", *overrides]

    group, path = stored_arrays(data, overrides)
    return [f"data={group}", f"data.file={quoted(path)}", *overrides]


def _overrides(name: str, value: Any) -> list[str]:
    if isinstance(value, Mapping) and name in _GROUPS:
        choice = [f"{name}={value['name']}"] if "name" in value else []
        return choice + [
            one for key, inner in value.items() if key != "name" for one in _overrides(f"{name}.{key}", inner)
        ]
    if name in _GROUPS and isinstance(value, str):
        return [f"{name}={value}"]
    if name == "data":
        raise ConfigurationError(
            f"data is a {type(value).__name__}: give a DataFrame, arrays (x, y) or (x_train, y_train, x_test, y_test), "
            "or the name of a data set, such as digits"
        )
    if name == "data.columns" and isinstance(value, Mapping):
        value = columns_typed(value)
    if name == "model" and hasattr(value, "state_dict") and not isinstance(value, type):
        raise ConfigurationError(
            f"model is an object of {type(value).__name__}: give the class, and its arguments as model__arguments"
        )
    if name == "model" and callable(value):
        return ["model=custom", f"model.network={quoted(_reference(value))}"]
    return [f"{name}={quoted(value)}"]


def _reference(network: Any) -> str:
    """File and name of a class or function: /home/me/my_net.py:Net. Raises ConfigurationError if no file is its own."""
    name, module_name = getattr(network, "__qualname__", ""), getattr(network, "__module__", "__main__")
    module = None if module_name == "__main__" else sys.modules.get(module_name)
    file = getattr(module, "__file__", None)
    is_importable = bool(file) and name.isidentifier() and getattr(module, name, None) is network
    message = f"model={name or network!r} is not defined at the top of a file of its own"
    require(is_importable, f"{message}: write it to one, and import it")
    return f"{file}:{name}"


def full_name(name: str) -> str:
    """`max_epochs` as `trainer.max_epochs`; names with dots, of groups and of the whole run as they are."""
    if "." in name or name in _GROUPS or name in {field.name for field in fields(Config)}:
        return name
    groups = [group for group, classes in SCHEMAS.items() if any(_has(cls, name) for cls in classes.values())]
    if len(groups) > 1:
        either = " or ".join(f"{group}__{name}" for group in groups)
        raise ConfigurationError(f"{name} is a setting of {' and '.join(groups)}: write {either}")
    return f"{groups[0]}.{name}" if groups else name  # Hydra's message names the settings that are near


def _has(cls: type, name: str) -> bool:
    return any(field.name == name for field in fields(cls))


def quoted(value: Any) -> str:
    """A value in Hydra's grammar: lists and mappings by their parts, text in quotes unless it is plain."""
    if isinstance(value, Mapping):
        names = {re.sub(r"[\\()\[\]{}:=,]", r"\\\g<0>", str(key)): inner for key, inner in value.items()}
        return "{" + ",".join(f"{name}:{quoted(inner)}" for name, inner in names.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(quoted, value)) + "]"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else QuotedString(value, Quote.single).with_quotes()
    return json.dumps(getattr(value, "tolist", lambda: value)())  # a number of NumPy's, too
