"""What a sweep came to: the comparison of its runs, and the best one's command."""

import logging
import os
from pathlib import Path

from dlproj import formats
from dlproj.config.checks import DataError, UserError, one_line
from dlproj.reports.comparison_report import write_report
from dlproj.reports.comparison_table import best, heading, same_runs, score_column, shown, table
from dlproj.reports.terminal import print_table
from dlproj.runs.comparison import compare
from dlproj.runs.record import find_runs
from dlproj.sweeps.search import Found, Search

_log = logging.getLogger(__name__)
_OUTCOME = ("test/accuracy", "tested_epoch", "last_epoch", "seconds")


def tell_study(search: Search) -> None:
    """Print what of the study the comparison of this folder's runs cannot say. Raises UserError without any value.

    That is: why no trial ran, the runs that no other beats in several objectives, and a best one of another folder.
    """
    if not search.asked:
        print(_has_its_trials(search))
    front, names = search.front(), search.config.objectives
    if len(names) > 1:
        print(f"runs that no other beats in {' and '.join(names)}:")
        for one in front:
            print(f"  {one.run}: {_in_words(search, one)}")
    elif not front[0].here:
        words = f"best of the study: {_in_words(search, front[0])}, {front[0].run}"
        print(f"{one_line(words)}\n  {one_line(front[0].command)}")


def _has_its_trials(search: Search) -> str:
    states = search.states()
    count = sum(states.values())
    words = ", ".join(f"{number} {state}" for state, number in states.items())
    has = f"no trial ran: the study {search.template.study} has its {count} trial{'s' * (count > 1)} ({words})"
    way = "let it choose from more" if count < search.config.trials else f"set hydra.sweeper.trials above {count}"
    return f"{has}; to go on, {way}"


def _in_words(search: Search, found: Found) -> str:
    pairs = zip(search.config.objectives, found.values, strict=True)
    return ", ".join(f"{name} {formats.quantity(name, value)}" for name, value in pairs)


def conclude(folder: Path) -> None:
    """Write report.html, .csv and .md into the sweep's folder; print the table of its runs, and the best of them."""
    try:
        runs, damaged = find_runs([folder])
    except DataError:  # every job was refused, which has been said
        return
    if not runs:
        return
    comparison = compare(runs)
    columns = dict.fromkeys(["run", *comparison.varied, "status", score_column(comparison), *_OUTCOME])
    cells = [[shown(key, row.get(key)) for key in columns] for row in table(comparison)]
    print_table([heading(key) for key in columns], cells)
    if note := same_runs(comparison):
        print(note)
    if found := best(comparison):
        print(f"best: {found.words}\n  {one_line(found.command)}")
    else:
        print(f"no run is the best: none has come to its end with a finite {comparison.chooses}")
    try:
        print(one_line(os.path.relpath(write_report(runs, damaged, folder / "report.html")[0])))
    except UserError as error:  # which costs no run
        _log.warning("the report was not written: %s", error)
