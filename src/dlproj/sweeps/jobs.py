"""A job: one run in a process of its own, from when it is asked for to what came of it."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlproj.config.checks import UserError
from dlproj.config.root import Config
from dlproj.runs.fingerprint import completed, config_fingerprint
from dlproj.runs.record import Run, read_result


@dataclass(slots=True, eq=False)
class Job:
    """A function that trains a run, called in a process of its own."""

    function: Callable[[], object]
    folder: Path  # of the run

    @property
    def log(self) -> Path:
        """The file that receives what the process prints, beside the run's folder."""
        return self.folder.with_name(f"{self.folder.name}.log")

    def why_it_died(self, exit_code: int) -> str:
        """The signal that killed it, the reason in its summary, or the error that it printed last."""
        if exit_code < 0:
            return f"killed by {signal.Signals(-exit_code).name}"
        try:
            result = read_result(self.folder)
            if result.status == "failed" or (result.status == "interrupted" and exit_code in (130, 143)):
                return result.stop_reason.splitlines()[0]
        except UserError:
            pass
        return self._last_line().removeprefix("error: ") or f"exit code {exit_code}"

    def _last_line(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return next((line for line in reversed(lines) if line.strip()), "")


@dataclass(slots=True, eq=False)
class SweepJob(Job):
    """A job of a sweep; one whose settings were refused has no config, and never starts."""

    label: str  # the settings that tell it from the others, as typed
    config: Config | None
    trial: Any = None  # of a search: Optuna's
    reason: str = ""  # why it was refused or failed
    run: Run | None = None  # once it has completed
    kept: bool = False  # whether an earlier start had completed it

    def find_run(self) -> None:
        """Set `run` if the folder holds a completed run of these settings."""
        assert self.config is not None
        self.run = completed(self.folder, config_fingerprint(self.config.settings()))

    def judge(self, exit_code: int) -> None:
        """Set `run`, or the reason why there is none, after the process has ended."""
        self.find_run()
        self.reason = "" if self.run else self.why_it_died(exit_code)
