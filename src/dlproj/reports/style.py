"""Style of figures, and their encoding: PNG for files and TensorBoard, SVG in the page's own colours."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator
from PIL import Image

from dlproj.reports.fonts import DEFAULT, draw_all_letters, missing_letters

# Okabe & Ito's colours, distinguishable by colour-blind people, ordered so that neighbours differ in lightness.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7A7A7A")
GREY = COLORS[-1]
# Blue to magenta to orange, visible on both dark and white pages.
SCALE = LinearSegmentedColormap.from_list("dlproj", ["#2f6fde", "#b0569f", "#ef8433"])
INK = "#1b1f24"  # text and lines; in SVG it becomes the page's own colour
GRID = "#d0d7de"
_STYLE: Any = {
    "font.family": DEFAULT,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.prop_cycle": cycler(color=COLORS),
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a $ in a name is not a formula
    "svg.hashsalt": "dlproj",  # the same figure gives the same bytes
}


MARKERS = "os^vD<>"  # of matplotlib; the page's legend has them as letters
MARKER_LETTERS = dict(zip(MARKERS, "●■▲▼◆◀▶", strict=True))


def layered(i: int, count: int) -> dict[str, Any]:
    """Line style of the i-th of `count` lines, by which those that coincide stay visible: earlier ones are wider."""
    below = min(2.4, 0.9 * (count - 1)) * (count - 1 - i) / max(count - 1, 1)
    return {"marker": MARKERS[i % len(MARKERS)], "linewidth": 1.4 + below, "markersize": 3.5 + 1.6 * below}


@contextmanager
def styled() -> Iterator[None]:
    """Context for drawing in this style, needed where a figure is created and where it is written."""
    with matplotlib.rc_context(_STYLE):
        yield


_STEPS = (1, 2, 5)


def plain_log(axis: Axis, steps: tuple[int, ...] = _STEPS) -> None:
    """Label a logarithmic axis at `steps` times the powers of ten, with plain numbers."""
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter("{x:,g}")
    axis.set_minor_formatter(NullFormatter())


def log_axes(
    axes: Axes, values: Sequence[int], base: float = 10, spec: str = "", steps: tuple[int, ...] = _STEPS
) -> None:
    """Make both axes logarithmic, with a grid: x has ticks at these values alone, y as plain_log() makes them."""
    axes.set_xscale("log", base=base)
    axes.set_xticks(values, [format(value, spec) for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yscale("log")
    plain_log(axes.yaxis, steps)
    axes.grid(visible=True)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, created without pyplot, which would keep it in memory."""
    return Figure(figsize=(width, height), dpi=100)


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A new figure of this size in inches with a constrained layout, to be drawn within the context in this style."""
    with styled():
        figure = new_figure(width, height)
        figure.set_layout_engine("constrained")
        yield figure


def png(picture: Figure | Image.Image) -> bytes:
    """Encode the picture as PNG, a figure at 100 pixels per inch."""
    file = io.BytesIO()
    image = _rendered(picture) if isinstance(picture, Figure) else picture
    image.save(file, format="png", compress_level=1)
    return file.getvalue()


def _rendered(figure: Figure) -> Image.Image:
    canvas = FigureCanvasAgg(figure)
    with styled():
        draw_all_letters(figure, canvas.draw)  # savefig() would traverse the figure twice
    size = canvas.get_width_height()
    return Image.frombuffer("RGBA", size, canvas.buffer_rgba(), "raw", "RGBA", 0, 1).convert("RGB")


def svg(figure: Figure, description: str) -> str:
    """Render the figure as an <svg> element: no background, text and axes in the page's currentColor.

    description: text for screen readers; it also makes ids unique on the page.
    """
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    with styled(), matplotlib.rc_context({"svg.hashsalt": description}):
        file = io.StringIO()
        # Letters that matplotlib's font lacks do not matter: the browser draws the text.
        missing_letters(lambda: FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None}))
    element = file.getvalue()
    element = element[element.index("<svg") :].replace(INK, "currentColor")
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    return element.replace("<svg ", f'<svg role="img" aria-label="{_escaped(description)}" ', 1)


def short(name: str, width: int) -> str:
    """Cut a name to at most `width` characters."""
    return name if len(name) <= width else f"{name[: width - 1].rstrip()}…"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
