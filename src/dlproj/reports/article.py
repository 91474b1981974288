"""An article of text, figures and tables, written as one self-contained HTML file."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup
from matplotlib.figure import Figure

from dlproj import formats
from dlproj.config.whole_files import check_writable
from dlproj.reports.comparison_report import template
from dlproj.reports.comparison_table import as_csv
from dlproj.reports.style import png, svg
from dlproj.runs.manifest import OVERWRITE, foreign, refuse_foreign, write_files

_log = logging.getLogger(__name__)
Row = Mapping[str, str | float | None]


class Column(NamedTuple):
    """How people read a value of each row of a table; None is shown as a dash."""

    heading: str
    format: str | Callable[[Any], str] = ""  # a format specification, or a function of the value
    value: str | Callable[[Any], Any] = ""  # a key of the row, or a function of it; "": the heading as a key
    factor: float = 1  # by which the value is multiplied first: 1e3 shows seconds in milliseconds

    def key(self) -> str:
        """The row's key; "" where the value is a function of the row."""
        return "" if callable(self.value) else self.value or self.heading.replace(" ", "_")

    def cell(self, row: Mapping[str, Any]) -> str:
        """The row's value as text."""
        value = self.value(row) if callable(self.value) else row[self.key()]
        if value is None:
            return formats.NONE
        return self.format(value) if callable(self.format) else format(self.factor * value, self.format)


@dataclass(frozen=True, slots=True)
class Table:
    """A table with formatted cells for the page and unrounded rows for a CSV file; no file without a name."""

    columns: Sequence[str]
    cells: Sequence[Sequence[str]]
    name: str = ""  # of the CSV file, without suffix
    rows: Sequence[Row] = ()  # numbers unrounded, units in the keys
    links: Sequence[str] = ()  # target of the link in each row's first cell

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], columns: Iterable[Column], name: str = "") -> "Table":
        """A table of rows for programs, of which people see these columns."""
        columns = list(columns)
        cells = [tuple(column.cell(row) for column in columns) for row in rows]
        return cls(tuple(column.heading for column in columns), cells, name, rows)

    @classmethod
    def of_values(cls, values: Iterable[Iterable[Any]], columns: Sequence[Column], name: str = "") -> "Table":
        """A table of rows with a value for each column that has a key, in this order."""
        keys = [key for column in columns if (key := column.key())]
        return cls.of([dict(zip(keys, row, strict=True)) for row in values], columns, name)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a paragraph, figures by the name of their PNG file, and a table."""

    heading: str
    text: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Article:
    """The content of an article page."""

    name: str  # of the HTML file, without suffix
    title: str
    subtitle: str
    sections: Sequence[Section]
    introduction: Sequence[str] = ()  # paragraphs


def check_folder(name: str, folder: Path, overwrite: bool) -> None:
    """Raise ConfigurationError if the article `name` cannot be written to the folder."""
    check_writable(folder)
    if not overwrite:
        refuse_foreign(folder, [f"{name}.html"], OVERWRITE)


def write_article(article: Article, folder: Path, overwrite: bool = False) -> list[Path]:
    """Write the page, each figure as PNG and each table as CSV; returns the paths. Raises ConfigurationError.

    A figure or table that would overwrite a file that is not dlproj's is skipped with a warning; the page shows it.
    """
    files: dict[str, str | bytes] = {}
    for section in article.sections:
        files |= {f"{name}.png": png(figure) for name, figure in section.figures.items()}
        if section.table and section.table.name:
            files[f"{section.table.name}.csv"] = as_csv([dict(row) for row in section.table.rows])
    for path in [] if overwrite else foreign(folder, files):
        del files[path.name]
        _log.warning("%s was not written: one that dlproj did not write is there; --overwrite replaces it", path)
    files[f"{article.name}.html"] = as_html(article)  # last: drawn as SVG, a figure loses its background
    return write_files(folder, files, overwrite)


def as_html(article: Article) -> str:
    """The article as one HTML page, its figures drawn as SVG."""
    drawn = [
        [Markup(svg(figure, f"{section.heading}: {name}")) for name, figure in section.figures.items()]
        for section in article.sections
    ]
    return template("article.html").render(
        title=article.title, article=article, sections=list(zip(article.sections, drawn, strict=True))
    )
