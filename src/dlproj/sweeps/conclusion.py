"""What a sweep came to: the comparison of its runs, and the best one's command."""

import logging
import os
from pathlib import Path

from dlproj.results import formats
from dlproj.results.comparison import best, compare, heading, shown, table
from dlproj.results.record import find_runs
from dlproj.results.report import write_report
from dlproj.results.table import print_table
from dlproj.settings import DataError, UserError
from dlproj.sweeps.search import Search

_log = logging.getLogger(__name__)
_OUTCOME = ("status", "val/accuracy best", "test/accuracy", "last_epoch", "seconds")


def tell_front(search: Search) -> None:
    """Print the runs that no other beats in several objectives. Raises UserError if no trial came to a value."""
    front, names = search.front(), search.config.objectives
    if len(names) > 1:
        print(f"runs that no other beats in {' and '.join(names)}:")  # noqa: T201
        for run, values in front:
            words = (f"{name} {formats.quantity(name, value)}" for name, value in zip(names, values, strict=True))
            print(f"  {run}: {', '.join(words)}")  # noqa: T201


def conclude(folder: Path) -> None:
    """Write report.html, .csv and .md into the sweep's folder; print the table of its runs, and the best of them."""
    try:
        runs, damaged = find_runs([folder])
    except DataError:  # every job was refused, which has been said
        return
    if not runs:
        return
    comparison = compare(runs)
    columns = ["run", *comparison.varied, *_OUTCOME]
    cells = [[shown(key, row.get(key)) for key in columns] for row in table(comparison)]
    print_table([heading(key) for key in columns], cells)
    if found := best(comparison):
        print(f"best: {found.words}\n  {found.command}")  # noqa: T201
    try:
        print(os.path.relpath(write_report(runs, damaged, folder / "report.html")[0]))  # noqa: T201
    except UserError as error:  # which costs no run
        _log.warning("the report was not written: %s", error)
