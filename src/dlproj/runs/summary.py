"""The outcome of a run: RunResult, stored as summary.json in the run's folder."""

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
    steps: int = 0  # optimizer steps
    best_epoch: int | None = None  # first epoch with the best `monitor`
    monitor: str = ""
    tested_weights: str = ""  # "last" or "best"
    averaged: bool = False  # True if an average of the weights was evaluated, by optim.ema_decay or swa_start
    metrics: dict[str, float] = field(default_factory=dict)  # of the last epoch and of the test
    # Of the test: row = true class, column = predicted class; with many classes [true class, predicted class, count].
    confusion_matrix: list[list[int]] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    class_weights: list[float] | None = None  # factor of each class in the training loss; None: 1
    parameters: int = 0  # including those of frozen layers
    reference: dict[str, float] = field(default_factory=dict)  # figures that a document reports, by quantity
    reference_curves: dict[str, dict[int, float]] = field(default_factory=dict)  # likewise, by metric and epoch
    reference_distance: float | None = None  # from these curves, see dlproj.config.reference
    samples: dict[str, int] = field(default_factory=dict)  # in train, val and test
    input_shape: list[int] = field(default_factory=list)  # of one sample
    columns: list[list[str]] = field(default_factory=list)  # of a table: name, role and details of each
    seconds: float = 0.0  # of training and validation, without loading and testing
    samples_per_second: float = 0.0  # training samples per second of training, without validation
    peak_memory_bytes: int = 0  # of this process so far, including earlier jobs of a sweep
    peak_gpu_memory_bytes: int = 0
    # Of init_from: the checkpoint, its fingerprint, layers initialised anew, those unused, and how inputs are prepared.
    init_from: dict[str, str] = field(default_factory=dict)
    profile: dict[str, float] = field(default_factory=dict)  # seconds of each part of training, with trainer.profile
    data_fingerprint: str = ""  # of the samples of train, val and test
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    fallbacks: list[str] = field(default_factory=list)  # messages about what was computed in another precision than set
    git_commit: str | None = None  # of the project's checkout, with "+" for uncommitted changes

    def has_ended(self) -> bool:
        """True if there is nothing left to do; a search may prune a run before its last epoch and its test."""
        return self.status in ("completed", "pruned", "diverged")

    def tested_epoch(self) -> int | None:
        """The epoch whose weights were tested; None if the run was not tested."""
        if not self.has_ended() or self.status == "pruned":
            return None
        return self.best_epoch if self.tested_weights == "best" else self.last_epoch

    def weights_words(self) -> str:
        """Which weights were tested: "last weights"; "averaged weights of the best epoch"."""
        which = self.tested_weights
        return f"averaged weights of the {which} epoch" if self.averaged else f"{which} weights"

    def write(self) -> None:
        """Write summary.json; each metric is an entry of its own (`test/accuracy`)."""
        content = asdict(self)
        del content["folder"]  # it would be wrong after the folder is moved
        content |= content.pop("metrics")
        # JSON has no NaN and infinity, which a diverged run can have: they become null.
        write_whole(Path(self.folder) / "summary.json", json.dumps(finite(content), indent=2, allow_nan=False) + "\n")


def finite(content: Any) -> Any:
    """Copy of plain containers with None for each number that is not finite."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list):
        return [finite(value) for value in content]
    if isinstance(content, float) and not abs(content) < float("inf"):
        return None
    return content
