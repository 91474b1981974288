"""Settings of tables: rows of numbers and categories from CSV, Parquet, Arrow or Excel files."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar

from dlproj.config.checks import one_of, require
from dlproj.config.data import DataConfig, DataSpec, Kind
from dlproj.config.fields import Choice, setting
from dlproj.config.images import Caching
from dlproj.config.tabular import TableFiles

if TYPE_CHECKING:
    from dlproj.data.table import TableDataModule
    from dlproj.data.table_rows import Table


class ColumnRole(Choice):
    """What a column of a table is read as."""

    numeric = "numeric", "numbers"
    categorical = "categorical", "categories"
    drop = "drop", "left out"


class Missing(Choice):
    """What stands in for a missing value; learned from the training rows."""

    median = "median", "of numbers their median; of categories a category of its own"
    most_frequent = "most_frequent", "the most frequent value"


class TableScaling(Choice):
    """How numbers are scaled for the model; fitted to the training rows, for each column by itself."""

    none = "none", "unchanged"
    min_max = "min_max", "the smallest value becomes 0, the largest 1"
    standardize = "standardize", "mean 0 and standard deviation 1"
    quantile_normal = "quantile_normal", "by rank, to a normal distribution: outliers come near"
    quantile_uniform = "quantile_uniform", "by rank, to [0, 1]"


_PLAIN = re.compile(r"[A-Za-z_]([\w /.-]*\w)?", re.ASCII)  # names that can be keys on the command line


def columns_typed(roles: Mapping[str, Any]) -> dict[str, Any]:
    """Roles by column as the command line can hold them: names that it cannot have as keys are listed by role."""
    if all(map(_PLAIN.fullmatch, roles)):
        return dict(roles)
    by_role = dict[str, Any]()
    for name, role in roles.items():
        by_role.setdefault(str(role), []).append(name)
    return by_role


def columns_setting(name: str, role: ColumnRole) -> str:
    """How people set the role of a column: `data.columns={x: drop}`, or `'data.columns={drop: ["Größe"]}'`."""
    if name.isascii() and name.isidentifier():
        return f"data.columns={{{name}: {role.name}}}"
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return quote(f'data.columns={{{role.name}: ["{escaped}"]}}')


def _by_column(columns: Mapping[str, Any]) -> dict[str, Any]:
    found = dict[str, Any]()
    for name, value in columns.items():
        found |= dict.fromkeys(map(str, value), name) if isinstance(value, list | tuple) else {name: value}
    return found


TEST_FRACTION = 0.2  # of a table without a test file, unless folds are set


@dataclass(slots=True)
class TableConfig(TableFiles, DataConfig):
    """Settings of a table with named columns: one of them is the target, the others are read by their role."""

    read_alone: ClassVar[Mapping[str, Any]] = {**TableFiles.read_alone, "group_column": None}

    target: str = setting("", "column that holds the classes")
    group_column: str | None = setting(
        None, "column whose equal values stay together when folds are made, such as a patient; it is left out"
    )
    columns: dict[str, Any] = setting(
        dict,
        "roles of columns, numeric, categorical or drop: {zip: categorical} or {drop: ['a name', b]}; others: guessed",
    )
    missing: Missing = setting(Missing.median, "what stands in for missing values")
    missing_indicator: bool = setting(True, "add an input that is 1 where a column's value was missing, else 0")
    scaling: TableScaling = setting(TableScaling.standardize, "how numbers are scaled for the model")
    rare_count: int = setting(
        2, "categories with fewer training rows are grouped as one, which unseen categories belong to", "[1, inf)"
    )
    cache: Caching = setting(Caching.auto, "keep the parsed table in a memory-mapped file")

    def __post_init__(self) -> None:
        DataConfig.__post_init__(self)  # slots=True makes a new class, which super() would not find
        self.columns = _by_column(self.columns)
        for name, role in self.columns.items():
            one_of(f"data.columns.{name}", str(role), tuple(ColumnRole.__members__))
        self.check_files()
        message = "data.group_column is the target, whose classes would not be in all splits: set another column"
        require(self.group_column is None or self.group_column != self.target, message)
        if self.test_fraction is None and self.folds is None and not self.test_file:
            self.test_fraction = TEST_FRACTION

    def roles(self) -> dict[str, ColumnRole]:
        """The roles that are set, by column."""
        return {name: ColumnRole[str(role)] for name, role in self.columns.items()}

    def table(self) -> "Table":
        """The rows, read and checked. Raises DataError."""
        from dlproj.data.table_rows import read_rows

        return read_rows(self)

    def spec(self) -> DataSpec:
        """Numbers, indicators of missing ones and one-hot categories. Raises DataError."""
        self.check_test_set(bool(self.test_file))
        return self.table().schema.spec()

    def spec_like(self, trained: DataSpec) -> DataSpec:
        """As a model reads it that was trained on another table: the checkpoint says which columns."""
        return trained if trained.kind is Kind.features else self.spec()

    def build(self, seed: int) -> "TableDataModule":
        from dlproj.data.table import TableDataModule

        return TableDataModule(self, seed)
