"""Settings with help text and range, which --help, docs/settings.md, messages and checks read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache
from typing import Any, Self, get_args, get_type_hints

from dlproj.config.checks import one_of, within


@dataclass(frozen=True, slots=True)
class About:
    """Help text and allowed values of a setting."""

    text: str = ""  # what it does
    interval: str = ""  # allowed numbers: "[0, 1)"
    choices: tuple[str, ...] = ()  # allowed strings

    def range_words(self) -> str:
        """The interval in words: "above 0", "in [0, 1)"; empty if any number is allowed."""
        low, _, high = self.interval[1:-1].partition(", ")
        if self.interval == "" or low == "-inf":
            return ""
        if high != "inf":
            return f"in {self.interval}"
        return f"{low} or more" if self.interval[0] == "[" else f"above {low}"


class Choice(Enum):
    """An Enum whose members can have a help text: `elu = "elu", "alpha · (eˣ − 1) below zero"`."""

    text: str

    def __new__(cls, value: str, text: str = "") -> Self:
        """Create a member with its value and help text."""
        member = object.__new__(cls)
        member._value_ = value
        member.text = text
        return member


def setting(default: Any | Callable[[], Any], text: str = "", interval: str = "", choices: tuple[str, ...] = ()) -> Any:
    """Declare a field of a settings class with its help text and allowed values.

    default: the value, or a factory for mutable values such as lists.
    """
    return _field(default, About(text, interval, choices))


def like(cls: type, name: str, default: Any | Callable[[], Any]) -> Any:
    """Declare a field with the help text and allowed values of `cls.name` but its own default."""
    return _field(default, about(cls)[name])


def _field(default: Any, known: About) -> Any:
    metadata = {"about": known}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@cache
def about(cls: type) -> Mapping[str, About]:
    """Help text and allowed values of each setting; a class that only changes a default inherits them."""
    known: dict[str, About] = {}
    for base in reversed(cls.__mro__):
        for declared in getattr(base, "__dataclass_fields__", {}).values():
            if "about" in declared.metadata:
                known[declared.name] = declared.metadata["about"]
    return {declared.name: known.get(declared.name, About()) for declared in fields(cls)}


@cache
def members(cls: type) -> Mapping[str, tuple[Choice, ...]]:
    """Members of the Choice of each setting whose type is a Choice or a list of one."""
    return {
        name: tuple(candidate)
        for name, kind in get_type_hints(cls).items()
        for candidate in (kind, *get_args(kind))
        if isinstance(candidate, type) and issubclass(candidate, Choice)
    }


def check_ranges(settings: Any, prefix: str) -> None:
    """Raise ConfigurationError for a setting outside its range or choices. prefix: "optim.", for the message."""
    cls: type = type(settings)
    for name, known in about(cls).items():
        if known.interval:
            within(prefix + name, getattr(settings, name), known.interval)
        if known.choices:
            one_of(prefix + name, getattr(settings, name), known.choices)


@cache
def help_of(cls: type) -> Mapping[str, str]:
    """Help text of each setting, with its allowed values."""
    options = members(cls)
    texts = {}
    for name, known in about(cls).items():
        can_be = either([member.name for member in options.get(name, ())] or known.choices) or known.range_words()
        texts[name] = "; ".join(filter(None, [known.text, can_be]))
    return texts


def either(names: Sequence[str]) -> str:
    """Join names: "a, b or c"."""
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
