"""Writes docs/settings.md from the settings classes: `python -m dlproj.cli.settings_page > docs/settings.md`."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from types import NoneType
from typing import Any, cast, get_args, get_origin, get_type_hints

from omegaconf import MISSING as REQUIRED

from dlproj import formats
from dlproj.config.callbacks import EarlyStoppingConfig
from dlproj.config.fields import about, either, members
from dlproj.config.layers import ConvConfig, DenseConfig, InitializerConfig, RecurrentConfig
from dlproj.config.places import CONF
from dlproj.config.root import Config
from dlproj.config.schemas import SCHEMAS, settings_class
from dlproj.config.search import SearchConfig

_HEAD = """# Settings

This page lists every setting with the values that it takes, its default and what it does.

Set each as `SETTING=VALUE` behind `python train.py` or `dlproj train`, as a keyword of `dlproj.train`, or in a file
under `conf/`. `python train.py --help` shows the settings of your choices, with their values. This page is generated
from the settings classes (`make docs/settings.md`).
"""
_KINDS = {int: "integer", float: "number", bool: "true or false", str: "text", Any: "any"}


def page() -> str:
    """The full document, as Markdown."""
    groups = [line for group in SCHEMAS for line in _group(group)]
    return "\n".join([_HEAD, *_section("## Of every run", Config, ""), *groups, *_others(), *_choices()]).rstrip()


def _group(group: str) -> Iterator[str]:
    """The settings shared by all choices of a group, then those of each choice."""
    base = get_type_hints(Config)[group]
    classes = _classes(group)
    yield from (
        [f"## {group}", ""]
        if base in classes.values() and len(classes) > 1
        else _section(f"## {group}", base, f"{group}.")
    )
    for name, cls in classes.items() if len(classes) > 1 else ():
        yield from _section(f"### {group}={_files(group, name)}", cls, f"{group}.", base)


def _classes(group: str) -> dict[str, type]:
    """The settings classes that the files of a group are built on, by the names that they have there."""
    texts = "".join(file.read_text(encoding="utf-8") for file in sorted((CONF / group).glob("*.yaml")))
    named = re.findall(rf"^ *- /schema/{group}@_here_: (\S+)$", texts, re.MULTILINE)
    return {name: settings_class(group, name) for name in dict.fromkeys([*SCHEMAS[group], *named])}


def _files(group: str, name: str) -> str:
    """The files of conf/ that build on a settings class: "sgd, momentum or nesterov"."""
    line = f"- /schema/{group}@_here_: {name}\n"
    return either(
        sorted(file.stem for file in (CONF / group).glob("*.yaml") if line in file.read_text(encoding="utf-8"))
    )


def _others() -> Iterator[str]:
    yield from _section("## figures", get_type_hints(Config)["figures"], "figures.")
    yield from _section("## A layer of model.hidden, for mlp and cnn", DenseConfig, "")
    yield from _section("## A layer of model.conv", ConvConfig, "", DenseConfig)
    yield from _section("## A layer of model.hidden, for lstm, gru and simple_rnn", RecurrentConfig, "")
    yield from _section("## An initialiser", InitializerConfig, "")
    yield from _section("## Several runs, with -m", get_type_hints(Config)["sweep"], "sweep.")
    yield from _section("## Search, with -m hydra/sweeper=optuna", SearchConfig, "hydra.sweeper.")
    yield from _section("## What a document reports", get_type_hints(Config)["reference"], "reference.")


def _section(title: str, cls: type, prefix: str, base: type | None = None) -> list[str]:
    """A heading, the docstring of the class, and a table of its settings that differ from those of base."""
    known = dict(_rows(base, prefix)) if base else {}
    rows = [f"| `{name}` | {' | '.join(rest)} |" for name, rest in _rows(cls, prefix) if known.get(name) != rest]
    table = ["| setting | values | default | meaning |", "|---|---|---|---|", *rows, ""] if rows else []
    return [title, "", _doc(cls), "", *table]


def _rows(cls: type, prefix: str) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Name, values, default and meaning of each setting, including those of nested groups."""
    kinds = get_type_hints(cls)
    for field in fields(cls):
        name, kind = prefix + field.name, kinds[field.name]
        if kind is InitializerConfig:
            yield name, ("[an initialiser](#an-initialiser)", _default(field), _meaning(cls, field.name))
        elif not is_dataclass(kind):
            yield name, (_values(cls, field.name, kind), _default(field), _meaning(cls, field.name))
        elif cls is not Config:
            yield from _rows(cast(type, kind), f"{name}.")


def _meaning(cls: type, name: str) -> str:
    text = re.sub(r"\b_target_\b", "`_target_`", about(cls)[name].text)
    return text.replace("|", "\\|") or "initial values"


def _values(cls: type, name: str, kind: Any) -> str:
    """What a setting takes: "number in [0, 1)", "last, random or test", "list of text, or null"."""
    known, either_of = about(cls)[name], [part for part in get_args(kind) if part is not NoneType]
    or_null = ", or null" if NoneType in get_args(kind) else ""
    if or_null:
        return _values(cls, name, either_of[0]) + or_null
    if get_origin(kind) is dict:
        return "mapping"
    if get_origin(kind) is list:
        return "list" if either_of == [Any] else f"list of {_values(cls, name, either_of[0])}"
    named = either([f"`{one}`" for one in [one.name for one in members(cls).get(name, ())] or known.choices])
    words = known.range_words()
    return named or _KINDS.get(kind, "any") + (", " if words.endswith("or more") else " " if words else "") + words


def _default(field: Field[Any]) -> str:
    value = field.default if field.default_factory is MISSING else field.default_factory()
    if isinstance(value, InitializerConfig):
        value = value.name
    plain = [part.name if isinstance(part, Enum) else part for part in (value if isinstance(value, list) else [value])]
    typed = formats.setting(plain if isinstance(value, list) else plain[0])
    return "required" if value == REQUIRED else f"`{typed}`"


def _choices() -> Iterator[str]:
    """The values of each Choice, with their help texts."""
    yield from ("## What the choices stand for", "")
    of_groups = [cls for group in SCHEMAS for cls in _classes(group).values()]
    classes = [*of_groups, DenseConfig, InitializerConfig, EarlyStoppingConfig]
    shown = dict.fromkeys(options for cls in classes for options in members(cls).values())
    for options in shown:
        yield from (f"**{_words(type(options[0]).__name__)}**: {_doc(type(options[0]))}", "")
        yield from (f"- `{member.name}`{f': {member.text}' if member.text else ''}" for member in options)
        yield ""


def _doc(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


def _words(name: str) -> str:
    """ "ValidationSplit" as "Validation split"."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda match: f" {match[1].lower()}", name)


if __name__ == "__main__":
    print(page())
