"""Reading a table file as a DataFrame: CSV and its like, Parquet, Arrow and Excel, by extension."""

import csv
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from io import BytesIO, StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlproj.config.checks import DataError, one_line
from dlproj.config.whole_files import write_whole
from dlproj.data.data_files import brief
from dlproj.data.table_bulk import read_plain
from dlproj.file_systems import why

TEXT = (".csv", ".tsv", ".txt")
TABLES = (*TEXT, ".parquet", ".arrow", ".feather", ".xlsx")
DELIMITERS = (",", ";", "\t", "|")
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_SIGNED = ("NaN", "nan", "1.#IND", "1.#QNAN")
_WORDS = ("#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "None", "n/a", "null")
MISSING = frozenset({*_WORDS, *_SIGNED, *(f"-{word}" for word in _SIGNED)})  # no value, as in pandas.read_csv


def read_table(path: str | Path, missing_words: bool = True, numbers: bool = False) -> pd.DataFrame:
    """Read a table with named columns.

    Cells of text files are text without surrounding spaces, those of other files have types; NaN where there is no
    value: in text files an empty cell and, with missing_words, one of MISSING. With numbers, columns of text files may
    be numbers where their texts are those that Python writes for them, which is faster and takes less memory. The index
    is the number of each row in the file, from 1; the line with the names counts, too. Raises DataError, naming the
    file and, where it can, row and column.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in TABLES:
        raise DataError(f"{path} is no table file by its name: it can end in {', '.join(TABLES)}")
    try:
        path = path.expanduser()
        if kind in TEXT:
            return _text(path, kind, MISSING if missing_words else frozenset(), numbers)
        if kind == ".xlsx":
            return _of_rows(path, _excel_rows(path), frozenset()).infer_objects()
        return _arrow(path, kind)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({why(error)}): name a table file that can be read") from error


def write_table(frame: pd.DataFrame, path: Path, delimiter: str = ",") -> None:
    """Write a table without its index, in the format of the extension, so that no reader sees half of it.

    delimiter: of .csv and .txt; .tsv has tabs. Missing folders are made. Raises DataError.
    """
    kind = path.suffix.lower()
    if kind not in TABLES:
        raise DataError(f"{path} is no table file by its name: let it end in {', '.join(TABLES)}")
    try:
        write_whole(path, _content(frame, kind, delimiter))
    except ImportError as error:
        raise _lacks("openpyxl" if kind == ".xlsx" else "pyarrow", path) from error
    except OSError as error:
        raise DataError(f"{path} cannot be written ({why(error)}): name another file") from error
    except (ValueError, TypeError) as error:  # a column of several types, or more rows than a sheet has
        raise DataError(f"{path} cannot hold this table ({brief(error)}): let the file end in .csv") from error


def _content(frame: pd.DataFrame, kind: str, delimiter: str) -> str | bytes:
    if kind in TEXT:
        return str(frame.to_csv(index=False, sep="\t" if kind == ".tsv" else delimiter))
    buffer = BytesIO()
    if kind == ".parquet":
        frame.to_parquet(buffer, index=False)
    elif kind == ".xlsx":
        frame.to_excel(buffer, index=False)
    else:
        frame.reset_index(drop=True).to_feather(buffer)
    return buffer.getvalue()


def delimiter_of(path: Path) -> str:
    """The delimiter of a .csv or .txt file as read_table() finds it; a comma for other kinds. Raises DataError."""
    path = path.expanduser()
    kind = path.suffix.lower()
    return _delimiter(_utf8(path), kind) if kind in (".csv", ".txt") else ","


def _text(path: Path, kind: str, missing: frozenset[str], numbers: bool) -> pd.DataFrame:
    content = _utf8(path)
    delimiter = _delimiter(content, kind)
    if numbers and (plain := read_plain(content, delimiter, missing)):
        return _named(path, *plain)
    return _of_rows(path, _text_rows(path, content.decode(), delimiter), missing)


def _text_rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each row. Raises DataError."""
    csv.field_size_limit(sys.maxsize)
    rows, line = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True), 1
    try:
        for row in rows:
            yield line, [cell.strip() for cell in row]
            line = rows.line_num + 1
    except csv.Error as error:
        what = "opens a quote that is not closed" if "end of data" in str(error) else f"has odd quotes ({brief(error)})"
        raise DataError(f'{path}: row {line} {what}: close each quoted cell, and double a " within one') from error


def _utf8(path: Path) -> bytes:
    """The text of a file, UTF-8 without a mark. Raises DataError for what is no text."""
    content = path.read_bytes()
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        if not content.isascii():
            content = content.decode(encoding).encode()
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        advice = "save it as UTF-8, or convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"
        raise DataError(f"{path}: row {row} is not {encoding.upper()} text: {advice}") from error
    if b"\0" in content:
        row = content[: content.index(b"\0")].count(b"\n") + 1
        raise DataError(f"{path}: row {row} holds null characters, so it is no UTF-8 text: save it as CSV in UTF-8")
    return content


