"""A diagram of boxes and arrows, written as `graph TD` of Mermaid, as SVG: no script has to be fetched for it."""

import re
from html import escape

import networkx as nx

_WIDTH, _HEIGHT, _ACROSS, _DOWN = 128, 30, 150, 66  # a box, and the distances between centres


def as_svg(text: str) -> str:
    """The picture of lines `a --> b`: below each box what it points to."""
    graph = nx.DiGraph(re.findall(r"^ *(\w+) --> (\w+)$", text, re.MULTILINE))
    rows = _rows(graph)
    broadest = max(map(len, rows))
    at = {
        name: (_ACROSS * (i + (broadest - len(row)) / 2 + 0.5), _DOWN * (depth + 0.5))
        for depth, row in enumerate(rows)
        for i, name in enumerate(row)
    }
    arrows = "".join(_arrow(at[above], at[below]) for above, below in graph.edges)
    boxes = "".join(_box(name, *place) for name, place in at.items())
    size = f'viewBox="0 0 {_ACROSS * broadest} {_DOWN * len(rows)}"'
    head = '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    marker = f'<defs>{head}<path d="M0 0L8 4L0 8z"/></marker></defs>'
    label = escape("; ".join(f"{above} imports {below}" for above, below in graph.edges))
    return f'<svg class="diagram" {size} role="img" aria-label="{label}">{marker}{arrows}{boxes}</svg>\n'


def _rows(graph: nx.DiGraph) -> list[list[str]]:
    """The names by depth, those of a row in the order of the mean places of what points to them."""
    rows: list[list[str]] = []
    for generation in nx.topological_generations(graph):
        places = {name: i / len(row) for row in rows for i, name in enumerate(row)}
        above = {name: [places[other] for other in graph.predecessors(name)] for name in generation}
        rows.append(sorted(generation, key=lambda name: sum(above[name]) / max(1, len(above[name]))))
    return rows


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = start, end
    y, to_y = y + _HEIGHT / 2, to_y - _HEIGHT / 2
    half = (to_y - y) / 2
    path = f"M{x:g} {y:g}C{x:g} {y + half:g} {to_x:g} {to_y - half:g} {to_x:g} {to_y:g}"
    return f'<path class="arrow" d="{path}" marker-end="url(#head)"/>'


def _box(name: str, x: float, y: float) -> str:
    place = f'x="{x - _WIDTH / 2:g}" y="{y - _HEIGHT / 2:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="5"'
    return f'<rect {place}/><text x="{x:g}" y="{y + 5:g}">{escape(name)}</text>'
