"""What every settings class uses to check itself, and the errors that a user can mend."""

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

T = TypeVar("T")


LARGEST_SEED = 2**32 - 1
# The confusion matrix of more classes is kept as its entries above 0: those are few, but it has classes² in all.
MOST_CLASSES_IN_ROWS = 200
VALIDATION_METRICS = ("val/loss", "val/accuracy", "val/top2_accuracy", "val/macro_f1")
DISTANCE = "reference_distance"  # from the curves that a document reports
COUNTED = ("parameters", "seconds", "peak_memory_bytes", DISTANCE)  # what a search may keep small, of summary.json


def one_line(text: str) -> str:
    """The text with line ends, control characters and halves of characters as escapes: file names can have any."""
    if text.isprintable():
        return text
    return "".join(repr(one)[1:-1] if unicodedata.category(one) in _ESCAPED else one for one in text)


_ESCAPED = ("Cc", "Cs", "Zl", "Zp")


class UserError(Exception):
    """Something the user can mend. Its text is one line that says what is wrong and what to do instead."""

    def __init__(self, text: str = "") -> None:
        super().__init__(one_line(text))


class ConfigurationError(UserError):
    """A setting that cannot work."""


class DataError(UserError):
    """A data set that is missing, damaged or not what its settings say."""


def require(condition: bool, message: str) -> None:
    """Raise ConfigurationError(message) unless condition holds."""
    if not condition:
        raise ConfigurationError(message)


def within(key: str, value: float | None, interval: str) -> None:
    """Check that a number lies in an interval written as in mathematics, such as "[0, 1)".

    None means "not set" and passes; NaN never does. Raises ConfigurationError, naming the key and the interval.
    """
    if value is None:
        return
    fits = isinstance(value, float) or -(2**63) <= value < 2**63
    require(fits, f"{key} is impossible: set a value in {interval} that fits 64 bits")
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    require(above and below and not math.isnan(value), f"{key}={value} is impossible: set a value in {interval}")


def one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Check that value is one of choices. Raises ConfigurationError, listing them."""
    require(value in choices, f"{key}={value} is no choice: set one of {', '.join(choices)}")


def better(metric: str) -> Literal["min", "max"]:
    """Which way a metric gets better: "min" for a loss and what is COUNTED, "max" for anything else."""
    return "min" if metric.endswith("loss") or metric in COUNTED else "max"


def no_setting(prefix: str, key: str, cls: type) -> str:
    """Words for a misspelt key below `prefix` (`model.`), pointing to the nearest setting of cls or to all of them."""
    if why := getattr(cls, "not_read", {}).get(key):
        return f"{prefix}{key} has no effect: leave it out, as {why}"
    known = [field.name for field in fields(cls)]
    near = _meant(_ALSO_CALLED.get(key, key), cls)
    every = f"the settings there are {', '.join(sorted(known))}" if known else "this choice has no settings"
    return f"{prefix}{key} is no setting: {f'did you mean {prefix}{near}?' if near else every}"


# What other libraries call a setting.
_ALSO_CALLED = {"lr": "learning_rate", "epochs": "max_epochs", "num_epochs": "max_epochs", "bs": "batch_size",
                "wd": "weight_decay", "optimizer": "optim", "lr_scheduler": "scheduler", "dataset": "data",
                "gpus": "devices", "hidden_sizes": "hidden", "hidden_units": "hidden", "layers": "hidden"}  # fmt: skip


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
    return ": ".join([above + dot + key, message.rstrip("."), *hints[:1]])


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


def whole_numbers(option: str, text: str, least: int = 1, such_as: str = "16,32,64") -> list[int]:
    """What "16,32,64" names, as an option's value. Raises ConfigurationError, naming the option."""
    well_formed = re.fullmatch(r" *\d{1,6} *(, *\d{1,6} *)*", text)
    numbers = [int(number) for number in text.split(",")] if well_formed else [-1]
    require(
        min(numbers) >= least, f"{option}={text} is no list of whole numbers from {least} on: set such as {such_as}"
    )
    return numbers


def numbers_within(option: str, text: str, interval: str, such_as: str = "0.1,0.5,1") -> list[float]:
    """What "0.1,0.5,1" names, each in the interval. Raises ConfigurationError, naming the option."""
    parts = text.split(",") if len(text) < 1000 else [""]
    well_formed = all(re.fullmatch(r" *\d+(\.\d+)?(e[+-]?\d{1,3})? *", part, re.ASCII) for part in parts)
    require(well_formed, f"{option}={text} must be numbers in {interval}, separated by commas, such as {such_as}")
    numbers = [float(part) for part in parts]
    for number in numbers:
        within(option, number, interval)
    return numbers
