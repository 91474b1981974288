"""Figures of a data set: samples, class counts, and histograms of pixels, lengths or features."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dlproj.reports.style import COLORS, INK, new_figure, plain_log, short, styled

_GAP = 1 / 14  # of an image's side, between two images of the grid
_CELL = 0.68  # inches per image of the grid
_A_ROW = 5  # chosen samples side by side
_BINS = 50
_NAME = 24  # characters of a class's name


def _laid_out(width: float, height: float) -> Figure:
    figure = new_figure(width, height)
    figure.set_layout_engine("constrained")
    return figure


@styled()
def grid(rows: Sequence[Sequence[np.ndarray]], names: Sequence[str], title: str) -> Figure:
    """One row of images per class, with its name on the left."""
    pictures = mosaic(rows)
    pitch = len(pictures) / len(rows)
    figure = _laid_out(_CELL * max(map(len, rows)) + 1.5, _CELL * len(rows) + 0.5)
    axes = figure.add_subplot()
    _picture(axes, pictures)
    axes.set_yticks((np.arange(len(rows)) + 0.5) * pitch - 0.5, [short(name, _NAME) for name in names])
    axes.tick_params(length=0)
    axes.set_title(title)
    return figure


def mosaic(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Tile images (H, W, …) of one shape on white, with a gap below and to the right of each."""
    height, width, *channels = next(image.shape for row in rows for image in row)
    gap = max(1, round(height * _GAP))
    down, right = height + gap, width + gap
    canvas = np.full((len(rows) * down, max(map(len, rows)) * right, *channels), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            canvas[y * down : y * down + height, x * right : x * right + width] = image
    return canvas


@styled()
def chosen(images: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """Each image below its title."""
    columns = min(len(images), _A_ROW)
    lines = -(-len(images) // columns)
    figure = _laid_out(1.9 * columns + 0.2, 2.3 * lines + 0.1)
    for index, (image, title) in enumerate(zip(images, titles, strict=True), 1):
        axes = figure.add_subplot(lines, columns, index)
        _picture(axes, image)
        axes.set_yticks([])
        axes.set_title("\n".join(short(line, _NAME) for line in title.splitlines()), loc="center")
    return figure


def _picture(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.spines[:].set_visible(False)
    axes.set_xticks([])


@styled()
def label_counts(counts: Mapping[str, np.ndarray], names: Sequence[str]) -> Figure:
    """Bars of the number of samples per class; counts: (classes,) by set."""
    figure = _laid_out(7, min(0.42 * len(names) + 1.1, 300))
    axes = figure.add_subplot()
    thick = 0.8 / len(counts)
    for i, (label, sizes) in enumerate(counts.items()):
        offsets = np.arange(len(names)) + (i - (len(counts) - 1) / 2) * thick
        axes.bar_label(axes.barh(offsets, sizes, thick, label=label), padding=2, fontsize=8)
    axes.set_yticks(np.arange(len(names)), [short(name, _NAME) for name in names])
    axes.invert_yaxis()
    axes.margins(x=0.1, y=0.01)
    axes.set_xlabel("samples")
    figure.legend(loc="outside upper right", ncols=len(counts))
    return figure


@styled()
def pixel_histogram(counts: np.ndarray, channels: Sequence[str], largest: int) -> Figure:
    """Share of pixels with each value 0..largest, from counts (channels, 256)."""
    colors = dict(zip(("red", "green", "blue"), (COLORS[4], COLORS[2], COLORS[0]), strict=True))
    figure = _laid_out(7, 3.6)
    axes = figure.add_subplot()
    for name, channel_counts, line in zip(channels, counts[:, : largest + 1], cycle(["-", "--", ":"]), strict=False):
        shares = channel_counts / channel_counts.sum()
        axes.stairs(shares, np.arange(largest + 2) - 0.5, label=name, color=colors.get(name, INK), linestyle=line)
    axes.set(yscale="log", xlabel="value of a pixel", ylabel="share of pixels", title="Pixels of the training set")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    plain_log(axes.yaxis)
    if len(channels) > 1:
        axes.legend()
    axes.grid(visible=True)
    return figure


@styled()
def length_histogram(words: Mapping[str, np.ndarray], length: int, unit: str = "words", noun: str = "review") -> Figure:
    """Histogram of words (or another unit) per review (or text) (N,), by set, with a line at the truncation length."""
    figure = _laid_out(7, 3.8)
    axes = figure.add_subplot()
    edges = _length_bins(max(length, *(int(np.percentile(lengths, 99)) for lengths in words.values())))
    for (label, lengths), line in zip(words.items(), cycle(["-", "--"]), strict=False):
        axes.stairs(np.histogram(lengths, edges)[0] / len(lengths), edges, label=label, linestyle=line, linewidth=1.5)
    end = int(edges[-1])
    beyond = max((lengths > end).mean() for lengths in words.values())
    axes.axvline(length, color=INK, linewidth=1)
    side = "right" if length > end / 2 else "left"
    axes.annotate(f" cut at length={length} ", (length, 0.99), va="top", ha=side, xycoords=("data", "axes fraction"))
    axes.set(xlabel=f"{unit} a {noun} ({beyond:.1%} have more than {end})", ylabel=f"share of {noun}s")
    axes.set_title(f"{unit.capitalize()} a {noun}, before cutting")
    figure.legend(loc="outside upper right", ncols=len(words))
    return figure


def _length_bins(end: int) -> np.ndarray:
    """Edges of about _BINS bins from 0 to end or a little more, each holding the same number of integers."""
    width = -(-(end + 1) // _BINS)
    return np.arange(0, end + width + 1, width) - 0.5


@styled()
def value_histogram(values: np.ndarray) -> Figure:
    """Histogram of the values of all features."""
    figure = _laid_out(7, 3.6)
    axes = figure.add_subplot()
    counts, edges = np.histogram(values, _BINS)
    axes.stairs(counts / counts.sum(), edges, fill=True)
    axes.set(xlabel="value of a feature", ylabel="share of values", title="All features of the training set")
    return figure
