"""Settings that carry their help text and range, which --help, the reference, messages and checks read from here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache
from typing import Any, Self, get_args, get_type_hints

from dlproj.config.checks import one_of, within


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a setting beside its type and default."""

    text: str = ""  # what it does, in words that follow its name
    interval: str = ""  # of a number: "[0, 1)"
    choices: tuple[str, ...] = ()  # of a text

    def range_words(self) -> str:
        """The range in words: "above 0", "in [0, 1)"; empty where every number will do."""
        low, _, high = self.interval[1:-1].partition(", ")
        if self.interval == "" or low == "-inf":
            return ""
        if high != "inf":
            return f"in {self.interval}"
        return f"{low} or more" if self.interval[0] == "[" else f"above {low}"


class Choice(Enum):
    """An Enum whose members may have a help text: `elu = "elu", "alpha · (eˣ − 1) below zero"`."""

    text: str

    def __new__(cls, value: str, text: str = "") -> Self:
        """A member with its value and help text."""
        member = object.__new__(cls)
        member._value_ = value
        member.text = text
        return member


def setting(default: Any | Callable[[], Any], text: str = "", interval: str = "", choices: tuple[str, ...] = ()) -> Any:
    """A field of a settings class, described once.

    default: its value, or what makes one for each object, as a list needs.
    """
    return _field(default, About(text, interval, choices))


def like(cls: type, name: str, default: Any | Callable[[], Any]) -> Any:
    """A field described as the setting `name` of another settings class, with a default of its own."""
    return _field(default, about(cls)[name])


def _field(default: Any, known: About) -> Any:
    metadata = {"about": known}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@cache
def about(cls: type) -> Mapping[str, About]:
    """What is known of each setting of a settings class; one that only gets a new default is as in its base class."""
    known: dict[str, About] = {}
    for base in reversed(cls.__mro__):
        for one in getattr(base, "__dataclass_fields__", {}).values():
            if "about" in one.metadata:
                known[one.name] = one.metadata["about"]
    return {one.name: known.get(one.name, About()) for one in fields(cls)}


@cache
def members(cls: type) -> Mapping[str, tuple[Choice, ...]]:
    """What can be chosen for each setting whose type is a Choice, or a list of them."""
    return {
        name: tuple(one)
        for name, kind in get_type_hints(cls).items()
        for one in (kind, *get_args(kind))
        if isinstance(one, type) and issubclass(one, Choice)
    }


def check_ranges(settings: Any, prefix: str) -> None:
    """Raise ConfigurationError for a setting outside its range or choices. prefix: what precedes its name, "optim."."""
    cls: type = type(settings)
    for name, known in about(cls).items():
        if known.interval:
            within(prefix + name, getattr(settings, name), known.interval)
        if known.choices:
            one_of(prefix + name, getattr(settings, name), known.choices)


@cache
def help_of(cls: type) -> Mapping[str, str]:
    """The help text of each setting, with what it can be."""
    options = members(cls)
    texts = {}
    for name, known in about(cls).items():
        can_be = either([one.name for one in options.get(name, ())] or known.choices) or known.range_words()
        texts[name] = "; ".join(filter(None, [known.text, can_be]))
    return texts


def either(names: Sequence[str]) -> str:
    """Names in words: "a, b or c"."""
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
