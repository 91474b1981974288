"""What one of several runs has left: whether it is done, and if not, why."""

import secrets
import signal
from pathlib import Path

from dlproj.config.checks import UserError
from dlproj.runs.record import read_result


def set_run_aside(folder: Path) -> None:
    """Set a completed run of other settings aside; what did not end is left for the next one to replace."""
    try:
        if read_result(folder).has_ended():
            folder.rename(folder.with_name(f"{folder.name}-replaced-{secrets.token_hex(3)}"))
    except UserError:
        pass


def log_path(folder: Path) -> Path:
    """What the run prints, beside its folder."""
    return folder.with_name(f"{folder.name}.log")


def why_it_died(folder: Path, exit_code: int) -> str:
    """The signal that killed it, the reason in its summary, or the error that it printed last."""
    if exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    try:
        result = read_result(folder)
        if result.status == "failed" or (result.status == "interrupted" and exit_code in (130, 143)):
            return result.stop_reason.splitlines()[0]
    except UserError:
        pass
    try:
        lines = [
            line for line in log_path(folder).read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
    except OSError:
        lines = []
    return lines[-1].removeprefix("error: ") if lines else f"exit code {exit_code}"
