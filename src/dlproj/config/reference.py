"""What a document reports of an experiment, and what must come out of it."""

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
_TENTH = 0.1  # a difference of accuracies that counts 1, as e times the loss does
_MISSING = 1.0  # the difference of an epoch that the run does not have
_LARGEST = 10.0  # of a loss that is not finite, or e¹⁰ times the reported one or more


@dataclass(slots=True)
class ReferenceConfig:
    """The reported figures that an experiment is to reproduce."""

    document: str = setting("", "which one")
    place: str = setting("", "where in it: an exercise, a section")
    reported: dict[str, Any] = setting(dict, "figures by quantity, named as in summary.json; null is not reported")
    curves: dict[str, Any] = setting(
        dict,
        "by metric of metrics.csv, a list from epoch 1 on, with nulls; typed: "
        "'+reference.curves={val/loss: [0.5, null]}'",
    )
    by: str = setting("", "the swept setting, where a quantity's figure, curve or reason is a mapping from its values")
    claims: list[str] = setting(list, "what the document concludes, in the words of dlproj.labs.reproduce.claims")
    findings: list[str] = setting(list, "what we conclude beside it, in the same words")
    reasons: dict[str, Any] = setting(dict, "by quantity: why it differs, where it does and it is known")

    def __post_init__(self) -> None:
        for metric in self.curves:
            one_of("reference.curves", metric, CURVES)
        for name, entries in (("reported", self.reported), ("curves", self.curves), ("reasons", self.reasons)):
            for quantity, entry in entries.items():
                key = f"reference.{name}.{quantity}"
                by_value = isinstance(entry, dict)
                require(bool(self.by) or not by_value, f"{key} differs by the value of a setting: set reference.by")
                for one in entry.values() if isinstance(entry, dict) else [entry]:
                    _CHECKS[name](key, one)

    def figures(self, settings: dict[str, Any]) -> dict[str, float]:
        """The reported figures of a run with such settings, nested as in config.yaml, by quantity."""
        found = {name: self._of(figure, settings) for name, figure in self.reported.items()}
        return {name: float(figure) for name, figure in found.items() if figure is not None}

    def curves_of(self, settings: dict[str, Any]) -> dict[str, dict[int, float]]:
        """The reported curves of a run with such settings: by metric, then by epoch from 1, without the nulls."""
        found = {metric: self._of(curve, settings) or [] for metric, curve in self.curves.items()}
        by_epoch = {
            metric: {epoch: float(value) for epoch, value in enumerate(curve, 1) if value is not None}
            for metric, curve in found.items()
        }
        return {metric: curve for metric, curve in by_epoch.items() if curve}

    def reason(self, quantity: str, settings: dict[str, Any]) -> str:
        """Why the quantity of a run with such settings differs from the reported one; empty where it is not known."""
        return self._of(self.reasons.get(quantity), settings) or ""

    def _of(self, entry: Any, settings: dict[str, Any]) -> Any:
        if not isinstance(entry, dict):
            return entry
        value: Any = settings
        for name in self.by.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return next((one for key, one in entry.items() if _plain(key) == value), None)


def distance(curves: Curves, epochs: Mapping[int, Mapping[str, float]]) -> float | None:
    """How far a run's epochs (metrics by epoch, as Run.epochs has them) are from reported curves; None without any.

    The root mean square over all reported numbers, each of which counts the same, of

    - for a loss, the difference of the natural logarithms: e times the loss counts 1;
    - for an accuracy, the difference in units of 10 percentage points: 80 % for 90 % counts 1.

    A number that the run does not have, because it stopped before or did not log the metric, counts 1. None counts more
    than 10, which is what a loss of 0 and one that is not finite count, so that a search can go on from there.
    """
    squares = [
        _difference(metric, value, epochs.get(epoch, {}).get(metric)) ** 2
        for metric, curve in curves.items()
        for epoch, value in curve.items()
    ]
    return math.sqrt(math.fsum(squares) / len(squares)) if squares else None


def _difference(metric: str, reported: float, found: float | None) -> float:
    if found is None:
        return _MISSING
    loss = metric.endswith("loss")
    if not math.isfinite(found) or (loss and found <= 0):
        return _LARGEST
    return min(abs(math.log(found / reported) if loss else (found - reported) / _TENTH), _LARGEST)


def unmatched(curves: Curves, epochs: Mapping[int, Mapping[str, float]]) -> list[str]:
    """In words, each reported curve that a run with these epochs has nothing, or too few epochs, to set beside."""
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


def _check_figure(key: str, one: Any) -> None:
    require(one is None or _is_number(one), f"{key}={one} is not a figure: set a number, an accuracy as a fraction")


def _is_number(one: Any) -> bool:
    return isinstance(one, int | float) and not isinstance(one, bool)


def _check_curve(key: str, one: Any) -> None:
    form = "set a list of numbers from epoch 1 on, null where none is reported"
    require(isinstance(one, list), f"{key}={one} is not a curve: {form}")
    require(any(value is not None for value in one), f"{key} has no number: {form}")
    for value in one:
        require(value is None or _is_number(value), f"{key}: {value} is not a figure: {form}")
        if value is not None:
            within(key, value, "(0, inf)" if key.endswith("loss") else "[0, 1]")


def _check_reason(key: str, one: Any) -> None:
    require(one is None or isinstance(one, str), f"{key}={one} is not a reason: set words")


_CHECKS = {"reported": _check_figure, "curves": _check_curve, "reasons": _check_reason}


def _plain(key: Any) -> Any:
    """A mapping's key as the value that it stands for: a list cannot be one, so "[256, 128]" is written."""
    return yaml.safe_load(key) if isinstance(key, str) else key
