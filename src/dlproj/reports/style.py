"""How figures look, and what becomes of them: PNG for files and TensorBoard, SVG that takes a page's own colours."""

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

# Okabe & Ito's colours, told apart by colour-blind people, in an order whose greys differ from one to the next.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#7A7A7A")
GREY = COLORS[-1]
# From blue over magenta to orange, none too dark for a dark page nor too light for a white one.
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
    "text.parse_math": False,  # a $ in a name starts no formula
    "svg.hashsalt": "dlproj",  # the same figure gives the same bytes
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this style: figures take it where they are made, and again where they are written."""
    with matplotlib.rc_context(_STYLE):
        yield


_STEPS = (1, 2, 5)


def plain_log(axis: Axis, steps: tuple[int, ...] = _STEPS) -> None:
    """Label a logarithmic axis at these times the powers of ten, as plain numbers."""
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
    """An empty figure of this size in inches, outside pyplot, which would keep it."""
    return Figure(figsize=(width, height), dpi=100)


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A new figure of this size in inches with a constrained layout, to be drawn within the context in this style."""
    with styled():
        figure = new_figure(width, height)
        figure.set_layout_engine("constrained")
        yield figure


def png(picture: Figure | Image.Image) -> bytes:
    """The picture as a PNG file, a figure with 100 pixels an inch."""
    file = io.BytesIO()
    image = _rendered(picture) if isinstance(picture, Figure) else picture
    image.save(file, format="png", compress_level=1)
    return file.getvalue()


def _rendered(figure: Figure) -> Image.Image:
    canvas = FigureCanvasAgg(figure)
    with styled():
        draw_all_letters(figure, canvas.draw)  # savefig() would go through the whole figure once more beforehand
    size = canvas.get_width_height()
    return Image.frombuffer("RGBA", size, canvas.buffer_rgba(), "raw", "RGBA", 0, 1).convert("RGB")


def svg(figure: Figure, description: str) -> str:
    """The figure as an <svg> element for an HTML page: no background, text and axes in the page's currentColor.

    description is what a screen reader says. Ids are made unique by it.
    """
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    with styled(), matplotlib.rc_context({"svg.hashsalt": description}):
        file = io.StringIO()
        # Letters that matplotlib cannot measure are none of its business: the browser writes them.
        missing_letters(lambda: FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None}))
    element = file.getvalue()
    element = element[element.index("<svg") :].replace(INK, "currentColor")
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    return element.replace("<svg ", f'<svg role="img" aria-label="{_escaped(description)}" ', 1)


def short(name: str, width: int) -> str:
    """A name cut to a width in characters."""
    return name if len(name) <= width else f"{name[: width - 1].rstrip()}…"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
