"""Imports between the rooms of the package point one way, also those within functions."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src/dlproj"
HELPERS = {
    "clock",
    "file_systems",
    "formats",
    "late_imports",
    "library_internals",
    "launch",
    "live_bytes",
    "machine",
    "loop_progress",
    "start",
    "torch_files",
}
# Each room may import those above it that it names, and the helpers. A class of settings builds what it describes, and
# says so within its build(): that way back from config is its own.
MAY_IMPORT = {
    "config": set(),
    "runs": {"config"},
    "trackers": {"config", "runs"},
    "reports": {"config", "runs"},
    "watch": {"config", "runs", "reports"},
    "data": {"config"},
    "models": {"config", "data"},
    "experiments": {"config"},
    "command_errors": {"config", "experiments", "runs"},
    "survey": {"config", "data", "runs", "reports"},
    "distributed": {"config", "data", "models", "command_errors"},
    "training": {"config", "data", "models", "distributed", "runs", "reports", "command_errors", "survey", "trackers"},
    "inference": {"config", "data", "models", "training", "runs", "reports"},
    "sweeps": {"config", "data", "training", "runs", "reports", "command_errors", "trackers"},
    "labs": {
        "config",
        "data",
        "models",
        "distributed",
        "training",
        "inference",
        "runs",
        "reports",
        "sweeps",
        "experiments",
    },
    "cli": {
        "config",
        "data",
        "training",
        "inference",
        "labs",
        "runs",
        "reports",
        "survey",
        "sweeps",
        "watch",
        "experiments",
        "command_errors",
        "trackers",
    },
    "api": {"config", "training", "inference", "runs", "reports", "models", "data", "command_errors"},
}
BUILDS = {"data", "models"}


def room_of(path):
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imported_rooms(path):
    """The rooms that a module imports from anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dlproj":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dlproj."))


def test_every_room_has_its_place():
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert rooms == MAY_IMPORT.keys() | HELPERS


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_is_above_it(room):
    allowed = MAY_IMPORT[room] | HELPERS | {room} | (BUILDS if room == "config" else set())
    paths = [path for path in PACKAGE.rglob("*.py") if room_of(path) == room]
    wrong = {(path.name, other) for path in paths for other in imported_rooms(path) if other not in allowed}
    assert wrong == set()


def test_no_two_rooms_import_each_other():
    """As far as the table allows them to: a room is never below one that is below it."""
    seen = []
    for room, allowed in MAY_IMPORT.items():
        assert allowed <= set(seen), f"{room} stands above something that it imports"
        seen.append(room)
