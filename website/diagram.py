"""A diagram of boxes and arrows, written as `graph TD` of Mermaid, as SVG: no script has to be fetched for it."""

import re
from collections.abc import Hashable
from html import escape

import networkx as nx

_WIDTH, _HEIGHT, _ACROSS, _DOWN = 128, 30, 150, 66  # a box, and the distances between centres


def as_svg(text: str) -> str:
    """The picture of lines `a --> b`: below each box what it points to; arrows pass between the boxes of other rows."""
    graph = nx.DiGraph(re.findall(r"^ *(\w+) --> (\w+)$", text, re.MULTILINE))
    ways = _ways(graph)
    rows = _rows(nx.compose_all([nx.path_graph(way, nx.DiGraph) for way in ways]))
    broadest = max(map(len, rows))
    at = {
        name: (_ACROSS * (i + (broadest - len(row)) / 2 + 0.5), _DOWN * (depth + 0.5))
        for depth, row in enumerate(rows)
        for i, name in enumerate(row)
    }
    arrows = "".join(_arrow([at[name] for name in way]) for way in ways)
    boxes = "".join(_box(name, *at[name]) for name in graph)
    size = f'viewBox="0 0 {_ACROSS * broadest} {_DOWN * len(rows)}"'
    head = '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    marker = f'<defs>{head}<path d="M0 0L8 4L0 8z"/></marker></defs>'
    label = escape("; ".join(f"{above} imports {below}" for above, below in graph.edges))
    return f'<svg class="diagram" {size} role="img" aria-label="{label}">{marker}{arrows}{boxes}</svg>\n'


def _ways(graph: nx.DiGraph) -> list[list[Hashable]]:
    """For each arrow a name in every row from its start to its end: those of the boxes, and its own between them."""
    rows = {name: row for row, names in enumerate(nx.topological_generations(graph)) for name in names}
    between = {(above, below): range(rows[above] + 1, rows[below]) for above, below in graph.edges}
    return [[above, *((above, below, row) for row in passed), below] for (above, below), passed in between.items()]


def _rows(graph: nx.DiGraph) -> list[list[Hashable]]:
    """The names by depth, those of a row in the order of the mean places of what points to them."""
    rows: list[list[Hashable]] = []
    for generation in nx.topological_generations(graph):
        places = {name: (i + 0.5) / len(rows[-1]) for i, name in enumerate(rows[-1])} if rows else {}
        above = {name: [places[other] for other in graph.predecessors(name)] for name in generation}
        rows.append(sorted(generation, key=lambda name: sum(above[name]) / max(1, len(above[name]))))
    return rows


def _arrow(points: list[tuple[float, float]]) -> str:
    (x, y), ends = points[0], points[1:]
    path, y = f"M{x:g} {y + _HEIGHT / 2:g}", y + _HEIGHT / 2
    for i, (to_x, to_y) in enumerate(ends, 1):
        to_y -= _HEIGHT / 2 if i == len(ends) else 0
        half = (y + to_y) / 2
        path += f"C{x:g} {half:g} {to_x:g} {half:g} {to_x:g} {to_y:g}"
        x, y = to_x, to_y
    return f'<path class="arrow" d="{path}" marker-end="url(#head)"/>'


def _box(name: str, x: float, y: float) -> str:
    place = f'x="{x - _WIDTH / 2:g}" y="{y - _HEIGHT / 2:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="5"'
    return f'<rect {place}/><text x="{x:g}" y="{y + 5:g}">{escape(name)}</text>'
