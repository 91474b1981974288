"""The linear pieces of a ReLU network: along a line, in a plane, and how many there can be."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import comb, prod

import numpy as np

from dlproj.labs.studies.parts.scratch import Layer, ScratchMLP
from dlproj.loop_progress import progress

Curve = Callable[[np.ndarray], np.ndarray]  # of t (N,), the logits or their slopes (N, outputs) there
STEPS = 1000
DENSE = np.linspace(0, 1, STEPS + 1)  # t, for curves and second differences
ROUNDING = 1e-12  # of the largest value: what differs by less does not differ
MOST = 100_000  # pieces of a plane that are cut out and drawn
_SAME_T = 1e-12  # zeros nearer to each other than this are one, parted by rounding
_MARGIN = 0.25  # around the images in the plane, as a share of what they span


def restricted(network: ScratchMLP, origin: np.ndarray, directions: np.ndarray) -> ScratchMLP:
    """The network of coordinates (B, d): its input is origin (inputs,) and so much of each direction (d, inputs)."""
    (weights, biases), *others = network.layers
    return ScratchMLP([(weights @ directions.T, weights @ origin + biases), *others], weights.dtype)


def patterns_at(network: ScratchMLP, inputs: np.ndarray) -> np.ndarray:
    """Which hidden units are above zero: (B, units of all layers)."""
    _, *outputs, _ = network.forward(inputs)
    return np.concatenate(outputs, axis=1) > 0


@dataclass(frozen=True, slots=True)
class Pieces:
    """N pieces of a line: in piece n the logits are offsets[n] + t slopes[n], each of these (N, outputs)."""

    ends: np.ndarray  # t (N + 1,), ascending from 0 to 1
    layers: np.ndarray  # (N - 1,), of the unit whose sum is zero there, from 1
    patterns: np.ndarray  # (N, units), which hidden units are above zero
    offsets: np.ndarray
    slopes: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets)

    def inside(self, shares: np.ndarray) -> np.ndarray:
        """t (N, S) at these shares (S,) of each piece."""
        return self.ends[:-1, None] + shares * np.diff(self.ends)[:, None]

    def bends(self) -> int:
        """Break points at which the logits' slope changes: a unit that reaches no logit changes none."""
        changes = np.abs(np.diff(self.slopes, axis=0)).max(1, initial=0)
        return int((changes > ROUNDING * np.abs(self.slopes).max()).sum())


def pieces_along(network: ScratchMLP) -> Pieces:
    """The pieces of a ReLU network of one input, t, from 0 to 1."""
    ends, layers = np.array([0.0, 1.0]), np.zeros(0, int)
    offsets, slopes = np.zeros((1, 1)), np.ones((1, 1))  # of what the next layer reads: t itself
    patterns = np.zeros((1, 0), bool)
    for layer, (weights, biases) in enumerate(network.layers[:-1], 1):
        offsets, slopes = offsets @ weights.T + biases, slopes @ weights.T
        breaks = np.concatenate([ends[1:-1], zeros := zeros_inside(offsets, slopes, ends)])
        order = np.argsort(breaks)
        layers = np.concatenate([layers, np.full(len(zeros), layer)])[order]
        old_ends, ends = ends, np.array([0.0, *breaks[order], 1.0])
        middles = (ends[:-1] + ends[1:]) / 2
        parent = np.searchsorted(old_ends, middles) - 1
        above = offsets[parent] + middles[:, None] * slopes[parent] > 0
        offsets, slopes = offsets[parent] * above, slopes[parent] * above
        patterns = np.concatenate([patterns[parent], above], axis=1)
    weights, biases = network.layers[-1]
    return Pieces(ends, layers, patterns, offsets @ weights.T + biases, slopes @ weights.T)


