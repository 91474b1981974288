"""What a sweep prints: while it runs a live table or a line for each run, at its end the comparison and the best."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dlproj import formats
from dlproj.config.checks import DataError, UserError, one_line
from dlproj.reports.comparison_table import best, heading, same_runs, score_column, shown, table
from dlproj.reports.out_of_fold import out_of_fold
from dlproj.reports.terminal import plain_console, print_table
from dlproj.runs.comparison import Comparison, compare
from dlproj.runs.record import Run, find_runs, read_epochs
from dlproj.sweeps.jobs import SweepJob
from dlproj.trackers.live import Sender
from dlproj.trackers.sending import trackers_of

if TYPE_CHECKING:
    from dlproj.sweeps.search import BestTrial, Search

_log = logging.getLogger(__name__)
_OUTCOME = ("test/accuracy", "tested_epoch", "last_epoch", "seconds")
_METRIC = "val/accuracy"


class View:
    """A context that shows the runs of a sweep: at a terminal a table that changes, else a line for each that ends."""

    def __init__(self, total: int) -> None:
        """total: how many runs there will be."""
        self.total = total
        self.finished: list[SweepJob] = []
        self.running: list[SweepJob] = []
        # Without rich's thread, which a fork would not have.
        self._console = plain_console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if sys.stdout.isatty() else None

    def __enter__(self) -> "View":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._live:
            self._live.stop()

    def started(self, job: SweepJob) -> None:
        """Show the job as running."""
        self.running.append(job)
        self.tick()

    def ended(self, job: SweepJob) -> None:
        """Show the outcome of the job; a failure is printed to standard error at once."""
        if job in self.running:
            self.running.remove(job)
        self.finished.append(job)
        if job.reason:
            print(one_line(f"error: job {job.folder.name} ({job.label}): {job.reason}"), file=sys.stderr)
        elif self._live is None:
            words = f"{job.folder.name} {job.label}: {_outcome(job)}"
            print(f"[{len(self.finished)}/{self.total}] {one_line(words)}", flush=True)
        self.tick()

    def tick(self) -> None:
        """Refresh the table, if there is one, with the epochs that the runs have reached."""
        if self._live:
            self._live.update(self._table(), refresh=True)

    def _table(self) -> Group:
        table = Table("run", "settings", "state", box=None, pad_edge=False, header_style="dim")
        room = max(3, self._console.height - len(self.running) - 6)
        for job in self.finished[-room:]:
            table.add_row(*_cells(job, _outcome(job)), style="dim")
        for job in self.running:
            table.add_row(*_cells(job, _progress(job)))
        waiting = self.total - len(self.finished) - len(self.running)
        failed = sum(bool(job.reason) for job in self.finished)
        counts = f"{len(self.finished) - failed} done, {failed} failed, {len(self.running)} running, {waiting} waiting"
        return Group(table, Text(counts, style="bold"))


def _cells(job: SweepJob, state: str) -> list[Text]:
    return [Text(one_line(cell), overflow="fold") for cell in (job.folder.name, job.label, state)]


def _outcome(job: SweepJob) -> str:
    if job.run is None:
        return f"failed: {job.reason}"
    result = job.run.result
    if result.status == "pruned":
        assert job.config is not None
        metric = job.config.sweep.trial.monitor  # what the search saw
        value = job.run.epochs.get(result.last_epoch, {}).get(metric)
        return f"{result.stop_reason}, {metric} {formats.metric(metric, value)}"
    if result.status == "diverged":
        return result.stop_reason.partition(":")[0]
    kept = ", done before" if job.kept else ""
    accuracy = formats.metric("test/accuracy", result.metrics.get("test/accuracy"))
    return f"test accuracy {accuracy} in {formats.duration(result.seconds)}{kept}"


def _progress(job: SweepJob) -> str:
    assert job.config is not None
    try:
        epochs = read_epochs(job.folder)
    except UserError:
        epochs = {}
    last = max(epochs, default=0)
    metric = f", {_METRIC} {formats.metric(_METRIC, epochs[last].get(_METRIC))}" if last else ""
    return f"epoch {last}/{job.config.trainer.max_epochs}{metric}"


def conclude(folder: Path) -> None:
    """Write report.html, .csv and .md into the sweep's folder; print the table of its runs, and the best of them."""
    from dlproj.reports.comparison_report import write_report

    try:
        runs, damaged = find_runs([folder])
    except DataError:  # every job was refused, which has been said
        return
    if not runs:
        return
    comparison = compare(runs)
    _print_runs(comparison)
    if note := same_runs(comparison):
        print(note)
    for part in out_of_fold(comparison):
        print(one_line(part.words()))
    if found := best(comparison):
        print(f"best: {found.words}\n  {one_line(found.command)}")
    else:
        print(f"no run is the best: none has come to its end with a finite {comparison.chooses}")
    try:
        print(one_line(os.path.relpath(write_report(runs, damaged, folder / "report.html")[0])))
    except UserError as error:  # which costs no run
        _log.warning("the report was not written: %s", error)
    _tell_trackers(folder, runs[0])


def _tell_trackers(folder: Path, run: Run) -> None:
    """Send the report to the trackers that have the runs; the first run says which."""
    for tracker, options in trackers_of(run.settings):
        try:
            Sender(tracker, options, folder).end()
        except UserError as error:
            _log.warning("%s does not have the sweep's report: %s", tracker, error)


def _print_runs(comparison: Comparison) -> None:
    columns = dict.fromkeys(["run", *comparison.varied, "status", score_column(comparison), *_OUTCOME])
    cells = [[shown(key, row.get(key)) for key in columns] for row in table(comparison)]
    print_table([heading(key) for key in columns], cells)


def tell_study(search: "Search") -> None:
    """Print what the comparison of this folder's runs cannot say of the study. Raises UserError without any value.

    That is: why no trial ran; with several objectives, the trials that no other beats; a best trial of another folder.
    """
    if not search.asked:
        print(_has_its_trials(search))
    best, names = search.best_trials(), search.config.objectives
    if len(names) > 1:
        print(f"runs that no other beats in {' and '.join(names)}:")
        for trial in best:
            print(f"  {trial.run}: {_values(search, trial)}")
    elif not best[0].here:
        words = f"best of the study: {_values(search, best[0])}, {best[0].run}"
        print(f"{one_line(words)}\n  {one_line(best[0].command)}")


def _has_its_trials(search: "Search") -> str:
    states = search.states()
    count = sum(states.values())
    words = ", ".join(f"{number} {state}" for state, number in states.items())
    has = f"no trial ran: the study {search.template.study} has its {count} trial{'s' * (count > 1)} ({words})"
    way = "let it choose from more" if count < search.config.trials else f"set hydra.sweeper.trials above {count}"
    return f"{has}; to go on, {way}"


def _values(search: "Search", trial: "BestTrial") -> str:
    pairs = zip(search.config.objectives, trial.values, strict=True)
    return ", ".join(f"{name} {formats.quantity(name, value)}" for name, value in pairs)
