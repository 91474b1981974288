"""Checks shared by the settings classes, and the errors that a user can fix."""

import math
import re
import unicodedata
from difflib import get_close_matches

LARGEST_SEED = 2**32 - 1
# With more classes, only the entries above 0 of the confusion matrix are stored: they are few among classes².
MOST_CLASSES_IN_ROWS = 200
DISTANCE = "reference_distance"  # of a run from the curves that a document reports
COUNTED = ("parameters", "seconds", "peak_memory_bytes", DISTANCE)  # entries of summary.json that a search may minimise


def one_line(text: str) -> str:
    """Escape line breaks, control characters and lone surrogates, all of which file names can contain."""
    if text.isprintable():
        return text
    return "".join(repr(char)[1:-1] if unicodedata.category(char) in _ESCAPED else char for char in text)


_ESCAPED = ("Cc", "Cs", "Zl", "Zp")


class UserError(Exception):
    """An error that the user can fix. Its text is one line: what is wrong and what to do instead."""

    def __init__(self, text: str = "") -> None:
        super().__init__(one_line(text))


class ConfigurationError(UserError):
    """An invalid setting or combination of settings."""


class DataError(UserError):
    """A data set or file that is missing, damaged or does not match its settings."""


def require(condition: bool, message: str) -> None:
    """Raise ConfigurationError(message) unless condition holds."""
    if not condition:
        raise ConfigurationError(message)


def within(key: str, value: float | None, interval: str) -> None:
    """Raise ConfigurationError unless `value` is in `interval`, such as "[0, 1)". The message names `key`.

    None means "not set" and passes; NaN never does.
    """
    if value is None:
        return
    fits = isinstance(value, float) or -(2**63) <= value < 2**63
    require(fits, f"{key} must be in {interval} and fit 64 bits")
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    require(above and below and not math.isnan(value), f"{key}={value} must be in {interval}")


def one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ConfigurationError, listing the choices and naming the nearest, unless `value` is one of them."""
    near = [] if value in choices else get_close_matches(value, choices, n=1)
    hint = f": did you mean {near[0]}?" if near else ""
    require(value in choices, f"{key}={value} must be one of {', '.join(choices)}{hint}")


def whole_numbers(option: str, text: str, least: int = 1, such_as: str = "16,32,64") -> list[int]:
    """Parse an option's value such as "16,32,64", numbers of `least` or more. Raises ConfigurationError."""
    well_formed = re.fullmatch(r" *\d{1,6} *(, *\d{1,6} *)*", text)
    numbers = [int(number) for number in text.split(",")] if well_formed else [-1]
    require(
        min(numbers) >= least, f"{option}={text} is not a list of whole numbers from {least} on: set such as {such_as}"
    )
    return numbers


def numbers_within(option: str, text: str, interval: str, such_as: str = "0.1,0.5,1") -> list[float]:
    """Parse an option's value such as "0.1,0.5,1", each number in `interval`. Raises ConfigurationError."""
    parts = text.split(",") if len(text) < 1000 else [""]
    well_formed = all(re.fullmatch(r" *\d+(\.\d+)?(e[+-]?\d{1,3})? *", part, re.ASCII) for part in parts)
    require(well_formed, f"{option}={text} must be numbers in {interval}, separated by commas, such as {such_as}")
    numbers = [float(part) for part in parts]
    for number in numbers:
        within(option, number, interval)
    return numbers
