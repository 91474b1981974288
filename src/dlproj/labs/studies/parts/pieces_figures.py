"""The pictures of a network's linear pieces: along a line, and in a plane."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from dlproj.labs.studies.parts.linear_pieces import DENSE, Curve, Pieces, Plane
from dlproj.reports.style import COLORS, GREY, GRID, INK, drawing, short

_LABELLED = 0.005  # share of the plane from which a class is named in it
_CLEAR = 0.08  # of the plane's width, around the images, where no class is named
_DARK = "#111111"  # on the plane's soft colours, on a dark page, too
_OUTLINE = "#777777"
_FEW = 2000  # polygons that an SVG holds as such; more are a picture in it


def line_figure(
    logits: Curve, sigmoid: Curve, pieces: Pieces, layers: int, classes: Sequence[str], names: Sequence[str]
) -> Figure:
    """Logits, break points of so many hidden layers and slopes, beside the slopes of a sigmoid network's logits."""
    with drawing(10, 7.5) as drawn:
        top, middle, bottom = drawn.subplots(3, 1, sharex=True, height_ratios=(4, 0.5 + 0.3 * layers, 3))
        _draw_logits(top, logits, pieces, classes)
        _draw_breaks(middle, pieces, layers)
        _draw_slopes(bottom, sigmoid, pieces, int(logits(np.zeros(1)).argmax()), classes)
        bottom.set(xlabel=f"t, from {names[0]} to {names[1]}", xlim=(0, 1))
        drawn.align_ylabels()
        return drawn


def _draw_logits(axes: Axes, curve: Curve, pieces: Pieces, classes: Sequence[str]) -> None:
    logits, winners = curve(pieces.ends), np.unique(curve(DENSE).argmax(1))
    axes.vlines(pieces.ends[1:-1], 0, 1, transform=axes.get_xaxis_transform(), color=GRID, linewidth=0.7)
    axes.plot(pieces.ends, np.delete(logits, winners, axis=1), color=GREY, linewidth=0.8, alpha=0.7)
    for winner, color, line in zip(winners, cycle(COLORS[:-1]), cycle(["-", "--", "-.", ":"]), strict=False):
        axes.plot(pieces.ends, logits[:, winner], line, color=color, linewidth=2, label=classes[winner])
    axes.set_ylabel("logit")
    axes.legend(title="class", loc="center left", bbox_to_anchor=(1, 0.5))


def _draw_breaks(axes: Axes, pieces: Pieces, layers: int) -> None:
    for layer in range(1, layers + 1):
        breaks = pieces.ends[1:-1][pieces.layers == layer]
        axes.eventplot(breaks, lineoffsets=layer, linelengths=0.7, linewidths=1, color=INK)
    axes.set_yticks(range(1, layers + 1))
    axes.set(ylabel="layer", ylim=(layers + 0.5, 0.5))


def _draw_slopes(axes: Axes, sigmoid: Curve, pieces: Pieces, target: int, classes: Sequence[str]) -> None:
    axes.stairs(pieces.slopes[:, target], pieces.ends, baseline=None, color=COLORS[0], linewidth=1.5, label="ReLU")
    axes.plot(DENSE, sigmoid(DENSE)[:, target], "--", color=COLORS[4], linewidth=1.5, label="sigmoid")
    axes.set_ylabel(f"slope of {classes[target]}'s logit")
    axes.grid(visible=True)
    axes.legend(title="network", loc="center left", bbox_to_anchor=(1, 0.5))


def plane_figure(plane: Plane, images: Sequence[np.ndarray], names: Sequence[str], classes: Sequence[str]) -> Figure:
    """Pieces, predictions and the three images."""
    with drawing(10, 7.5) as drawn:
        grid = drawn.add_gridspec(3, 2, width_ratios=(5, 1))
        axes = drawn.add_subplot(grid[:, 0])
        _draw_regions(axes, plane)
        _draw_predictions(axes, plane, classes)
        _draw_corners(axes, plane)
        for row, (image, name, letter) in enumerate(zip(images, names, "ABC", strict=True)):
            _draw_image(drawn.add_subplot(grid[row, 1]), image, f"{letter}: {name}")
        return drawn


def _draw_regions(axes: Axes, plane: Plane) -> None:
    extent = (plane.along[0], plane.along[-1], plane.across[0], plane.across[-1])
    if plane.polygons is None:
        axes.imshow(soft_colors(plane.count())[plane.regions], origin="lower", extent=extent, interpolation="nearest")
    else:
        few, colors = len(plane.polygons) <= _FEW, soft_colors(len(plane.polygons))
        cells = PolyCollection(plane.polygons, facecolors=colors, edgecolors=_OUTLINE, rasterized=not few)
        cells.set_linewidth(0.3 if few else 0)
        axes.add_collection(cells)
        axes.set(xlim=extent[:2], ylim=extent[2:], aspect="equal")
    axes.set(xlabel="distance from A towards B", ylabel="distance from the line through A and B")


def soft_colors(count: int) -> np.ndarray:
    """Pale colours (count, 3) of many hues, which differ in grey, too."""
    order = np.random.default_rng(0).permutation(count)
    hue, lightness = (order * 0.6180) % 1, (order * 0.7549) % 1
    return hsv_to_rgb(np.stack([hue, np.full(count, 0.22), 0.78 + 0.22 * lightness], axis=1))


def _draw_predictions(axes: Axes, plane: Plane, classes: Sequence[str]) -> None:
    for predicted in np.unique(plane.classes):
        rows, columns = np.nonzero(plane.classes == predicted)
        if len(rows) < plane.classes.size:
            axes.contour(plane.along, plane.across, plane.classes == predicted, [0.5], colors=_DARK, linewidths=1.2)
        if len(rows) >= _LABELLED * plane.classes.size:
            x, y = _label_point(plane, rows, columns)
            _write(axes, x, y, classes[predicted], "normal")


def _label_point(plane: Plane, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The coordinates (2,) of one of these grid points: near their mean, but not on an image."""
    points = np.stack([plane.along[columns], plane.across[rows]], axis=1)
    from_images = np.linalg.norm(points[:, None] - plane.corners, axis=2).min(1)
    clear = from_images > _CLEAR * np.ptp(plane.along)
    points = points[clear] if clear.any() else points
    return points[np.linalg.norm(points - points.mean(0), axis=1).argmin()]


def _draw_corners(axes: Axes, plane: Plane) -> None:
    axes.plot(*plane.corners[:2].T, ":", color=_DARK, linewidth=1.5)
    axes.plot(*plane.corners.T, "o", color="white", markeredgecolor=_DARK, markersize=8)
    lift = 0.03 * (plane.across[-1] - plane.across[0])
    for letter, (x, y) in zip("ABC", plane.corners, strict=True):
        _write(axes, x, y + lift, letter, "bold")


def _write(axes: Axes, x: float, y: float, text: str, weight: str) -> None:
    halo = [withStroke(linewidth=3, foreground="white")]
    axes.text(x, y, text, color=_DARK, ha="center", va="center", fontsize=12, weight=weight, path_effects=halo)


def _draw_image(axes: Axes, image: np.ndarray, title: str) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set_title(short(title, 30), fontsize=9)
    axes.set_axis_off()
