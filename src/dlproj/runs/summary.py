"""What a run came to: RunResult, kept as summary.json in the run's folder."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dlproj.config.whole_files import write_whole


@dataclass(slots=True)
class RunResult:
    """The outcome of one run. Epochs count from 1; accuracies are fractions."""

    folder: str
    name: str
    status: str  # running, completed, pruned, diverged, interrupted or failed
    stop_reason: str  # why training ended, in words
    seed: int
    overrides: list[str] = field(default_factory=list)  # as typed on the command line
    last_epoch: int = 0  # epochs trained
    steps: int = 0  # updates of the weights
    best_epoch: int | None = None  # the epoch whose `monitor` was best, the first of equals
    monitor: str = ""
    tested_weights: str = ""  # "last" or "best"
    metrics: dict[str, float] = field(default_factory=dict)  # the last epoch's, and the test's
    # Of the test: row = true class, column = predicted; of many classes [true class, predicted class, count] each.
    confusion_matrix: list[list[int]] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    parameters: int = 0  # all of them are trained
    reference: dict[str, float] = field(default_factory=dict)  # what a document reports of the same, by quantity
    reference_curves: dict[str, dict[int, float]] = field(default_factory=dict)  # the same by metric and epoch, from 1
    reference_distance: float | None = None  # of the run's epochs from these curves, see dlproj.config.reference
    samples: dict[str, int] = field(default_factory=dict)  # in train, val and test
    input_shape: list[int] = field(default_factory=list)  # of one sample
    seconds: float = 0.0  # of training with its validation, without loading and testing
    samples_per_second: float = 0.0  # training samples over the time of training alone
    peak_memory_bytes: int = 0  # of this process so far, in a sweep with the jobs before
    peak_gpu_memory_bytes: int = 0
    data_fingerprint: str = ""  # of the samples of train, val and test
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    fallbacks: list[str] = field(default_factory=list)  # what was computed in another precision than set
    git_commit: str | None = None  # of the project's checkout; "+" behind it: with uncommitted changes

    def has_ended(self) -> bool:
        """Whether it came to what it could come to: a search may prune a run before its last epoch and its test."""
        return self.status in ("completed", "pruned", "diverged")

    def tested_epoch(self) -> int | None:
        """The epoch whose weights were tested; None of a run that was not tested."""
        if not self.has_ended() or self.status == "pruned":
            return None
        return self.best_epoch if self.tested_weights == "best" else self.last_epoch

    def write(self) -> None:
        """Write summary.json, metrics beside the other entries under their own names (`test/accuracy`)."""
        content = asdict(self)
        del content["folder"]  # a copied or moved folder would carry the wrong one
        content |= content.pop("metrics")
        # NaN and infinity, which a diverged run has, are no JSON: they become null.
        write_whole(Path(self.folder) / "summary.json", json.dumps(finite(content), indent=2, allow_nan=False) + "\n")


def finite(content: Any) -> Any:
    """Plain containers with None for each number that is not finite."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list):
        return [finite(value) for value in content]
    if isinstance(content, float) and not abs(content) < float("inf"):
        return None
    return content
