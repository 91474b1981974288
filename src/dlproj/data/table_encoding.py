"""What the training rows of a table teach: fillings, scalings and rare categories, applied to any rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, starmap
from typing import Any

import numpy as np

from dlproj.config.table import Missing, TableConfig, TableScaling
from dlproj.data.table_rows import MISSING, Schema, described

_ROWS, _COLUMNS = 128, 8  # that are handled at once, in float64
_QUANTILES = 1000
_MOST_ROWS = 100_000  # from which quantiles are taken


@dataclass(slots=True)
class Encoder:
    """Turns raw rows of dlproj.data.table_rows into stored ones.

    A stored row, float32, has the scaled numbers, then the indicators of missing values, then for each categorical
    column the index of its input among all one-hot inputs; the index after the last one stands for none.
    """

    schema: Schema
    scaling: str
    fill: list[float]  # (numeric,): what stands in for a missing number
    shift: list[float]  # (numeric,): x ↦ (x − shift) / scale
    scale: list[float]
    quantiles: list[list[float]]  # (quantiles, numeric), if they scale
    inputs: list[list[int]]  # of each categorical column: the input of MISSING, of OTHER, and of each category
    indicates: list[bool]  # (indicated columns,): whether a training row had no value

    @classmethod
    def fit(cls, rows: np.ndarray, schema: Schema, config: TableConfig) -> "Encoder":
        """Learn from the raw training rows (n, columns)."""
        encoder = cls(schema, config.scaling.name, [], [], [], [], [], [])
        for part in _row_blocks(rows):
            absent = encoder._missing(part).any(axis=0)
            encoder.indicates = np.logical_or(absent, encoder.indicates or False).tolist()
        count = len(schema.numeric)
        for columns in _column_blocks(count):
            encoder._fit_numbers(rows[:, columns], config)
        first = 0
        for codes, size, column in zip(rows[:, count:].T, schema.sizes(), schema.categories, strict=True):
            encoder.inputs.append(_inputs(codes, size, first, column, schema, config.rare_count))
            first += size
        return encoder

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Encoder":
        """The encoder of what asdict() made of one. Raises ValueError, KeyError or TypeError for a damaged one."""
        schema = Schema(**state["schema"])
        encoder = cls(**state | {"schema": schema})
        lengths = [len(encoder.fill), len(encoder.shift), len(encoder.scale), *map(len, encoder.quantiles)]
        known = [len(names) + 2 for names in schema.categories.values()]
        ids = [i for inputs in encoder.inputs for i in inputs]
        inside = all(0 <= i <= sum(schema.sizes()) for i in ids) and len(encoder.indicates) == len(schema.indicated)
        if {*lengths} - {len(schema.numeric)} or [*map(len, encoder.inputs)] != known or not inside:
            raise ValueError("the encoder does not fit the columns")
        return encoder

    def _fit_numbers(self, values: np.ndarray, config: TableConfig) -> None:
        """Learn from further columns (n, columns)."""
        fill = [_middle(column, config.missing) for column in np.ascontiguousarray(values.T)]
        values = values.astype(np.float64)
        np.copyto(values, np.array(fill), where=np.isnan(values))
        shift, scale = [0.0] * len(fill), [1.0] * len(fill)
        if config.scaling in (TableScaling.quantile_normal, TableScaling.quantile_uniform):
            from sklearn.preprocessing import QuantileTransformer

            count = min(_QUANTILES, len(values))
            fitted = QuantileTransformer(n_quantiles=count, subsample=_MOST_ROWS, random_state=0).fit(values)
            known = self.quantiles or [[] for _ in range(count)]
            self.quantiles = [before + row for before, row in zip(known, fitted.quantiles_.tolist(), strict=True)]
        elif config.scaling is TableScaling.min_max:
            shift, scale = values.min(0).tolist(), _positive(np.ptp(values, axis=0))
        elif config.scaling is TableScaling.standardize:
            shift, scale = values.mean(0).tolist(), _positive(values.std(0))
        self.fill, self.shift, self.scale = self.fill + fill, self.shift + shift, self.scale + scale

    def _missing(self, rows: np.ndarray) -> np.ndarray:
        """Whether each indicated column of raw rows has no value, (n, indicated)."""
        columns = self.schema.columns()
        marked = np.array([columns.index(name) for name in self.schema.indicated], int)
        return np.isnan(rows[:, marked]) | ((rows[:, marked] == MISSING) & (marked >= len(self.schema.numeric)))

    def _transformer(self) -> Any:
        """scikit-learn's transformer with the quantiles learned."""
        from sklearn.preprocessing import QuantileTransformer

        output = "normal" if self.scaling == TableScaling.quantile_normal.name else "uniform"
        fitted = QuantileTransformer(n_quantiles=len(self.quantiles), output_distribution=output)
        fitted.quantiles_ = np.array(self.quantiles)
        fitted.n_quantiles_, fitted.n_features_in_ = fitted.quantiles_.shape
        fitted.references_ = np.linspace(0, 1, fitted.n_quantiles_)
        return fitted

    def width(self) -> int:
        """The number of values of a stored row."""
        return len(self.schema.numeric) + len(self.schema.indicated) + len(self.inputs)

    def encode(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Stored rows (n, inputs), float32, of raw ones (n, columns); written to out, if given."""
        stored = np.empty((len(rows), self.width()), np.float32) if out is None else out
        transformer = self._transformer() if self.quantiles else None
        for target, part in zip(_row_blocks(stored), _row_blocks(rows), strict=True):
            self._encode_into(target, part, transformer)
        return stored

    def _encode_into(self, stored: np.ndarray, rows: np.ndarray, transformer: Any) -> None:
        count, indicated = len(self.schema.numeric), len(self.schema.indicated)
        numbers = rows[:, :count].astype(np.float64)
        np.copyto(numbers, np.array(self.fill), where=np.isnan(numbers))
        scaled = transformer.transform(numbers) if transformer else (numbers - self.shift) / self.scale
        largest = np.finfo(np.float32).max
        stored[:, :count] = np.clip(scaled, -largest, largest)
        stored[:, count : count + indicated] = self._missing(rows) & np.array(self.indicates, bool)
        codes = rows[:, count:].astype(int) - MISSING
        for i, (inputs, code) in enumerate(zip(self.inputs, codes.T, strict=True), count + indicated):
            stored[:, i] = np.array(inputs)[code]

    def described(self, stored: np.ndarray) -> dict[str, str]:
        """A stored row (inputs,) as people read it: a text for each column."""
        count, schema = len(self.schema.numeric), self.schema
        scaled = stored[:count].astype(float)
        raw = (
            self._transformer().inverse_transform(scaled[None])[0]
            if self.quantiles
            else scaled * self.scale + self.shift
        )
        largest = np.abs(self.quantiles or [self.shift]).max(0)
        raw[np.abs(raw) < 1e-7 * largest] = 0  # float32 keeps no more digits
        labels = [label for column in schema.categories for label in schema.labels(column)] + ["(other)"]
        texts = {name: described(value) for name, value in zip(schema.numeric, raw, strict=True)}
        ids = stored[count + len(schema.indicated) :].astype(int)
        texts |= {name: labels[i] for name, i in zip(schema.categories, ids, strict=True)}
        missing = {name for name, mark in zip(schema.indicated, stored[count:], strict=False) if mark}
        return {name: "(missing)" if name in missing else text for name, text in texts.items()}


def _row_blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    return (rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS))


def _column_blocks(count: int) -> Iterator[slice]:
    """Parts of the columns, none of a single one beside others: NumPy sums that in another order."""
    bounds = [start for start in range(0, count, _COLUMNS) if start == 0 or start < count - 1]
    return starmap(slice, pairwise([*bounds, count]))


def _positive(scale: np.ndarray) -> list[float]:
    return np.where(scale > 0, scale, 1.0).tolist()


def _middle(column: np.ndarray, missing: Missing) -> float:
    present = column[~np.isnan(column)]
    if not len(present):
        return 0.0
    if missing is Missing.median:
        middle = np.sort(present)[[(len(present) - 1) // 2, len(present) // 2]]  # faster than np.median()
        return float(middle.mean(dtype=np.float64))
    values, counts = np.unique(present, return_counts=True)
    return float(values[counts.argmax()])


def _inputs(codes: np.ndarray, size: int, first: int, column: str, schema: Schema, rare_count: int) -> list[int]:
    """The input of MISSING, of OTHER and of each category; rare ones share that of OTHER, if training rows have it."""
    known, none = len(schema.categories[column]), sum(schema.sizes())
    counts = np.bincount(codes.astype(int) - MISSING, minlength=known + 2)
    own_missing = size > known + 1
    places = [first + known, first + size - 1, *range(first, first + known)]
    common = counts >= rare_count
    common[0] &= own_missing
    others = ~common
    others[:2] = own_missing and others[0], True
    other = places[1] if counts[others].sum() else none
    inputs = [place if is_common else other for place, is_common in zip(places, common, strict=True)]
    inputs[1] = other
    if not schema.own_category:
        inputs[0] = inputs[2 + int(counts[2:].argmax())] if known else other
    return inputs
