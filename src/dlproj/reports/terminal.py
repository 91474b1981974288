"""Tables at a terminal or in a notebook, and the same separated by tabs for scripts."""

import os
import sys
from collections.abc import Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table

from dlproj import formats
from dlproj.config.checks import DISTANCE, one_line
from dlproj.loop_progress import is_notebook
from dlproj.reports.comparison_table import heading, shown
from dlproj.reports.reading import interval_words
from dlproj.runs.summary import RunResult


def show(result: RunResult) -> None:
    """Print the results of a completed run."""
    console = plain_console()
    title = one_line(" ".join([result.name, *result.overrides]))
    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in rows(result):
        table.add_row(label, one_line(value))
    console.print(title, soft_wrap=True)  # as the table's title it would be folded to its width
    console.print(table)


def plain_console() -> Console:
    """A console that prints text as it is, without markup: names can contain [x], :smile: and numbers.

    Without a terminal, lines are never folded or cut.
    """
    here = is_notebook()
    colors: Literal["auto"] | None = None if here else "auto"  # a notebook's file keeps no ANSI codes
    console = Console(markup=False, emoji=False, highlight=False, color_system=colors, force_jupyter=here)
    if not sys.stdout.isatty():
        console.width = _NO_END  # a notebook has a bar to scroll
    return console


def rows(result: RunResult) -> list[tuple[str, str]]:
    """Label and value of each line of the results, accuracies in percent."""
    metrics = result.metrics
    best = (
        f"{result.best_epoch} by {result.monitor}" if result.best_epoch else f"none: {result.monitor} was never finite"
    )
    reported = [("reported", formats.reported(result.reference))] if result.reference else []
    tested = [
        ("test accuracy", f"{metrics['test/accuracy']:.2%} ({result.weights_words()})"),
        *([("95% interval", interval)] if (interval := interval_words(result)) else []),
        *reported,
        ("test loss", f"{metrics['test/loss']:.4f}"),
    ]
    far = result.reference_distance
    return [
        *(tested if "test/accuracy" in metrics else []),
        *([(heading(DISTANCE), shown(DISTANCE, far))] if far is not None else []),
        ("best epoch", best),
        ("last epoch", f"{result.last_epoch}"),
        ("stopped", result.stop_reason),
        ("time", f"{result.seconds:.1f} s, {result.samples_per_second:,.0f} samples/s"),
        ("parameters", f"{result.parameters:,}"),
        ("folder", os.path.relpath(result.folder)),
    ]


_NO_END = 100_000  # columns
_SHORT = 20  # characters up to which a column is not folded; longer ones are folded, never cut
_LEAST = 10  # characters that a folded column needs


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table: ruled in a notebook or a terminal that is wide enough, else a line per row, separated by tabs.

    The title is printed with the ruled table only.
    """
    table, console = Table(), plain_console()
    cells = zip(columns, *rows, strict=True)
    widths = [max(len(line) for cell in column for line in cell.split("\n")) for column in cells]
    least = 1 + sum(3 + (width if width <= _SHORT else _LEAST) for width in widths)
    if not (is_notebook() or sys.stdout.isatty()) or console.width < least:
        for row in [columns, *rows]:
            print(*(one_line(" ".join(cell.split())) for cell in row), sep="\t")
        return
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column, no_wrap=width <= _SHORT, overflow="fold")
    for row in rows:
        table.add_row(*map(one_line, row))
    if title:
        console.print(one_line(title), soft_wrap=True)
    console.print(table)
