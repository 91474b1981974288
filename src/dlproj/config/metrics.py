"""The metrics of a classifier, in one table; metrics of one's own, in the settings, stand beside them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dlproj.config.checks import COUNTED, require
from dlproj.config.targets import check_targets

Direction = Literal["min", "max"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What is known of a metric by its name."""

    direction: Direction  # in which it gets better
    format: Literal["percent", "number"]  # a number has four digits after the point
    factory: str = ""  # module:function that computes it of Guessed; "": it is a part of the loss


METRICS = {
    "loss": Metric("min", "number"),
    "data_loss": Metric("min", "number"),
    "penalty": Metric("min", "number"),
    "accuracy": Metric("max", "percent", "dlproj.models.metrics:accuracy"),
    "top2_accuracy": Metric("max", "percent", "dlproj.models.metrics:top2_accuracy"),
    "macro_f1": Metric("max", "percent", "dlproj.models.metrics:macro_f1"),
}
VALIDATION_METRICS = ("val/loss", *(f"val/{name}" for name, known in METRICS.items() if known.factory))
PERCENTAGES = tuple(name for name, known in METRICS.items() if known.format == "percent")


def check_metrics(further: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for a further metric that has a name of ours, or whose direction is none."""
    check_targets("metrics", further)
    for name, node in further.items():
        require(name not in METRICS, f"metrics.{name} is dlproj's own: choose another name")
        direction = node.get("direction", "max")
        require(direction in ("min", "max"), f"metrics.{name}.direction={direction} must be one of min, max")


def better(metric: str, further: Any = None) -> Direction:
    """Which way a metric such as `val/loss`, or what is COUNTED, gets better.

    further: the metrics of one's own, as a run's settings have them under `metrics`.
    """
    name = metric.rpartition("/")[2]
    if name in METRICS or metric in COUNTED:
        return "min" if metric in COUNTED else METRICS[name].direction
    node = further.get(name) if isinstance(further, Mapping) else None
    return "min" if isinstance(node, Mapping) and node.get("direction") == "min" else "max"
