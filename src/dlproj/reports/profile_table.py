"""The table of trainer.profile: where the time of training went."""

from collections.abc import Mapping

from dlproj.runs.summary import RunResult

OTHER = "other"  # what is left: loggers, schedules, sums of the metrics, Lightning and Python
COLUMNS = ("part", "seconds", "share", "ms per step")


def profile_rows(result: RunResult) -> list[list[str]]:
    """Name, seconds, share and milliseconds per optimizer step of each part of training, and of all together."""
    parts: Mapping[str, float] = result.profile
    total = sum(parts.values())
    rows = [*parts.items(), ("all", total)] if parts else []
    steps = max(1, result.steps)
    return [
        [part, f"{taken:.2f}", f"{taken / (total or 1):.1%}", f"{1000 * taken / steps:.3f}"] for part, taken in rows
    ]
