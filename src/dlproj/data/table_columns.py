"""The columns of a table: what each holds, and its values as numbers or as names."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from dlproj.config.checks import DataError
from dlproj.config.table import ColumnRole

MOST_CATEGORIES = 1000  # of a column that is read without being asked for
_FEW = 20  # rows or values from which a guess is made
_MOSTLY = 0.8  # share of numbers in a column that has them by intention
_TIME = r"([ T]\d{1,2}:.*)?"
_DAY = (r"\d{4}-\d{1,2}(-\d{1,2})?", r"\d{4}/\d{1,2}/\d{1,2}", r"(\d{1,2}[./-]){2}\d{2,4}")
_DATE = rf"({'|'.join(_DAY)})([ T]\d{{1,2}}:.*)?"
_ID = r"(?i:(.*[\W_])?(id|key|nr|no|index|uuid)|unnamed: 0)|.*[a-z](Id|ID)"
_GAP = r"(?<=\d)[ \u00a0\u202f'’](?=\d{3}(?!\d))"  # separates thousands, and nothing else
_LARGEST = float(np.finfo(np.float32).max)


def _decimal_comma(text: str) -> str:
    return text.replace(".", "").replace(",", ".")


def _thousands(text: str) -> str:
    return text.replace(",", "")


# How people write numbers otherwise than float() reads them: the form of all cells of a column, and the way back.
STYLES: dict[str, tuple[str, Callable[[str], str]]] = {
    "decimal_comma": (r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?", _decimal_comma),
    "thousands": (r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?", _thousands),
}


def where(frame: pd.DataFrame | pd.Series, position: int) -> str:
    """`row 7`, by the frame's index."""
    return f"row {frame.index[position]}"


def numbers(column: pd.Series, style: str = "") -> tuple[np.ndarray, str]:
    """The values (n,) in float64, NaN where missing, and how they are written: "" or one of STYLES.

    style: how the column was written in training. Raises DataError with the row of the first cell that is no number.
    """
    if pd.api.types.is_numeric_dtype(column):
        return _finite(column, column.to_numpy(np.float64, na_value=np.nan)), ""
    text = column.dropna().map(str).str.strip().str.replace(_GAP, "", regex=True)
    styles = [style] if style else ["", *STYLES]
    read = {name: values for name in styles if (values := _read(text, name)) is not None}
    if "" not in read and len(read) == 2:
        advice = "write it without separators of thousands and with a decimal point"
        raise DataError(f"{where(text, 0)} of the column {column.name}: {text.iloc[0]!a} may be two numbers: {advice}")
    if not read:
        odd = text[pd.to_numeric(text, errors="coerce").isna()]
        raise DataError(
            f"{where(odd, 0)} of the column {column.name} holds {_short(odd.iloc[0])}, which is no number: correct it, "
            f"or set data.columns={{{column.name}: categorical}}"
        )
    name, values = next(iter(read.items()))
    return _finite(column, _placed(column, values, np.full(len(column), np.nan))), name


def _placed(column: pd.Series, values: pd.Series, into: np.ndarray) -> np.ndarray:
    """Fill `into` (n,) with the values where the column has one."""
    into[column.notna().to_numpy()] = values.to_numpy()
    return into


def _read(text: pd.Series, style: str) -> pd.Series | None:
    """The numbers of the cells, or None if one is not written in this style."""
    if style:
        form, plain = STYLES[style]
        if not text.str.fullmatch(form).all():
            return None
        text = text.map(plain)
    values = pd.to_numeric(text, errors="coerce")
    return None if values.isna().any() else values.astype(float)


def _finite(column: pd.Series, values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        odd = np.flatnonzero(np.abs(values) > _LARGEST)
    if len(odd):
        cell = _short(column.iloc[odd[0]])
        raise DataError(f"{where(column, odd[0])} of the column {column.name} holds {cell}: give finite numbers")
    return values


def _short(cell: Any) -> str:
    text = str(cell)
    return ascii(text if len(text) <= 40 else text[:40] + "…")


def names(column: pd.Series) -> pd.Series:
    """The values as names, whole numbers without a decimal point; None where missing."""
    if pd.api.types.is_float_dtype(column):
        whole = bool((column.dropna() % 1 == 0).all()) and bool((column.dropna().abs() < 2**53).all())
        text = column.dropna().map((lambda value: str(int(value))) if whole else str)
    else:
        text = column.dropna().map(str).str.strip()
    placed = _placed(column, text.astype(object), np.full(len(column), None, object))
    return pd.Series(placed, index=column.index, name=column.name, dtype=object)


def guess(column: pd.Series) -> tuple[ColumnRole, str]:
    """The role of a column, and why it is left out, else "". Raises DataError for numbers among which is another."""
    present = column.dropna()
    if present.empty:
        return ColumnRole.drop, "no values"
    text = names(present)
    distinct = text.nunique()
    if distinct == 1 and len(present) == len(column):
        return ColumnRole.drop, "the same value in every row"
    if _are_dates(present, text):
        return ColumnRole.drop, "dates: to use them, add a column of numbers, such as days since a date"
    if _are_numbers(column, text):
        return (ColumnRole.drop, "numbers the rows") if _is_id(column, distinct) else (ColumnRole.numeric, "")
    if len(text) >= _FEW and distinct > max(_FEW, len(text) / 2):
        sentences = text.str.count(r"\s+").mean() >= 2
        return ColumnRole.drop, "texts" if sentences else "nearly every row has another value"
    if distinct > MOST_CATEGORIES:
        return ColumnRole.drop, f"{distinct:,} categories"
    return ColumnRole.categorical, ""


def _are_dates(present: pd.Series, text: pd.Series) -> bool:
    return pd.api.types.is_datetime64_any_dtype(present) or bool(text.head(1000).str.fullmatch(_DATE).all())


def _are_numbers(column: pd.Series, text: pd.Series) -> bool:
    """Whether the column holds numbers; raises DataError if one cell among them is none, or may be two numbers."""
    if pd.api.types.is_bool_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return True
    try:
        numbers(column)
    except DataError:
        digits = text.str.fullmatch(r"[+-]?[\d.,' ]*\d[\d.,' ]*([eE][+-]?\d+)?")
        if digits.mean() >= _MOSTLY and digits.sum() > 1:
            raise
        return False
    return True


def _is_id(column: pd.Series, distinct: int) -> bool:
    """Whether numbers say which row it is: whole ones, all different, counting on or of a name like `id`."""
    if len(column) < _FEW or distinct < len(column):
        return False
    values = numbers(column)[0]
    counting = values.max() - values.min() == len(values) - 1
    return bool((values == np.floor(values)).all()) and (bool(counting) or bool(re.fullmatch(_ID, str(column.name))))
