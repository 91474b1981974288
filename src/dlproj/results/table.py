"""Tables for people at a terminal, and the same, parted by tabs, for scripts."""

import os
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dlproj.results import formats
from dlproj.results.summary import RunResult


def show(result: RunResult) -> None:
    """Print what a completed run came to."""
    table = Table(show_header=False, title=escape(" ".join([result.name, *result.overrides])), title_justify="left")
    for label, value in rows(result):
        table.add_row(label, value)
    Console(soft_wrap=True).print(table)


def rows(result: RunResult) -> list[tuple[str, str]]:
    """Label and value of each line; accuracies in percent."""
    metrics = result.metrics
    best = (
        f"{result.best_epoch} by {result.monitor}" if result.best_epoch else f"none: {result.monitor} was never finite"
    )
    reported = [("reported", formats.reported(result.reference))] if result.reference else []
    tested = [
        ("test accuracy", f"{metrics['test/accuracy']:.2%} ({result.tested_weights} weights)"),
        *reported,
        ("test loss", f"{metrics['test/loss']:.4f}"),
    ]
    return [
        *(tested if "test/accuracy" in metrics else []),
        ("best epoch", best),
        ("last epoch", f"{result.last_epoch}"),
        ("stopped", result.stop_reason),
        ("time", f"{result.seconds:.1f} s, {result.samples_per_second:,.0f} samples/s"),
        ("parameters", f"{result.parameters:,}"),
        ("folder", os.path.relpath(result.folder)),
    ]


_SHORT = 20  # characters that stay in one line where the terminal is narrow; what is longer is folded, never cut


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table: ruled at a terminal, else a line a row with tabs between, without the title."""
    if not sys.stdout.isatty():
        for row in [columns, *rows]:
            print(*(" ".join(cell.split()) for cell in row), sep="\t")  # noqa: T201
        return
    table, console = Table(title=escape(title) or None, title_justify="left"), Console()
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    room = console.width - sum(width + 3 for width in widths if width <= _SHORT) - 1 > 0
    for column, width in zip(columns, widths, strict=True):
        table.add_column(column, no_wrap=room and width <= _SHORT, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))  # a class folder may be called [red]
    console.print(table)
