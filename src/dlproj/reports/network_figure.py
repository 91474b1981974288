"""Figure of a network's computational graph: one row per operation, with its parameters on the left."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from dlproj.reports.style import COLORS, GREY, INK, new_figure, short, styled
from dlproj.runs.inspection import GraphNode

MOST_ROWS = 100
_COLORS = {"data": GREY, "parameter": COLORS[2], "operation": COLORS[0]}
_ROW = 0.62  # inches
_COLUMN = 2.75
_BOX = (2.3, 0.4)
_OUTSIDE = ("loss", "penalty", "total_loss")  # operations that belong to no module


def network(nodes: Sequence[GraphNode]) -> Figure:
    """The graph from the inputs at the top to the loss, cut after MOST_ROWS rows."""
    positions = _positions(nodes)
    left_out = len(nodes) - len(positions)
    rows = 1 + max(row for _, row in positions.values()) + bool(left_out)
    columns = 1 + max(column for column, _ in positions.values())
    with styled():
        figure = new_figure(_COLUMN * columns, _ROW * rows)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, _COLUMN * columns), ylim=(_ROW * rows, 0))
        axes.set_axis_off()
        for i, (column, row) in positions.items():
            for read in nodes[i].reads:
                if nodes[i].operation != "penalty" and read in positions:
                    _arrow(axes, positions[read], (column, row))
            _box(axes, nodes[i], _centre(column, row))
        if left_out:
            axes.text(*_centre(1, rows - 1), f"… and {left_out} more", ha="center", va="center")
        return figure


def _positions(nodes: Sequence[GraphNode]) -> dict[int, tuple[int, int]]:
    """Column and row of each node, by index: operations below one another, their other inputs on the left.

    The second direction of a recurrent layer is placed beside the first, with its parameters on the right.
    """
    positions = {0: (1, 0)}
    row, free = 0, 1  # row of the last operation, and next free row
    for i, node in enumerate(nodes):
        if node.kind != "operation":
            continue
        second = node.name.endswith("directions.1")
        beside = [read for read in node.reads if nodes[read].kind != "operation" and read not in positions]
        row = row if second else free
        if row + max(1, len(beside)) > MOST_ROWS:
            break
        if node.operation == "penalty":
            positions[i] = (0, row)  # beside the sum it is added to
            continue
        positions |= {read: (3 if second else 0, row + below) for below, read in enumerate(beside)}
        positions[i] = (2 if second else 1, row)
        free = max(free, row + max(1, len(beside)))
    return positions


def _centre(column: float, row: float) -> tuple[float, float]:
    return _COLUMN * (column + 0.5), _ROW * (row + 0.5)


def _label(node: GraphNode) -> str:
    """The name of a parameter or of data; the operation and its module."""
    if node.kind != "operation":
        return node.name
    of_no_module = node.name.endswith(f".{node.operation.replace(' ', '_')}") or node.name in _OUTSIDE
    return node.operation if of_no_module else f"{node.operation} · {node.name}"


def _box(axes: Axes, node: GraphNode, centre: tuple[float, float]) -> None:
    (x, y), (width, height) = centre, _BOX
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            facecolor="none",
            boxstyle="round,pad=0,rounding_size=0.06",
            edgecolor=_COLORS[node.kind],
        )
    )
    shape = " × ".join(map(str, node.shape)) or "scalar"
    axes.text(*centre, f"{short(_label(node), 38)}\n{shape}", ha="center", va="center", fontsize=7.5)


def _arrow(axes: Axes, source: tuple[int, int], target: tuple[int, int]) -> None:
    """Arrow between the edges of two boxes: from above, or from the side of the parameters."""
    (x, y), (to_x, to_y) = _centre(*source), _centre(*target)
    half_width, half_height = _BOX[0] / 2, _BOX[1] / 2
    side = {0: 1, 3: -1}.get(source[0], 0)
    x, to_x = x + side * half_width, to_x - side * half_width
    y, to_y = (y, to_y) if side else (y + half_height, to_y - half_height)
    axes.annotate(
        "",
        (to_x, to_y),
        (x, y),
        arrowprops={"arrowstyle": "->", "color": INK, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
    )