def _delimiter(content: bytes, kind: str) -> str:
    """The delimiter by which the first rows have equally many columns, and most of them."""
    start = content[: 1 << 16].decode(errors="ignore")
    if kind == ".tsv" and "\t" in start.partition("\n")[0]:
        return "\t"

    def columns(delimiter: str) -> tuple[bool, int]:
        try:
            rows = [row for row in islice(csv.reader(StringIO(start, newline=""), delimiter=delimiter), 20) if row]
        except csv.Error:
            return False, 0
        widths = [len(row) for row in (rows[:-1] if len(content) > 1 << 16 and len(rows) > 1 else rows)]
        return len(set(widths)) == 1 and widths[0] > 1, next(iter(widths), 0)

    return max(DELIMITERS, key=columns)


def _excel_rows(path: Path) -> Iterator[tuple[int, list[Any]]]:
    """Yield the number and the cells of each row of the first sheet. Raises DataError."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise _lacks("openpyxl", path) from error
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles that are not kept
        try:
            sheet = load_workbook(file, read_only=True, data_only=True).worksheets[0]
            rows = [list(row) for row in sheet.iter_rows(values_only=True)]
        except Exception as error:  # of zipfile, XML and openpyxl, whatever the file holds
            raise DataError(f"{path} is damaged, or no Excel file ({brief(error)}): save it anew, or as CSV") from error
    width = max((_width(row) for row in rows), default=0)
    for number, row in enumerate(rows, 1):
        yield number, (row + [None] * width)[:width]


def _width(row: list[Any]) -> int:
    return max((i for i, cell in enumerate(row, 1) if cell is not None), default=0)


def _arrow(path: Path, kind: str) -> pd.DataFrame:
    try:
        import pyarrow
        from pyarrow import feather, ipc, parquet
    except ImportError as error:
        raise _lacks("pyarrow", path) from error
    with path.open("rb") as file:
        try:
            if kind == ".parquet":
                table = parquet.ParquetFile(file).read()  # where memory runs out, read_table() may hang
            elif file.read(6) in (b"ARROW1", b"FEA1\0\0"):
                table = feather.read_table(str(path), memory_map=False)
            else:  # the format of a stream
                file.seek(0)
                table = ipc.open_stream(file).read_all()
            names = list(map(str, table.column_names))
            frame = table.rename_columns([str(i) for i in range(len(names))]).to_pandas(ignore_metadata=True)
        except MemoryError as error:  # a damaged file may ask for any size
            advice = "leave out rows or columns, or write it anew"
            raise DataError(f"{path} takes more memory than there is, or is damaged: {advice}") from error
        except (pyarrow.ArrowException, OSError, ValueError, TypeError) as error:
            raise DataError(f"{path} is damaged, or no {kind[1:]} file ({brief(error)}): write it anew") from error
    frame.columns = pd.Index(_checked_names(path, names))
    return _not_empty(path, frame.set_axis(range(1, len(frame) + 1)))


def _lacks(package: str, path: Path) -> DataError:
    return DataError(f'{path} needs the package {package}: pip install "dlproj[tables]", or save it as CSV')


def _of_rows(path: Path, numbered: Iterable[tuple[int, list[Any]]], missing: frozenset[str]) -> pd.DataFrame:
    """The table of a row of names and rows of equally many cells; rows without any value are left out."""
    numbers, rows = list[int](), list[list[Any]]()
    for number, row in numbered:
        if all(cell in ("", None) for cell in row):
            continue
        if rows and len(row) != len(rows[0]):
            advice = "give each row as many, and quote cells that hold the delimiter"
            cells = f"{len(row)} cell{'s' * (len(row) != 1)}"
            raise DataError(f"{path}: row {number} has {cells}, the first row {len(rows[0])}: {advice}")
        numbers.append(number)
        rows.append(row)
    if not rows:
        raise DataError(f"{path} is empty: write the columns' names into the first row, a sample into each other")
    names, *samples = rows
    frame = pd.DataFrame(samples, index=numbers[1:], columns=range(len(names)), dtype=object)
    frame = frame.mask(frame.isin({"", *missing}) | frame.isna(), np.nan)
    return _named(path, ["" if name is None else str(name).strip() for name in names], frame)


def _named(path: Path, names: list[str], frame: pd.DataFrame) -> pd.DataFrame:
    """The columns, numbered so far, with their names; those without a name and values are left out."""
    kept = [i for i, name in enumerate(names) if name or frame[i].notna().any()]
    if len(kept) < len(names):
        frame = frame[kept]
    frame.columns = pd.Index(_checked_names(path, [names[i] for i in kept]))
    return _not_empty(path, frame)


def _checked_names(path: Path, names: list[str]) -> list[str]:
    """The names; an empty first one, as pandas writes an index, becomes "Unnamed: 0". Raises DataError."""
    if names and not names[0]:
        names = ["Unnamed: 0", *names[1:]]
    if "" in names:
        raise DataError(f"{path}: column {names.index('') + 1} has no name: write one into the first row")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{path} has several columns named {one_line(', '.join(twice[:5]))}: rename all but one")
    if odd := [name for name in names if one_line(name) != name]:
        raise DataError(f"{path} has a column {odd[0]!a}, which cannot be written on a page: rename it")
    if all(map(_is_number, names)) and names != [str(i) for i in range(len(names))]:
        raise DataError(f"{path} has numbers in its first row, {names[0]}, …: write the columns' names there")
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _not_empty(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    if not len(frame) or not len(frame.columns):
        raise DataError(f"{path} has the columns' names only: write a sample into each further row")
    return frame
