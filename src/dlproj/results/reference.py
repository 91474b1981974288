"""What a document reports of an experiment, and what must come out of it."""

from dataclasses import dataclass, field
from typing import Any

import yaml

from dlproj.settings import require


@dataclass(slots=True)
class ReferenceConfig:
    """The reported figures that an experiment is to reproduce."""

    document: str = ""  # which one
    place: str = ""  # where in it: an exercise, a section
    reported: dict[str, Any] = field(default_factory=dict)  # by quantity, as in summary.json; null is not reported
    by: str = ""  # the setting that is swept, where a quantity's figure or reason is a mapping from its values
    claims: list[str] = field(default_factory=list)  # what the document concludes, in words of dlproj.reproduce.claims
    findings: list[str] = field(default_factory=list)  # what we conclude beside it, in the same words
    reasons: dict[str, Any] = field(default_factory=dict)  # by quantity: why it differs, where it does and it is known

    def __post_init__(self) -> None:
        for name, entries in (("reported", self.reported), ("reasons", self.reasons)):
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


def _check_figure(key: str, one: Any) -> None:
    number = one is None or (isinstance(one, int | float) and not isinstance(one, bool))
    require(number, f"{key}={one} is no figure: set a number, an accuracy as a fraction")


def _check_reason(key: str, one: Any) -> None:
    require(one is None or isinstance(one, str), f"{key}={one} is no reason: set words")


_CHECKS = {"reported": _check_figure, "reasons": _check_reason}


def _plain(key: Any) -> Any:
    """A mapping's key as the value that it stands for: a list cannot be one, so "[256, 128]" is written."""
    return yaml.safe_load(key) if isinstance(key, str) else key
