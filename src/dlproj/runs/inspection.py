"""Data for a run's figures, beside its metrics: inspection.json, with weights by layer and chosen test samples."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from dlproj.config.whole_files import read_json, write_whole
from dlproj.runs.validation import damaged, validated

NAME = "inspection.json"
SAMPLE_FIGURES = {  # attributes of Inspection, and the titles of their figures
    "gallery": "Test samples, drawn at random",
    "most_wrong": "Wrong, and most confident of it",
}
LAYER_FIGURES = {
    "dead_units": "Dead units: share of each layer by epoch",
    "gradient_norms": "Norm of the gradient, before clipping",
    "update_ratios": "Norm of an update / norm of the weights",
}


@dataclass(slots=True)
class Histogram:
    """Counts of values in len(counts) bins of equal width from low to high."""

    low: float
    high: float
    counts: list[int]


@dataclass(slots=True)
class Sample:
    """A test sample and its prediction. Classes are numbered from 0."""

    index: int  # in the test set, from 0
    truth: int
    guess: int
    confidence: float  # output for the guessed class: a probability, or a raw output with mean_squared_error
    truth_confidence: float  # output for the true class
    image: str | None = None  # PNG in Base64, at the data's own size
    text: str | None = None


GRAPH_KINDS = ("data", "parameter", "operation")


@dataclass(slots=True)
class GraphNode:
    """A node of the computational graph: data, a parameter or an operation."""

    name: str  # of the module or parameter: `hidden.0.linear.weight`
    operation: str  # the computation; of data and parameters, a description
    kind: str  # one of GRAPH_KINDS
    shape: list[int]  # of one sample, or of the parameter; empty for a scalar
    reads: list[int] = field(default_factory=list)  # indices of earlier nodes


# By epoch; 0 is the start, before any step.
ByEpoch = dict[int, float]


@dataclass(slots=True)
class Inspection:
    """Weights, units, gradients, samples and graph of one run, by parameter or layer (`hidden.0.linear.weight`)."""

    histograms: dict[str, dict[int, Histogram]] = field(default_factory=dict)  # of each parameter, at start and end
    dead_units: dict[str, ByEpoch] = field(default_factory=dict)  # share of a layer's units, in [0, 1]
    gradient_norms: dict[str, ByEpoch] = field(default_factory=dict)  # of each parameter, averaged over sampled steps
    update_ratios: dict[str, ByEpoch] = field(default_factory=dict)  # ‖update‖ / ‖weights‖, averaged likewise
    gallery: list[Sample] = field(default_factory=list)  # drawn at random
    most_wrong: list[Sample] = field(default_factory=list)  # wrong predictions, the most confident first
    graph: list[GraphNode] = field(default_factory=list)  # each node after those that it reads

    def write(self, folder: Path) -> None:
        """Write inspection.json into the run's folder."""
        write_whole(folder / NAME, json.dumps(asdict(self)) + "\n")


def read_inspection(folder: Path) -> Inspection:
    """Read inspection.json of a run's folder; an empty Inspection without it. Raises DataError if damaged."""
    if not (folder / NAME).exists():
        return Inspection()
    return inspection_of(read_json(folder / NAME), folder / NAME)


def inspection_of(content: dict[str, Any], path: Path) -> Inspection:
    """What asdict() made of one. Raises DataError, naming the file at path, if it is damaged."""
    advice = "delete it, or take it from another copy"
    if missing := {one.name for one in fields(Inspection)} - content.keys() - {"graph"}:  # which older runs have not
        raise damaged(path, min(missing), advice)
    return validated(Inspection, content, path, advice)
