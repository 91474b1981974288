"""Text tables read in bulk, by pandas' C reader, where that gives the same table as reading them cell by cell.

Columns of numbers that are all written as Python writes them, such as 7, -12 and 0.25, become numbers, which take a
quarter of a float64's memory or less where they are small; others become texts.
"""

import csv
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

_BLOCK = 1 << 22  # bytes that are read at once
_EXACT = 15  # decimal digits that a float64 always gives back
_SMALL = np.iinfo(np.int16).max
_PLAIN = 1e-4  # smaller numbers are written with an exponent
_LINE_END, _MINUS, _POINT, _ZERO = b"\n-.0"


class Plain(NamedTuple):
    """A table without quotes: the names, and the columns by number."""

    names: list[str]
    columns: pd.DataFrame


def read_plain(content: bytes, delimiter: str, missing: frozenset[str]) -> Plain | None:
    """Read a table from UTF-8 text without null characters; None if it has to be read cell by cell.

    That is so for quotes, empty rows, rows of unequal length and a single column. The index is that of read_table().
    """
    if b'"' in content or b"\xef\xbb\xbf" in content:  # a mark within the text, which pandas would leave out
        return None
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    head, line_end, _ = content[: content.find(b"\n") + 1].partition(b"\n")
    names = [name.strip() for name in head.decode().split(delimiter)]
    blocks = partial(_blocks, content, len(head) + len(line_end))
    if len(names) < 2 or not any(names) or not any(blocks()):
        return None
    found = _numbers(blocks(), delimiter, len(names))
    if found is None:
        return None
    texts = _texts(blocks(), delimiter, [i for i in range(len(names)) if i not in found])
    if all(values.dtype.kind == "f" for values in found.values()):
        absent = [*map(np.isnan, found.values()), *(values == "" for values in texts.values())]
        if np.logical_and.reduce(absent).any():
            return None
    filled = {i: pd.Series(values, dtype=object) for i, values in texts.items()}
    filled = {i: values.mask(values.isin({"", *missing}), np.nan) for i, values in filled.items()}
    columns = pd.DataFrame({i: found.pop(i) if i in found else filled.pop(i) for i in range(len(names))}, copy=False)
    return Plain(names, columns.set_axis(range(2, len(columns) + 2)))


def _blocks(content: bytes, start: int) -> Iterator[bytes]:
    """Yield parts of whole lines from a place on, each with its line end; without empty lines at the end."""
    end = len(content)
    while content[end - 1 : end] == b"\n":
        end -= 1
    while start < end:
        stop = content.rfind(b"\n", start, start + _BLOCK) + 1 or content.find(b"\n", start) + 1 or end
        stop = min(stop, end) if end - start > _BLOCK else end
        yield content[start:stop].removesuffix(b"\n") + b"\n"
        start = stop


def _numbers(blocks: Iterator[bytes], delimiter: str, width: int) -> dict[int, np.ndarray] | None:
    """The columns of plain numbers, int or float64; None if the rows have not all `width` cells."""
    pieces: dict[int, list[np.ndarray]] = {i: [] for i in range(width)}
    for block in blocks:
        cells = np.frombuffer(block + b"\n", np.uint8)  # one more: so that each cell is followed by two
        ends = np.flatnonzero((cells[:-1] == ord(delimiter)) | (cells[:-1] == _LINE_END))
        rows = block.count(b"\n")
        if len(ends) != rows * width or (cells[ends[width - 1 :: width]] != _LINE_END).any():
            return None
        kinds = _kinds(cells, ends.reshape(rows, width))
        parsed = _parsed(block, delimiter, {i: kinds[i] for i in pieces if kinds[i]})
        for i in list(pieces):
            if i not in parsed or (pieces[i] and pieces[i][0].dtype.kind != parsed[i].dtype.kind):
                del pieces[i]
            else:
                pieces[i].append(parsed[i])
    return {i: np.concatenate(pieces.pop(i)) for i in list(pieces)}


def _kinds(cells: np.ndarray, ends: np.ndarray) -> list[str]:
    """What each column holds: "int64", "float64" with empty cells for missing ones, or "" if others are among them.

    ends: the index (rows, columns) of what ends each cell.
    """
    starts = np.concatenate([[0], ends.ravel()[:-1] + 1]).reshape(ends.shape)

    def count(kind: np.ndarray) -> np.ndarray:
        before = np.concatenate([[0], np.cumsum(kind, dtype=np.int32)])
        return before[ends] - before[starts]

    digits, points, signs = count(cells - _ZERO < 10), count(cells == _POINT), cells[starts] == _MINUS
    first, last = starts + signs, ends - 1
    plain = (digits + points + signs == ends - starts) & (digits <= _EXACT) & (cells[first] != _POINT)
    plain &= (cells[first] != _ZERO) | (cells[first + 1] == _POINT) | ((ends - starts == 1) & (points == 0))
    decimal = (points == 1) & (cells[last] != _POINT) & ((cells[last] != _ZERO) | (cells[last - 1] == _POINT))
    whole = (plain & (points == 0) & (digits > 0)).all(0)
    decimals = ((plain & decimal) | (ends == starts)).all(0)
    return np.select([whole, decimals], ["int64", "float64"], "").tolist()


def _parsed(block: bytes, delimiter: str, kinds: dict[int, str]) -> dict[int, np.ndarray]:
    """The values of columns of these kinds; small whole numbers as int16."""
    found = dict[int, np.ndarray]()
    if whole := [i for i, kind in kinds.items() if kind == "int64"]:
        values = _read(block, delimiter, whole, np.int64).to_numpy()
        small = (np.abs(values) <= _SMALL).all(0)
        found |= {i: values[:, j].astype(np.int16 if small[j] else np.int64) for j, i in enumerate(whole)}
    if decimals := [i for i, kind in kinds.items() if kind == "float64"]:
        texts = _read(block, delimiter, decimals, object)
        parsed = {i: pd.to_numeric(texts[i], errors="coerce").to_numpy(np.float64) for i in decimals}
        found |= {i: values for i, values in parsed.items() if not _odd(values).any()}
    return found


def _odd(values: np.ndarray) -> np.ndarray:
    """Which ones Python writes otherwise than by digits and a point, or as others that are equal: 1e-05, -0.0."""
    return ((np.abs(values) < _PLAIN) & (values != 0)) | ((values == 0) & np.signbit(values))


def _texts(blocks: Iterator[bytes], delimiter: str, columns: list[int]) -> dict[int, np.ndarray]:
    """Columns as texts without surrounding spaces."""
    pieces: dict[int, list[str]] = {i: [] for i in columns}
    for block in blocks if columns else ():
        frame = _read(block, delimiter, columns, object)
        for i in columns:
            pieces[i] += map(str.strip, frame[i])
    return {i: np.array(pieces.pop(i), object) for i in columns}


def _read(block: bytes, delimiter: str, columns: list[int], kind: Any) -> pd.DataFrame:
    plain: Any = {"header": None, "engine": "c", "quoting": csv.QUOTE_NONE, "na_filter": False}
    plain |= {"skip_blank_lines": False, "low_memory": False}
    return pd.read_csv(BytesIO(block), sep=delimiter, usecols=columns, dtype=kind, **plain)