def zeros_inside(offsets: np.ndarray, slopes: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Where a sum offsets + t slopes, (N, units) both, is zero inside its own piece: t (M,), ascending."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        zeros = -offsets / slopes
    inside = (zeros > ends[:-1, None] + _SAME_T) & (zeros < ends[1:, None] - _SAME_T)
    zeros = np.unique(zeros[inside])
    return zeros[np.diff(zeros, prepend=-np.inf) > _SAME_T]


@dataclass(frozen=True, slots=True)
class Plane:
    """Pieces in a window of the plane through three inputs; patterns and predictions on a grid of R × R points."""

    along: np.ndarray  # (R,), from the first input towards the second
    across: np.ndarray  # (R,), perpendicular to it
    corners: np.ndarray  # (3, 2), the inputs there
    regions: np.ndarray  # (R, R), the pattern's index; rows across
    classes: np.ndarray  # (R, R), predicted
    polygons: Sequence[np.ndarray] | None  # (corners, 2) each, of all pieces; None: they are too many

    def count(self, every: int = 1) -> int:
        """Patterns seen on every so many of the grid's points."""
        return len(np.unique(self.regions[::every, ::every]))


def plane_through(network: ScratchMLP, corners: np.ndarray, resolution: int) -> Plane:
    """The plane through three inputs (3, inputs), with what a ReLU network does in it."""
    directions = orthonormal(corners[1] - corners[0], corners[2] - corners[0])
    points = (corners - corners[0]) @ directions.T
    margin = _MARGIN * np.ptp(points, axis=0).max()
    along, across = np.linspace(points.min(0) - margin, points.max(0) + margin, resolution).T
    within = restricted(network, corners[0], directions)
    patterns, classes = _on_grid(within, along, across)
    _, regions = np.unique(patterns, axis=0, return_inverse=True)
    window = np.array([[along[i], across[j]] for i, j in ((0, 0), (-1, 0), (-1, -1), (0, -1))])
    polygons = [*islice(progress(polygons_of(within.layers[:-1], window), "pieces"), MOST + 1)]
    few = polygons if len(polygons) <= MOST else None
    return Plane(along, across, points, regions.reshape(classes.shape), classes, few)


def polygons_of(layers: Sequence[Layer], window: np.ndarray) -> Iterator[np.ndarray]:
    """The pieces of hidden layers that read two coordinates, as convex polygons (corners, 2) within a convex window.

    Inside a piece of the layers below, a layer's sums are affine, and each unit's line of zeros may cut it in two.
    """
    waiting = [(window, 0, np.zeros(2), np.eye(2))]
    while waiting:
        polygon, depth, offsets, slopes = waiting.pop()
        if depth == len(layers):
            yield polygon
            continue
        weights, biases = layers[depth]
        offsets, slopes = weights @ offsets + biases, weights @ slopes
        for part in parts_of(polygon, offsets, slopes):
            above = slopes @ part.mean(0) + offsets > 0
            waiting.append((part, depth + 1, offsets * above, slopes * above[:, None]))


def parts_of(polygon: np.ndarray, offsets: np.ndarray, slopes: np.ndarray) -> Iterator[np.ndarray]:
    """A convex polygon, cut along the lines on which sums offsets (units,) + slopes (units, 2) · point are zero."""
    rounding = _SAME_T * np.linalg.norm(slopes, axis=1) * np.ptp(polygon, axis=0).max()
    waiting = [(polygon, np.arange(len(offsets)))]
    while waiting:
        part, units = waiting.pop()
        sums = part @ slopes[units].T + offsets[units]
        cutting = (sums.min(0) < -rounding[units]) & (sums.max(0) > rounding[units])
        if cutting.any():
            others = units[cutting][1:]  # a line that misses the part misses both halves
            waiting += [(half, others) for half in _halves(part, sums[:, cutting.argmax()])]
        else:
            yield part


def _halves(polygon: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Above and below the line of zeros of a sum, given at the polygon's corners."""
    next_corners, next_sums = np.roll(polygon, -1, axis=0), np.roll(sums, -1)
    (crossed,) = np.nonzero(sums * next_sums < 0)
    share = sums[crossed] / (sums - next_sums)[crossed]
    zeros = polygon[crossed] + share[:, None] * (next_corners - polygon)[crossed]
    corners, sums = np.insert(polygon, crossed + 1, zeros, axis=0), np.insert(sums, crossed + 1, 0)
    return corners[sums >= 0], corners[sums <= 0]


def orthonormal(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two unit vectors (2, inputs) that span the same plane; the first keeps its direction."""
    along = first / np.linalg.norm(first)
    across = second - (second @ along) * along
    return np.stack([along, across / np.linalg.norm(across)])


def _on_grid(network: ScratchMLP, along: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Patterns (R · R, bytes), eight units a byte, and predicted classes (R, R) of a network of two inputs."""
    patterns, classes = [], []
    for height in progress(across, "rows of the plane"):
        _, *outputs, logits = network.forward(np.stack([along, np.full_like(along, height)], axis=1))
        patterns.append(np.packbits(np.concatenate(outputs, axis=1) > 0, axis=1))
        classes.append(logits.argmax(1))
    return np.concatenate(patterns), np.stack(classes)


def at_most(units: Sequence[int], dimensions: int) -> int:
    """The product over the layers of C(n,0) + … + C(n,d)."""
    return prod(sum(comb(count, chosen) for chosen in range(dimensions + 1)) for count in units)


def surely_possible(units: Sequence[int], dimensions: int) -> int | None:
    """Montúfar et al. 2014, theorem 4; None where a layer has fewer units than dimensions: it says nothing then."""
    if min(units) < dimensions:
        return None
    folds = prod((count // dimensions) ** dimensions for count in units[:-1])
    return folds * at_most(units[-1:], dimensions)
