"""Figures that a document reports for an experiment, and a run's distance from them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from dlproj.config.checks import one_of, require, within
from dlproj.config.fields import setting

Curves = Mapping[str, Mapping[int, float]]  # by metric, then by epoch, from 1
# The columns of metrics.csv that a document can report by epoch.
CURVES = tuple(f"{split}/{metric}" for split in ("train", "train_eval", "val") for metric in ("loss", "accuracy"))
_TENTH = 0.1  # difference of accuracies that counts 1, as a factor e in the loss does
_MISSING = 1.0  # counted for an epoch that the run does not have
_LARGEST = 10.0  # at most: a factor e¹⁰ in the loss, or a loss that is not finite


@dataclass(slots=True)
class ReferenceConfig:
    """The reported figures that an experiment should reproduce."""

    document: str = setting("", "name of the document")
    place: str = setting("", "exercise or section in it")
    reported: dict[str, Any] = setting(dict, "figures by quantity, named as in summary.json; null: not reported")
    curves: dict[str, Any] = setting(
        dict,
        "values from epoch 1 on by metric of metrics.csv, null where none is reported: "
        "'+reference.curves={val/loss: [0.5, null]}'",
    )
    by: str = setting("", "the swept setting, if a quantity's figure, curve or reason is a mapping from its values")
    claims: list[str] = setting(list, "conclusions of the document, in the words of dlproj.labs.reproduce.claims")
    findings: list[str] = setting(list, "our own conclusions, in the same words")
    reasons: dict[str, Any] = setting(dict, "known reasons why quantities differ, by quantity")

    def __post_init__(self) -> None:
        for metric in self.curves:
            one_of("reference.curves", metric, CURVES)
        for name, entries in (("reported", self.reported), ("curves", self.curves), ("reasons", self.reasons)):
            for quantity, entry in entries.items():
                key = f"reference.{name}.{quantity}"
                by_value = isinstance(entry, dict)
                require(bool(self.by) or not by_value, f"{key} differs by the value of a setting: set reference.by")
                for value in entry.values() if isinstance(entry, dict) else [entry]:
                    _CHECKS[name](key, value)

    def figures(self, settings: dict[str, Any]) -> dict[str, float]:
        """Reported figures by quantity, for a run with these settings, nested as in config.yaml."""
        figures = {name: self._of(figure, settings) for name, figure in self.reported.items()}
        return {name: float(figure) for name, figure in figures.items() if figure is not None}

    def curves_of(self, settings: dict[str, Any]) -> dict[str, dict[int, float]]:
        """Reported curves for a run with these settings: by metric, then by epoch from 1, without nulls."""
        curves = {metric: self._of(curve, settings) or [] for metric, curve in self.curves.items()}
        by_epoch = {
            metric: {epoch: float(value) for epoch, value in enumerate(curve, 1) if value is not None}
            for metric, curve in curves.items()
        }
        return {metric: curve for metric, curve in by_epoch.items() if curve}

    def reason(self, quantity: str, settings: dict[str, Any]) -> str:
        """Known reason why a quantity of a run with these settings differs from the reported one; else empty."""
        return self._of(self.reasons.get(quantity), settings) or ""

    def _of(self, entry: Any, settings: dict[str, Any]) -> Any:
        if not isinstance(entry, dict):
            return entry
        value: Any = settings
        for name in self.by.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return next((own for key, own in entry.items() if _plain(key) == value), None)


def distance(curves: Curves, epochs: Mapping[int, Mapping[str, float]]) -> float | None:
    """Distance of a run's epochs (metrics by epoch, as in Run.epochs) from reported curves; None without curves.

    The root mean square over all reported values of

    - for a loss, the difference of natural logarithms: a factor e counts 1;
    - for an accuracy, the difference in units of 10 percentage points: 80 % instead of 90 % counts 1.

    A value that the run lacks, because it stopped earlier or did not log the metric, counts 1. No value counts more
    than 10; a loss of 0 and a value that is not finite count 10, so that a search can continue from there.
    """
    squares = [
        _difference(metric, value, epochs.get(epoch, {}).get(metric)) ** 2
        for metric, curve in curves.items()
        for epoch, value in curve.items()
    ]
    return math.sqrt(math.fsum(squares) / len(squares)) if squares else None


def _difference(metric: str, reported: float, value: float | None) -> float:
    if value is None:
        return _MISSING
    loss = metric.endswith("loss")
    if not math.isfinite(value) or (loss and value <= 0):
        return _LARGEST
    return min(abs(math.log(value / reported) if loss else (value - reported) / _TENTH), _LARGEST)


def unmatched(curves: Curves, epochs: Mapping[int, Mapping[str, float]]) -> list[str]:
    """Messages about reported curves that a run with these epochs did not log or did not reach the end of."""
    logged = {metric for row in epochs.values() for metric in row}
    ended = max(epochs, default=0)
    longer: dict[int, list[str]] = {}
    for metric, curve in curves.items():
        if metric in logged and (last := max(curve, default=0)) > ended:
            longer.setdefault(last, []).append(metric)
    missing = [metric for metric in curves if metric not in logged]
    way = ": set trainer.evaluate_train=true" if any(metric.startswith("train_eval/") for metric in missing) else ""
    words = [f"reported: {', '.join(missing)}, which the run did not log{way}"] if missing else []
    return words + [
        f"reported up to epoch {last}: {', '.join(names)}; the run ended after {ended}"
        for last, names in longer.items()
    ]


def _check_figure(key: str, value: Any) -> None:
    message = f"{key}={value} is not a figure: set a number, an accuracy as a fraction"
    require(value is None or _is_number(value), message)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_curve(key: str, one: Any) -> None:
    form = "set a list of numbers from epoch 1 on, null where none is reported"
    require(isinstance(one, list), f"{key}={one} is not a curve: {form}")
    require(any(value is not None for value in one), f"{key} has no number: {form}")
    for value in one:
        require(value is None or _is_number(value), f"{key}: {value} is not a figure: {form}")
        if value is not None:
            within(key, value, "(0, inf)" if key.endswith("loss") else "[0, 1]")


def _check_reason(key: str, reason: Any) -> None:
    require(reason is None or isinstance(reason, str), f"{key}={reason} is not a reason: set words")


_CHECKS = {"reported": _check_figure, "curves": _check_curve, "reasons": _check_reason}


def _plain(key: Any) -> Any:
    """Parse a mapping's key to the value that it stands for: a list cannot be a key and is written "[256, 128]"."""
    return yaml.safe_load(key) if isinstance(key, str) else key
