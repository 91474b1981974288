"""What every settings class uses to check itself, and the errors that a user can mend."""

import math
import re
import unicodedata

LARGEST_SEED = 2**32 - 1
# The confusion matrix of more classes is kept as its entries above 0: those are few, but it has classes² in all.
MOST_CLASSES_IN_ROWS = 200
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
    require(fits, f"{key} must be in {interval} and fit 64 bits")
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    require(above and below and not math.isnan(value), f"{key}={value} must be in {interval}")


def one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Check that value is one of choices. Raises ConfigurationError, listing them."""
    require(value in choices, f"{key}={value} must be one of {', '.join(choices)}")


def whole_numbers(option: str, text: str, least: int = 1, such_as: str = "16,32,64") -> list[int]:
    """What "16,32,64" names, as an option's value. Raises ConfigurationError, naming the option."""
    well_formed = re.fullmatch(r" *\d{1,6} *(, *\d{1,6} *)*", text)
    numbers = [int(number) for number in text.split(",")] if well_formed else [-1]
    require(
        min(numbers) >= least, f"{option}={text} is not a list of whole numbers from {least} on: set such as {such_as}"
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
