"""Sends run folders to a tracker: all at once, or one again and again while its run trains."""

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from shlex import join
from typing import Any, Protocol

from dlproj.config.checks import UserError, require
from dlproj.runs.record import read_run, run_folders
from dlproj.trackers.entry import Entry, entry_of_run, entry_of_sweep, sweep_of

_ADDRESS = {"mlflow": "MLFLOW_TRACKING_URI", "wandb": "WANDB_BASE_URL"}  # environment variables
TRACKERS = tuple(_ADDRESS)
# A server that is away is found out in seconds: by themselves, MLflow tries for minutes and wandb for hours. What the
# user has set wins.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}


class Tracker(Protocol):
    """What receives runs and sweeps."""

    def send(self, entry: Entry) -> bool:
        """Send what the tracker does not have yet; False if it has all."""

    def close(self) -> None:
        """End what was sent in part."""


def check_installed(name: str) -> None:
    """Raise ConfigurationError if the tracker's package is not installed."""
    require(find_spec(name) is not None, f"{name} is not installed: pip install 'dlproj[{name}]'")


@contextmanager
def opened(name: str, options: Mapping[str, Any], advice: str) -> Iterator[Tracker]:
    """A tracker of TRACKERS, by its name and its options. The environment is as before afterwards.

    Raises UserError, which ends with the advice, whatever the tracker or its server raises.
    """
    lacking = _ENVIRONMENT.keys() - os.environ.keys()
    os.environ.update({key: _ENVIRONMENT[key] for key in lacking})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tracker = _tracker(name, options)
            yield tracker
            tracker.close()
    except UserError:
        raise
    except Exception as error:
        words = f"{_place(name, options)} cannot be used ({_reason(error)}): {advice}"
        raise UserError(_without_password(words)) from error
    finally:
        for key in lacking:
            os.environ.pop(key, None)


def _tracker(name: str, options: Mapping[str, Any]) -> Tracker:
    if name == "mlflow":
        from dlproj.trackers.mlflow_tracker import MLflowTracker

        return MLflowTracker(**options)
    from dlproj.trackers.wandb_tracker import WandbTracker

    return WandbTracker(**options)


def trackers_of(settings: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the options of each tracker that a run logs to."""
    for node in (settings.get("logger") or {}).values():
        if node["_target_"].endswith(".TrackerLogger"):
            options = {key: value for key, value in node.items() if key not in ("_target_", "tracker")}
            yield node["tracker"], options


def push_command(name: str, options: Mapping[str, Any], folder: Path) -> str:
    """The command that sends the folder to the tracker."""
    given = [word for key, value in options.items() if value for word in (f"--{key.replace('_', '-')}", str(value))]
    return join(["dlproj", "push", os.path.relpath(folder), "--to", name, *given])


def _place(name: str, options: Mapping[str, Any]) -> str:
    """The tracker's address, or its name."""
    return str(options.get("tracking_uri") or os.environ.get(_ADDRESS[name]) or name)


def _without_password(text: str) -> str:
    return re.sub(r"://[^/ ]*@", "://", text)


def _reason(error: BaseException) -> str:
    """What the network or the server says, without what libraries say about it."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    if type(error).__name__ == "NotATerminalError":  # wandb would ask for a login
        return "not logged in: run wandb login, or set WANDB_API_KEY"
    words = str(error)
    if isinstance(error, OSError) and error.strerror:
        words = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return " ".join(words.split())[:200] or type(error).__name__


def send_again(tracker: Tracker, folder: Path, alive: bool) -> None:
    """Send a run, or a sweep, as it is now."""
    if (folder / "config.yaml").exists():
        tracker.send(entry_of_run(read_run(folder), alive))
    else:
        tracker.send(entry_of_sweep(folder, alive))


def push(paths: Sequence[Path], tracker: Tracker) -> Iterator[tuple[Path, str]]:
    """Send the runs in and below paths, and the sweeps that they belong to; yields each folder and what became of it.

    Raises DataError if there is none.
    """
    folders = run_folders(paths)
    for folder in folders:
        try:
            yield folder, _in_words(tracker.send(entry_of_run(read_run(folder))))
        except UserError as error:  # of this folder; those of the tracker are of other kinds
            yield folder, f"skipped: {error}"
    for sweep in dict.fromkeys(filter(None, map(sweep_of, folders))):
        yield Path(os.path.relpath(sweep)), _in_words(tracker.send(entry_of_sweep(sweep)))


def _in_words(new: bool) -> str:
    return "sent" if new else "already there"
