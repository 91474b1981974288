"""Tables parsed once into a memory-mapped file, known by the files and by the settings that they are read by."""

import hashlib
import json
import logging
import zlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from dlproj.data.data_files import brief
from dlproj.data.table_rows import Schema, Table

_log = logging.getLogger(__name__)
_FORMAT = 1  # to be raised where parsing changes
_ALIGNED = 8  # bytes


def parse_once(parse: Callable[[], Table], source: str, *read_by: Any) -> Table:
    """Parse a table and keep it, or open what an earlier run has kept.

    read_by: what the table depends on, told apart by repr().
    """
    key = hashlib.sha256(repr((_FORMAT, pd.__version__, *read_by)).encode(errors="surrogateescape")).hexdigest()[:16]
    if found := _opened(key):
        return found
    table = parse()
    return table if (kept := _kept(key, source, table)) is None else kept


def _kept(key: str, source: str, table: Table) -> Table | None:
    """The table in a file; None, with a warning, if there is no room for it."""
    from dlproj.data.mapped_files import keeping

    arrays = {name: values for name, values in table._asdict().items() if isinstance(values, np.ndarray)}
    layout = {name: [str(values.dtype), list(values.shape)] for name, values in arrays.items()}
    text = json.dumps({"schema": asdict(table.schema), "suspicious": table.suspicious, "arrays": layout})
    about = {"source": source, "table": text, "table_checksum": zlib.crc32(text.encode())}
    try:
        with keeping(key, (sum(_room(values.nbytes) for values in arrays.values()),), about) as buffer:
            start = 0
            for values in arrays.values():
                buffer[start : start + values.nbytes] = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
                start += _room(values.nbytes)
    except OSError as error:
        advice = "set DLPROJ_CACHE_DIR to a folder with room, or data.cache=never"
        _log.warning("the parsed table is not kept for later (%s): %s", brief(error), advice)
        return None
    return _opened(key)


def _opened(key: str) -> Table | None:
    """The table that is kept under a key; None if there is none. A damaged one is said."""
    from dlproj.data.mapped_files import kept

    if (found := kept(key)) is None:
        return None
    text, start, arrays = str(found.about.get("table")), 0, dict[str, np.ndarray]()
    if found.about.get("table_checksum") != zlib.crc32(text.encode(errors="surrogatepass")):
        _log.warning("%s is damaged (its note is not what was written): it is made anew", key)
        return None
    about = json.loads(text)
    for name, (kind, shape) in about["arrays"].items():
        size = np.dtype(kind).itemsize * int(np.prod(shape))
        arrays[name] = found.array[start : start + size].numpy().view(kind).reshape(shape)
        start += _room(size)
    missing = dict.fromkeys(("test", "test_targets", "groups"))
    suspicious = tuple(about["suspicious"])
    return Table(_schema(about["schema"]), suspicious=suspicious, mapped=True, **missing | arrays)  # type: ignore[arg-type]


def _schema(state: dict[str, Any]) -> Schema:
    """The schema of what JSON made of asdict(): with tuples for lists."""
    categories = {name: tuple(values) for name, values in state["categories"].items()}
    tuples = {name: tuple(value) for name, value in state.items() if isinstance(value, list)}
    return Schema(**state | tuples | {"categories": categories})


def _room(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
