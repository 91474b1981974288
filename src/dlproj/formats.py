"""Format values for people: accuracies in percent, times with units, settings as they are typed."""

import math
from functools import lru_cache
from typing import Any

import yaml

from dlproj.config import metrics

NONE = "–"  # a missing value, such as the test of a failed run


def metric(name: str, value: float | None) -> str:
    """A metric: a percentage where the table of metrics says so, else a number with four digits after the point."""
    if value is None:
        return NONE
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.2%}" if name.endswith(metrics.PERCENTAGES) else f"{value:.4f}"


def mean_and_spread(name: str, mean: float, spread: float | None) -> str:
    """Format the mean of a metric over runs and, unless None, its standard deviation."""
    if spread is None or not math.isfinite(mean):
        return metric(name, mean)
    if name.endswith(metrics.PERCENTAGES):
        return f"{100 * mean:.2f} ± {100 * spread:.2f}%"
    return f"{mean:.4f} ± {spread:.4f}"


def duration(seconds: float | None) -> str:
    """Format a duration: seconds below two minutes, minutes below two hours, else hours and minutes."""
    if seconds is None:
        return NONE
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"


def count(number: float | None) -> str:
    """Format a number without decimals, with commas between thousands."""
    return NONE if number is None else f"{number:,.0f}"


def setting(value: Any) -> str:
    """Format a setting as typed on the command line; unset settings of a layer are left out."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else str(value)
    return _scalar(value) if isinstance(value, str | int | None) else _as_yaml(value)


def rounded(value: float) -> str:
    """Format a number with few digits; numbers drawn by a search have 17."""
    typed = setting(value)
    return typed if len(typed) <= 9 else f"{value:.4g}"


@lru_cache(maxsize=10_000, typed=True)  # True equals 1
def _scalar(value: str | int | None) -> str:
    return _as_yaml(value)


def _as_yaml(value: Any) -> str:
    return yaml.safe_dump(_set(value), default_flow_style=True, width=math.inf, sort_keys=False).split("\n")[0]


def _set(value: Any) -> Any:
    if isinstance(value, list):
        return [_set(item) for item in value]
    if isinstance(value, dict):
        return {key: _set(item) for key, item in value.items() if item is not None}
    return value


PERCENTAGES = (*metrics.PERCENTAGES, "accuracy_gap", "small_weights")


def quantity(name: str, value: float) -> str:
    """Format a figure of an experiment: a share in percent, a time in seconds, or a plain number."""
    if not math.isfinite(value):
        return "not finite"
    if name.endswith(PERCENTAGES):
        return f"{value:.2%}"
    if name.startswith("seconds"):
        return f"{value:,.2f} s"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.4g}"


def reported(reference: dict[str, float]) -> str:
    """Format reported figures in one line: "test/accuracy 87.57%, parameters 11,602,354"."""
    return ", ".join(f"{name} {quantity(name, value)}" for name, value in reference.items())
