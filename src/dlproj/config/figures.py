"""Which figures a run leaves."""

import re
from dataclasses import dataclass, field, fields

from dlproj.config.checks import require, within

PLACES = r"(train|test):[0-9]+(,[0-9]+)*"  # samples of the official sets


@dataclass(slots=True)
class FiguresConfig:
    """Which figures a run leaves in its folder and in TensorBoard."""

    learning_curves: bool = True
    confusion_matrix: bool = True
    per_class: bool = True  # precision, recall and F1 of each class
    gallery: int = 24  # test samples drawn at random, with guess, truth and confidence; 0: none
    most_wrong: int = 12  # wrongly classified test samples, the most confident first; 0: none
    histograms: bool = True  # of weights and biases by layer: at the start and the end, in TensorBoard by epoch
    dead_units: bool = True  # share of each layer's units that give every validation sample the same output
    gradients: bool = False  # norms of gradients, and of updates against weights; steps each batch by itself
    graph: bool = False  # the network's computational graph, also in TensorBoard; not of one spread over processes
    report: bool = True  # report.html, all of the above on one page
    samples: list[str] = field(default_factory=list)  # of the data, in a picture each: grid (of each class), train:0,50

    def __post_init__(self) -> None:
        within("figures.gallery", self.gallery, "[0, inf)")
        within("figures.most_wrong", self.most_wrong, "[0, inf)")
        for one in self.samples:
            known = one == "grid" or re.fullmatch(PLACES, one) is not None
            require(known, f"figures.samples={one} names no samples: set grid, or train: or test: with numbers from 0")

    def any_drawn(self) -> bool:
        """Whether there is anything to draw of the run, or to write a page of."""
        return any(getattr(self, choice.name) for choice in fields(self) if choice.name != "samples")

    def files(self) -> list[str]:
        """What a run may leave of them, relative to its folder."""
        drawn = [
            "learning_curves",
            "confusion_matrix",
            "per_class",
            "gallery",
            "most_wrong",
            "histograms",
            "dead_units",
            "graph",
        ]
        names = [f"{name}.png" for name in drawn if getattr(self, name)]
        names += ["gradient_norms.png", "update_ratios.png"] if self.gradients else []
        names += ["grid.png", "grid.txt", "samples.png", "samples.txt"] if self.samples else []
        return [f"figures/{name}" for name in names] + ["report.html"] * self.report
