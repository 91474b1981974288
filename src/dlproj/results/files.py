"""Files of a run's folder: written whole or not at all, and read with one clear line where they are damaged."""

import json
import os
from pathlib import Path
from typing import Any

from dlproj.settings import DataError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside the file and rename into place, so that a reader never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(beside, path)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises DataError, naming the file, where there is none or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is missing or damaged: take it from another copy") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: take it from another copy")
    return content
