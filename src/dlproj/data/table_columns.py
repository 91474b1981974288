"""The columns of a table: what each holds, and its values as numbers or as names."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dlproj.config.checks import DataError, one_line
from dlproj.config.table import ColumnRole, columns_setting

MOST_CATEGORIES = 1000  # of a column that is read without being asked for
_MOST_CLASSES = 100  # of numbers that are not whole
_NAMED = 5  # rows that a message names
_FEW = 20  # rows or values from which a guess is made
_MOSTLY = 0.8  # share of numbers in a column that has them by intention
_DAY = (r"\d{4}-\d{1,2}(-\d{1,2})?", r"\d{4}/\d{1,2}/\d{1,2}", r"(\d{1,2}[./-]){2}\d{2,4}")
_DATE = re.compile(rf"({'|'.join(_DAY)})([ T]\d{{1,2}}:.*)?", re.ASCII)
_ID = re.compile(r"(?i:(.*[\W_])?(id|key|nr|no|index|uuid)|unnamed: 0)|.*[a-z](Id|ID)")
_DIGITS = re.compile(r"[+-]?[\d.,' ]*\d[\d.,' ]*([eE][+-]?\d+)?", re.ASCII)
_UNIT = re.compile(r"[$€£¥%]")
_GAP = re.compile(r"(?<=\d)[ \u00a0\u202f'’](?=\d{3}(?!\d))", re.ASCII)  # separates thousands, and nothing else
_LARGEST = float(np.finfo(np.float32).max)

# How people write numbers otherwise than float() reads them: the form of all cells of a column, and the way back.
STYLES: dict[str, tuple[re.Pattern[str], Callable[[str], str]]] = {
    "spaces": (re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII), str),
    "decimal_comma": (
        re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?", re.ASCII),
        lambda text: text.replace(".", "").replace(",", "."),
    ),
    "thousands": (re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?", re.ASCII), lambda text: text.replace(",", "")),
}


def where(column: pd.Series | pd.DataFrame, position: int) -> str:
    """`row 7`, by the index."""
    return f"row {column.index[position]}"


def numbers(column: pd.Series, style: str = "") -> tuple[np.ndarray, str]:
    """The values (n,) in float64, NaN where missing, and how they are written: "" or one of STYLES.

    style: how the column was written in training. Raises DataError with the row of the first cell that is no number.
    """
    values, style = _parsed(column, style)
    with np.errstate(invalid="ignore"):
        odd = np.flatnonzero(np.abs(values) > _LARGEST)
    if len(odd):
        cell = _short(column.iloc[odd[0]])
        raise DataError(f"{where(column, odd[0])} of the column {column.name} holds {cell}: give finite numbers")
    return values, style


def _parsed(column: pd.Series, style: str) -> tuple[np.ndarray, str]:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(np.float64, na_value=np.nan), ""
    cells = column.to_numpy(object)
    there = np.flatnonzero(~pd.isna(cells))
    text = cells[there] if pd.api.types.infer_dtype(cells[there]) == "string" else names(column)[there]
    values = _as_floats(text)
    if style or np.isnan(values).any():
        read = {name: found for name in ([style] if style else STYLES) if (found := _in_style(text, name)) is not None}
        if not read:
            odd = int(np.flatnonzero(np.isnan(values))[0]) if np.isnan(values).any() else 0
            raise DataError(
                f"{where(column, there[odd])} of the column {column.name} holds {_short(text[odd])}, which is no "
                f"number: correct it, or set {columns_setting(str(column.name), ColumnRole.categorical)}"
            )
        (style, values), *others = read.items()
        if any((other != values).any() for _, other in others):
            advice = "write it without separators of thousands and with a decimal point"
            place = f"{where(column, there[0])} of the column {column.name}"
            raise DataError(f"{place}: {_short(text[0])} may be two numbers: {advice}")
    placed = np.full(len(column), np.nan)
    placed[there] = values
    return placed, style


def _as_floats(text: Sequence[str] | np.ndarray) -> np.ndarray:
    values: np.ndarray = pd.to_numeric(np.array(text, object), errors="coerce")
    return values.astype(np.float64)


def _in_style(text: Sequence[str] | np.ndarray, style: str) -> np.ndarray | None:
    """The numbers of the cells, or None if one is not written in this style."""
    form, plain = STYLES[style]
    found = list[str]()
    for cell in text:
        compact = _GAP.sub("", cell.strip())
        if not form.fullmatch(compact):
            return None
        found.append(plain(compact))
    return _as_floats(found)


def _short(cell: Any) -> str:
    text = str(cell)
    return ascii(text if len(text) <= 40 else text[:40] + "…")


def names(column: pd.Series) -> np.ndarray:
    """The values (n,) as texts, 1.0 as 1, which pandas makes of it beside missing values; None where missing."""
    cells = column.to_numpy(object)
    there = ~pd.isna(cells)
    text = np.full(len(cells), None, object)
    text[there] = np.fromiter(map(_name, cells[there]), object, there.sum())
    return text


def _name(cell: Any) -> str:
    text = str(cell).strip()
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text


def guess(column: pd.Series) -> tuple[ColumnRole, str]:
    """The role of a column, and why it is left out, else "". Raises DataError for numbers among which is another."""
    present = column.dropna()
    if present.empty:
        return ColumnRole.drop, "no values"
    values = present if _holds_numbers(present) else pd.Series(names(present))
    distinct = values.nunique()
    if distinct == 1 and len(present) == len(column):
        return ColumnRole.drop, "the same value in every row"
    if _holds_dates(present):
        return ColumnRole.drop, "dates: to use them, add a column of numbers, such as days since a date"
    if values is present:
        is_id = len(present) == len(column) and _is_id(present, distinct)
        return (ColumnRole.drop, "numbers the rows") if is_id else (ColumnRole.numeric, "")
    if len(values) >= _FEW and distinct > max(_FEW, len(values) / 2):
        return ColumnRole.drop, _why_unread(values)
    if distinct > MOST_CATEGORIES:
        return ColumnRole.drop, f"{distinct:,} categories"
    return ColumnRole.categorical, ""


def _why_unread(values: pd.Series) -> str:
    """What mostly different values look like."""
    if all(_UNIT.search(name) and _DIGITS.fullmatch(_UNIT.sub("", name).strip()) for name in values):
        return "numbers with a currency or percent sign: to use them, write them without"
    words = sum(len(name.split()) for name in values) / len(values)
    return "texts" if words >= 3 else "mostly different values"


def _holds_dates(present: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(present):
        return True
    return not pd.api.types.is_numeric_dtype(present) and all(map(_DATE.fullmatch, names(present.head(1000))))


def _holds_numbers(present: pd.Series) -> bool:
    """Whether all values are numbers; raises DataError if one among them is none, or may be two numbers."""
    if pd.api.types.is_bool_dtype(present):
        return False
    try:
        _parsed(present, "")
    except DataError:
        digits = sum(bool(_DIGITS.fullmatch(name)) for name in names(present))
        if digits > 1 and digits >= _MOSTLY * len(present) and not _holds_dates(present):
            raise
        return False
    return True


def _is_id(present: pd.Series, distinct: int) -> bool:
    """Whether numbers say which row it is: whole ones, all different, counting on or of a name like `id`."""
    if len(present) < _FEW or distinct < len(present):
        return False
    values = _parsed(present, "")[0]
    counting = bool(values.max() - values.min() == len(values) - 1)
    return bool((values == np.floor(values)).all()) and (counting or bool(_ID.fullmatch(str(present.name))))


def classes_of(column: pd.Series) -> tuple[str, ...]:
    """The classes, whole numbers by value and others by name. Raises DataError for a column that has none."""
    text = labels_of(column)
    counts = Counter(text).most_common()
    if len(counts) < 2:
        raise DataError(f"the target {column.name} has one class only, {one_line(text[0])}: give rows of two or more")
    values = pd.to_numeric(np.array([name for name, _ in counts], object), errors="coerce")
    whole = bool((np.isfinite(values) & (values == np.round(values))).all())
    if len(counts) > _MOST_CLASSES and not np.isnan(values).any() and not whole:
        raise DataError(
            f"the target {column.name} has {len(counts):,} different numbers, such as {text[0]}, and looks like that "
            "of a regression: dlproj classifies, so make classes of it, or set data.target to another column"
        )
    rarest, count = counts[-1]
    if count < 2:
        place = where(column, text.tolist().index(rarest))
        raise DataError(
            f"the class {one_line(rarest)} of the target {column.name} has a single row of {len(text):,}, {place}: "
            "give it more, or leave it out"
        )
    if unusable := next((name for name, _ in counts if one_line(name) != name), None):
        raise DataError(f"the target has a class {unusable!a}, which cannot be written on a page: rename it")
    return tuple(sorted((name for name, _ in counts), key=(lambda name: (float(name), name)) if whole else None))


def labels_of(column: pd.Series) -> np.ndarray:
    """The class of each row (n,) as a name. Raises DataError for missing ones."""
    text = names(column)
    missing = np.flatnonzero(pd.isna(text))
    if len(missing):
        named = ", ".join(str(column.index[i]) for i in missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
        raise DataError(
            f"the target {column.name} is missing in {len(missing):,} of {len(text):,} rows ({named}): "
            "fill it in, or leave these rows out"
        )
    return text
