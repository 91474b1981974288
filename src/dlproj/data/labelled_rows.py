"""Labelled texts from the rows of a table, checked. Imports no torch."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dlproj.config.checks import DataError, one_line
from dlproj.data.data_files import Stamp, stamp

_NAMED = 10  # columns or classes that a message names
_NO_TEXT = re.compile("[\0\ud800-\udfff]")  # null characters and lone surrogates


class LabelledRows(NamedTuple):
    """Texts and labels of one set, with what messages call it and the number of each row in its file."""

    name: str
    texts: list[str]
    labels: list[str]
    numbers: Sequence[int]

    def targets(self, classes: Sequence[str]) -> list[int]:
        """Index of each label in the classes. Raises DataError, naming the row of another label."""
        index = {label: i for i, label in enumerate(classes)}
        for number, label in zip(self.numbers, self.labels, strict=True):
            if label not in index:
                named = ", ".join(classes[:_NAMED])
                raise DataError(f"{self.name}: row {number} has the label {label}, the classes are {named}: change it")
        return [index[label] for label in self.labels]

    def digest(self) -> str:
        """A hash of texts and labels in their order."""
        digest = hashlib.sha256()
        for pair in zip(self.texts, self.labels, strict=True):
            for part in pair:
                digest.update(f"{len(part)} {part}".encode())
        return digest.hexdigest()


def read_rows(path: Path, text_column: str, label_column: str) -> LabelledRows:
    """Read a table file's texts and labels. Raises DataError, naming the file and the row or the columns."""
    return _read_rows(path, stamp(path), text_column, label_column)


@lru_cache(maxsize=2)  # the settings read the classes of the table, then the data module its rows
def _read_rows(path: Path, version: Stamp, text_column: str, label_column: str) -> LabelledRows:
    from dlproj.data.table_files import read_table

    table = read_table(path, missing_words=False)
    for setting, column in (("text_column", text_column), ("label_column", label_column)):
        if column not in table.columns:
            have = ", ".join(map(str, table.columns[:_NAMED]))
            raise DataError(f"{path} has no column {column}, but {have}: set data.{setting} to one of them")
    return labelled_rows(str(path), table[text_column], table[label_column], list(table.index))


def labelled_rows(name: str, texts: Iterable[Any], labels: Iterable[Any], numbers: Sequence[int]) -> LabelledRows:
    """Check texts and labels, which are text or numbers. Raises DataError, naming the first row with a problem."""
    rows = LabelledRows(name, [], [], numbers)
    for number, text, label in zip(numbers, texts, labels, strict=True):
        if problem := _problem(text, "text") or _problem(label, "label"):
            raise DataError(f"{name}: row {number} {problem}")
        rows.texts.append(str(text))
        rows.labels.append(_written(label))
    return rows


def texts_of(column: Iterable[Any], numbers: Sequence[int]) -> list[str]:
    """Check texts without labels. Raises DataError, naming the first row with a problem."""
    texts = list(column)
    for number, text in zip(numbers, texts, strict=True):
        if problem := _problem(text, "text"):
            raise DataError(f"row {number} {problem}")
    return [str(text) for text in texts]


def _problem(value: Any, what: str) -> str:
    """What is wrong with a cell, and what to do, or ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or not str(value).strip():
        return f"has no {what}: fill it in, or remove the row"
    if isinstance(value, bytes | list | dict | np.ndarray):
        return f"holds {type(value).__name__} as {what}: name another column"
    written = str(value)
    if _NO_TEXT.search(written):
        return f"holds characters that are no text in its {what}: correct it, or remove the row"
    if what == "label" and one_line(written) != written:
        return f"has the label {written!a}, which cannot be written on a page: rename it"
    return ""


def _written(label: Any) -> str:
    """A label as text: 1.0, which a column of whole numbers becomes if one is missing, is 1."""
    is_whole = isinstance(label, float) and label.is_integer()
    return str(int(label)) if is_whole else str(label).strip()


def classes_of(name: str, labels: Iterable[str]) -> tuple[str, ...]:
    """The labels: whole numbers in their order, names by the alphabet. Raises DataError for one class only.

    name: what messages call the data.
    """
    counts = Counter(labels)
    numbers = all(re.fullmatch(r"-?[0-9]{1,18}", label) for label in counts)
    classes = sorted(counts, key=lambda label: (int(label) if numbers else 0, label))
    if len(classes) < 2:
        raise DataError(f"{name} has one class only, {classes[0]}: add rows of another")
    if len(classes) == counts.total() > _NAMED:
        raise DataError(f"{name} has another label in each row: set data.label_column to that of the classes")
    return tuple(classes)
