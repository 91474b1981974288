"""What one of several runs has left: whether it is done, and if not, why."""

import json
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlproj.config.checks import ConfigurationError, UserError
from dlproj.config.root import load
from dlproj.file_systems import lock
from dlproj.results.comparison import flat, without_effect
from dlproj.results.record import Run, read_result, read_run


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder against a second process that would run the same runs into the same places."""
    with (folder / ".lock").open("a") as file:
        try:
            lock(file)
        except BlockingIOError:
            raise ConfigurationError(f"another process is at work in {folder}: wait for it") from None
        yield


def identity(settings: dict[str, Any]) -> str:
    """The settings that decide what a run leaves, as text."""
    return json.dumps(deciding(settings), sort_keys=True)


def deciding(settings: dict[str, Any]) -> dict[str, Any]:
    """Those settings by their dotted names."""
    ignored = without_effect(settings) - {"figures"}
    return {key: value for key, value in flat(settings).items() if not {key, key.split(".")[0]} & ignored}


def is_of(folder: Path, settings: dict[str, Any], wanted: str) -> bool:
    """Whether the settings that the folder holds have the wanted identity."""
    if identity(settings) == wanted:
        return True
    # A run of an older version lacks settings that there were not yet: load() fills in what they meant.
    return identity(load(folder / "config.yaml").settings()) == wanted


def completed(folder: Path, wanted: str) -> Run | None:
    """The completed run of the wanted identity that the folder holds, if it does, pruned ones among them."""
    try:
        run = read_run(folder)
        return run if run.result.has_ended() and is_of(folder, run.settings, wanted) else None
    except UserError:
        return None


def make_room(folder: Path) -> None:
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
