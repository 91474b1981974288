"""A table's rows as numbers, and the schema of its columns that says how."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dlproj.config.checks import DataError, one_line
from dlproj.config.data import DataSpec, Kind
from dlproj.config.images import Caching
from dlproj.config.table import ColumnRole, Missing, TableConfig
from dlproj.data.data_files import Stamp, stamp
from dlproj.data.table_columns import classes_of, guess, labels_of, names, numbers, where
from dlproj.data.table_files import read_table

_NAMED = 5  # columns that a message names
_LARGE = 16_000_000  # bytes, from which on parsing takes a second or so
MISSING, OTHER = -2, -1  # codes of a missing value and of a category without a column of its own


@dataclass(frozen=True, slots=True)
class Schema:
    """How the columns of a table are read: plain values, which a checkpoint keeps.

    Names of categories and whether a column has missing values are those of the whole file, so that each fold and seed
    has a network of one size; what a value becomes is learned from the training rows (dlproj.data.table_encoding).
    """

    target: str
    classes: tuple[str, ...]
    numeric: tuple[str, ...]
    styles: dict[str, str]  # of numbers that are written with a decimal comma, or with separators of thousands
    categories: dict[str, tuple[str, ...]]  # of categorical columns: values with a column of their own, sorted
    has_missing: tuple[str, ...]  # columns with missing values
    own_category: bool  # whether a missing category is one of its own
    indicated: tuple[str, ...]  # columns with an input that says whether the value was missing
    dropped: dict[str, str] = field(default_factory=dict)  # columns that are left out, and why

    def columns(self) -> list[str]:
        """The columns that are read, in the order of raw_rows()."""
        return [*self.numeric, *self.categories]

    def reads_plain_numbers(self) -> bool:
        """Whether 1.234 is 1.234 in each column; where numbers have decimal commas it is 1234."""
        return not self.styles

    def sizes(self) -> tuple[int, ...]:
        """Inputs of each categorical column: its categories, a missing one, and all others."""
        return tuple(len(names) + self._has_own_missing(column) + 1 for column, names in self.categories.items())

    def labels(self, column: str) -> list[str]:
        """What each input of a categorical column stands for."""
        return [*self.categories[column], *["(missing)"] * self._has_own_missing(column), "(other)"]

    def _has_own_missing(self, column: str) -> bool:
        return self.own_category and column in self.has_missing

    def spec(self) -> DataSpec:
        """Numbers, indicators of missing values, and a block of one-hot inputs for each categorical column."""
        sizes = self.sizes()
        width = len(self.numeric) + len(self.indicated) + sum(sizes)
        return DataSpec(Kind.features, (width,), self.classes, category_sizes=sizes)

    def described(self, row: np.ndarray) -> dict[str, str]:
        """A row (columns,) of raw_rows() as people read it: a text for each column."""
        texts = dict(
            zip(self.numeric, ("(missing)" if np.isnan(value) else described(value) for value in row), strict=False)
        )
        for (name, known), code in zip(self.categories.items(), row[len(self.numeric) :].astype(int), strict=True):
            texts[name] = {MISSING: "(missing)", OTHER: "(other)"}.get(code) or known[code]
        return texts

    def roles(self) -> list[tuple[str, str, str]]:
        """Name, role and details of each column, as people read them."""
        inputs = {name: "with missing values" if name in self.has_missing else "" for name in self.columns()}
        sizes = {name: f"{len(values):,} categories" for name, values in self.categories.items()}
        read = [
            (
                name,
                "categorical" if name in sizes else "numeric",
                ", ".join(filter(None, [sizes.get(name, ""), missing])),
            )
            for name, missing in inputs.items()
        ]
        target = (self.target, "target", f"{len(self.classes)} classes")
        return [target, *read, *((name, "left out", why) for name, why in self.dropped.items())]


def described(value: float) -> str:
    """A number as people read it: four digits, or all before the point."""
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.4g}"


class Table(NamedTuple):
    """Rows of a table: values (n, columns) as raw_rows() gives them, and targets (n,); None without a test file."""

    schema: Schema
    train: np.ndarray
    targets: np.ndarray
    test: np.ndarray | None
    test_targets: np.ndarray | None
    suspicious: tuple[str, ...]  # columns with one value for each class
    groups: np.ndarray | None  # (n,): codes of data.group_column
    mapped: bool = False  # from a file, which may be larger than memory


def read_rows(config: TableConfig) -> Table:
    """Read the table of the settings, once a process while its files and settings stay. Raises UserError."""
    stamps = tuple((str(path), stamp(path)) for path in config.files())
    roles = tuple(config.roles().items())
    learned = (config.missing, config.missing_indicator, config.rare_count)
    large = config.cache is Caching.auto and sum(size for _, files in stamps for *_, size in files) >= _LARGE
    cached = large or config.cache is Caching.always
    return _read(stamps, config.target, config.group_column, roles, learned, cached)


@lru_cache(maxsize=1)
def _read(stamps: tuple[tuple[str, Stamp], ...], *settings: Any) -> Table:
    *read_by, cached = settings
    paths = [path for path, _ in stamps]
    parse = partial(_parse, paths, *read_by)
    if not cached:
        return parse()
    from dlproj.data.table_cache import parse_once

    return parse_once(parse, os.path.abspath(paths[0]), [files for _, files in stamps], *read_by)


def _parse(
    paths: Sequence[str],
    target: str,
    group_column: str | None,
    roles: tuple[tuple[str, ColumnRole], ...],
    learned: tuple[Missing, bool, int],
) -> Table:
    frame = read_table(paths[0], numbers=True)
    with naming(paths[0]):
        schema = schema_of(frame, target, dict(roles), group_column, *learned)
        values, targets = raw_rows(frame, schema), targets_of(frame, schema)
        groups = groups_of(frame, group_column) if group_column else None
    test: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
    if len(paths) > 1:
        other = read_table(paths[1], numbers=schema.reads_plain_numbers())
        with naming(paths[1]):
            test = raw_rows(other, schema), targets_of(other, schema)
    return Table(schema, values, targets, *test, _like_target(values, targets, schema), groups)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Have the message of a DataError begin with the name of the file."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def schema_of(
    frame: pd.DataFrame,
    target: str,
    chosen: dict[str, ColumnRole],
    group_column: str | None,
    missing: Missing,
    indicator: bool,
    rare_count: int,
) -> Schema:
    """The schema of a table of training rows. Raises DataError."""
    if not target:
        raise DataError(f"data.target is empty: set the column of classes, one of {_listed(frame.columns)}")
    check_there(frame, [target, *chosen, *([group_column] if group_column else [])])
    if target in chosen:
        raise DataError(f"data.columns names the target, {target}: leave it out there")
    classes = classes_of(frame[target])
    roles, dropped = dict[str, ColumnRole](), dict[str, str]()
    for name in frame.columns.drop(target):
        role, why = (chosen[name], "as data.columns says") if name in chosen else guess(frame[name])
        if name == group_column:
            dropped[name] = "data.group_column"
        elif role is ColumnRole.drop:
            dropped[name] = why
        else:
            roles[name] = role
    if not roles:
        reasons = "; ".join(f"{name}: {why}" for name, why in list(dropped.items())[:_NAMED])
        raise DataError(f"no column is left to learn from ({reasons or 'there are no others'}): set data.columns")
    numeric = tuple(name for name, role in roles.items() if role is ColumnRole.numeric)
    styles = {name: style for name in numeric if (style := numbers(frame[name])[1])}
    categories = {
        name: _kept(frame[name], rare_count) for name, role in roles.items() if role is ColumnRole.categorical
    }
    has_missing = tuple(name for name in (*numeric, *categories) if frame[name].isna().any())
    own = missing is Missing.median
    indicated = tuple(name for name in has_missing if indicator and not (own and name in categories))
    return Schema(target, classes, numeric, styles, categories, has_missing, own, indicated, dropped)


def _kept(column: pd.Series, rare_count: int) -> tuple[str, ...]:
    counts = Counter(names(column))
    return tuple(sorted(name for name, count in counts.items() if name is not None and count >= rare_count))


def check_there(frame: pd.DataFrame, wanted: Sequence[str]) -> None:
    """Raise DataError, naming the first column that is missing, or that is there twice."""
    if not frame.columns.is_unique:
        raise DataError(f"there are several columns {frame.columns[frame.columns.duplicated()][0]}: rename all but one")
    for name in wanted:
        if name not in frame.columns:
            alike = {str(column).lower(): column for column in frame.columns}
            near = get_close_matches(name.lower(), list(alike), n=1)
            hint = f"did you mean {alike[near[0]]}? " if near else ""
            single = "no delimiter was found; " if len(alike) == 1 and not next(iter(alike)).isidentifier() else ""
            raise DataError(f"there is no column {name}: {hint}{single}the columns are {_listed(frame.columns)}")


def _listed(columns: Sequence[str] | pd.Index) -> str:
    more = [f"… ({len(columns):,} in all)"] if len(columns) > 2 * _NAMED else []
    return ", ".join([*map(str, list(columns)[: 2 * _NAMED]), *more])


def targets_of(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """The index of each row's class (n,). Raises DataError for a class that the training rows have not."""
    check_there(frame, [schema.target])
    text = labels_of(frame[schema.target])
    codes = _codes(text, schema.classes)
    if (codes < 0).any():
        first = int(np.flatnonzero(codes < 0)[0])
        raise DataError(
            f"{where(frame, first)} has the class {one_line(text[first])}, which no training row has: "
            f"theirs are {_listed(schema.classes)}"
        )
    return codes


