"""What a sweep shows while it runs: at a terminal a table that changes, else a line for each run that ends."""

import sys
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dlproj import formats
from dlproj.config.checks import UserError, one_line
from dlproj.reports.terminal import plain_console
from dlproj.runs.record import read_epochs
from dlproj.sweeps.jobs import SweepJob

_METRIC = "val/accuracy"


class View:
    """A context, within which the runs of a sweep are shown. total: how many there will be."""

    def __init__(self, total: int) -> None:
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
        """Show it among those that run."""
        self.running.append(job)
        self.tick()

    def ended(self, job: SweepJob) -> None:
        """Say what came of it; that it failed at once, whatever is shown."""
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
        """Show how far the runs have come."""
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
