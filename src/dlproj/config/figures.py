"""Which figures a run draws."""

import re
from dataclasses import dataclass, fields
from typing import Any

from dlproj.config.checks import require
from dlproj.config.fields import check_ranges, setting
from dlproj.config.targets import check_targets

PLACES = r"(train|test):[0-9]+(,[0-9]+)*"  # samples by their index in the official sets

_FILES: dict[str, tuple[str, ...]] = {  # of the settings that are not the name of one figure
    "gradients": ("gradient_norms.png", "update_ratios.png"),
    "samples": ("grid.png", "grid.txt", "samples.png", "samples.txt"),
    "report": (),
    "extra": (),
}


@dataclass(slots=True)
class FiguresConfig:
    """Figures that a run draws in its folder and in TensorBoard."""

    learning_curves: bool = setting(True, "loss and accuracy by epoch")
    confusion_matrix: bool = setting(True, "true classes against predicted ones")
    per_class: bool = setting(True, "precision, recall and F1 of each class")
    gallery: int = setting(24, "test samples drawn at random, with guess, truth and confidence; 0: none", "[0, inf)")
    most_wrong: int = setting(12, "wrongly classified test samples, the most confident first; 0: none", "[0, inf)")
    histograms: bool = setting(
        True, "weights and biases of each layer: at the start and the end; in TensorBoard after each epoch"
    )
    dead_units: bool = setting(True, "share of each layer's units whose output is the same for all validation samples")
    gradients: bool = setting(False, "norms of gradients, and of updates relative to weights; steps batches one by one")
    graph: bool = setting(
        False, "the network's computational graph, operation by operation; not if spread over processes"
    )
    report: bool = setting(True, "report.html, all of the above on one page")
    samples: list[str] = setting(
        list, "pictures of the data: grid (some of each class), or by index: train:0,50, test:3"
    )
    extra: dict[str, Any] = setting(dict, "further figures by name: a _target_ each, a function of a Run")

    def __post_init__(self) -> None:
        check_ranges(self, "figures.")
        check_targets("figures.extra", self.extra)
        own = {one.name for one in fields(self)} | {
            file.partition(".")[0] for files in _FILES.values() for file in files
        }
        for name in self.extra:
            require(name not in own, f"figures.extra.{name} is dlproj's own: choose another name")
        for choice in self.samples:
            known = choice == "grid" or re.fullmatch(PLACES, choice) is not None
            message = f"figures.samples={choice} names no samples: set grid, or train: or test: with numbers from 0"
            require(known, message)

    def any_drawn(self) -> bool:
        """True if a figure or the report is to be written after training."""
        return any(getattr(self, choice.name) for choice in fields(self) if choice.name != "samples")

    def files(self) -> list[str]:
        """Paths of the files that these settings may write, relative to the run's folder."""
        switched_on = [one.name for one in fields(self) if getattr(self, one.name)]
        names = [file for name in switched_on for file in _FILES.get(name, (f"{name}.png",))]
        names += [f"{name}.png" for name in self.extra]
        return [f"figures/{name}" for name in names] + ["report.html"] * self.report