def _codes(text: np.ndarray, known: Sequence[str]) -> np.ndarray:
    """The index of each text among the known ones (n,), MISSING for None and OTHER for others."""
    places = {None: MISSING} | {name: i for i, name in enumerate(known)}
    return np.fromiter((places.get(name, OTHER) for name in text), np.int64, len(text))


def groups_of(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Codes (n,) of a column's values, one for each row. Raises DataError for a missing value."""
    check_there(frame, [column])
    text = names(frame[column])
    if len(missing := np.flatnonzero(pd.isna(text))):
        raise DataError(f"{where(frame, missing[0])} has no {column}, which data.group_column names: fill it in")
    return pd.factorize(text)[0].astype(np.int64)


def raw_rows(frame: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Values (n, columns): numbers or NaN, then indices of categories, MISSING or OTHER.

    float32 if that holds all of them as they are, else float64. Columns are found by name. Raises DataError for a
    missing column, and for what is no number.
    """
    check_there(frame, schema.columns())
    values = np.empty((len(frame), len(schema.columns())), np.float32)
    for i, name in enumerate(schema.columns()):
        if name in schema.categories:
            column: np.ndarray = _codes(names(frame[name]), schema.categories[name])
        else:
            column = numbers(frame[name], schema.styles.get(name, ""))[0]
        if values.dtype == np.float32 and not np.array_equal(column.astype(np.float32), column, equal_nan=True):
            values = np.hstack([values[:, :i], np.empty((len(values), values.shape[1] - i))])  # float64
        values[:, i] = column
    return values


def _like_target(values: np.ndarray, targets: np.ndarray, schema: Schema) -> tuple[str, ...]:
    """Columns with one value for each class, and of no two classes the same."""

    def is_copy(column: np.ndarray) -> bool:
        if len(np.unique(column)) != len(schema.classes):
            return False
        return len(np.unique(np.column_stack([column, targets]), axis=0)) == len(schema.classes)

    return tuple(name for name, column in zip(schema.columns(), values.T, strict=True) if is_copy(column))
