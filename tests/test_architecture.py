"""docs/architecture.md: its ways are those that the code takes, its picture that of the imports."""

import ast
import re
from pathlib import Path

import pytest
from test_rooms import BUILDS, HELPERS, PACKAGE, imported_rooms, room_of

PAGE = Path(__file__).parents[1] / "docs/architecture.md"
TEXT = PAGE.read_text(encoding="utf-8")
MOST_STOPS = {"From a setting to the optimizer": 5, "From a batch to its loss": 6, "From logits to the report": 7}
STOP = re.compile(r"^\d+\. \[`([^`]+)`\]\(([^)]+)\): (.*(?:\n   .*)*)", re.MULTILINE)


def section(title):
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def source_of(symbol, path):
    """The text that a stop names: a class, function or method of a Python file, or a file as a whole."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    node = ast.parse(text)
    for name in symbol.split("."):
        node = next(
            child
            for child in node.body
            if getattr(child, "name", None) == name or getattr(getattr(child, "target", None), "id", None) == name
        )
    return ast.get_source_segment(text, node)


@pytest.mark.parametrize("title", MOST_STOPS)
def test_each_stop_is_there_and_hands_on_what_the_page_says(title):
    stops = STOP.findall(section(title))
    assert 3 <= len(stops) <= MOST_STOPS[title]
    for symbol, link, words in stops:
        source = source_of(symbol, (PAGE.parent / link).resolve())
        code = re.findall(r"`([^`]+)`", words)
        assert code, f"{symbol} says nothing that can be looked up"
        assert [text for text in code if text not in source] == [], symbol


def below(imports, room):
    """All rooms that a room imports, directly or by way of others."""
    direct = {other for above, other in imports if above == room}
    return direct.union(*(below(imports, other) for other in direct))


def test_the_picture_is_that_of_the_imports():
    """An import that a longer way implies, too, is not drawn."""
    found = {(room_of(path), other) for path in PACKAGE.rglob("*.py") for other in imported_rooms(path)}
    builds = {("config", room) for room in BUILDS}
    imports = {pair for pair in found - builds if pair[0] != pair[1] and not set(pair) & (HELPERS | {"__init__"})}
    direct = {room: {other for above, other in imports if above == room} for room, _ in imports}
    implied = {(room, far) for room, others in direct.items() for other in others for far in below(imports, other)}
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", section("Rooms"), re.MULTILINE))
    assert drawn == imports - implied


def test_every_link_leads_to_a_file():
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert len(links) > 15
    assert [link for link in links if "://" not in link and not (PAGE.parent / link).exists()] == []
