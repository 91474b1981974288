"""The scale of an axis for the values of a setting."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean, pstdev

from dlproj.runs.comparison import Scalar


def in_order(values: Iterable[Scalar]) -> list[Scalar]:
    """Distinct values: numbers in ascending order, then strings in order of appearance."""
    different = dict.fromkeys(values)
    numbers = sorted(value for value in different if not isinstance(value, str))
    return [*numbers, *(value for value in different if isinstance(value, str))]


def scale(values: Iterable[Scalar]) -> str:
    """Choose "log" or "linear", whichever spaces the values more evenly, or "categories".

    Categories are used if a value is not a number, or if zero or negative values rule out a logarithmic axis. Two
    numbers get a logarithmic axis if they differ by a factor of 8 or more.
    """
    different = in_order(values)
    numbers = [value for value in different if not isinstance(value, str)]
    if len(numbers) < max(2, len(different)):
        return "categories"
    positive = [number for number in numbers if number > 0]
    if not _geometric(positive):
        return "linear"
    return "log" if positive == numbers else "categories"


def _geometric(numbers: Sequence[float]) -> bool:
    if len(numbers) < 3:
        return len(numbers) == 2 and numbers[1] >= 8 * numbers[0]
    return _unevenness(list(map(math.log, numbers))) < _unevenness(numbers)


def _unevenness(numbers: Sequence[float]) -> float:
    """The spread of the gaps between neighbours, in units of the mean gap."""
    gaps = [above - below for below, above in pairwise(numbers)]
    return pstdev(gaps) / fmean(gaps)
