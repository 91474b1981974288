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
    by: str = ""  # the setting that is swept, where a quantity is a mapping from its values to figures
    claims: list[str] = field(default_factory=list)  # what must come out, in the words of dlproj.reproduce.claims
    reasons: dict[str, str] = field(default_factory=dict)  # by quantity: why it differs, where it does and it is known

    def __post_init__(self) -> None:
        for quantity, figure in self.reported.items():
            by_value = isinstance(figure, dict)
            key = f"reference.reported.{quantity}"
            require(bool(self.by) or not by_value, f"{key} has a figure for each value of a setting: set reference.by")
            for one in figure.values() if isinstance(figure, dict) else [figure]:
                number = one is None or (isinstance(one, int | float) and not isinstance(one, bool))
                require(number, f"{key}={one} is no figure: set a number, an accuracy as a fraction")

    def figures(self, settings: dict[str, Any]) -> dict[str, float]:
        """The reported figures of a run with such settings, nested as in config.yaml, by quantity."""
        found = {name: self._figure(figure, settings) for name, figure in self.reported.items()}
        return {name: float(figure) for name, figure in found.items() if figure is not None}

    def _figure(self, figure: Any, settings: dict[str, Any]) -> float | None:
        if not isinstance(figure, dict):
            return figure
        value: Any = settings
        for name in self.by.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return next((one for key, one in figure.items() if _plain(key) == value), None)


def _plain(key: Any) -> Any:
    """A mapping's key as the value that it stands for: a list cannot be one, so "[256, 128]" is written."""
    return yaml.safe_load(key) if isinstance(key, str) else key
