"""What a tracker receives of a run or a sweep, read from its folder."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from dlproj.config.checks import ConfigurationError, DataError
from dlproj.config.whole_files import read_yaml, writing_to
from dlproj.file_systems import lock
from dlproj.runs.comparison import flat
from dlproj.runs.lock import run_lock
from dlproj.runs.manifest import add, is_sweep, listed
from dlproj.runs.record import Run, started
from dlproj.runs.summary import RunResult

NAME = ".tracker.json"  # the identity of a run or sweep in trackers
_DEEPEST = 3  # levels between a sweep's folder and its runs'
_NOT_SENT = re.compile(r"checkpoints/.*|events\.out\..*")  # of the listed files; the tested checkpoint is
_SWEEP_FILES = ("report.html", "report.csv", "report.md")


@dataclass(frozen=True, slots=True)
class Entry:
    """A run or a sweep, as trackers show it."""

    folder: Path
    name: str
    status: str  # as RunResult.status; of a sweep running or completed
    start: float  # seconds since 1970
    end: float  # of the last epoch so far
    settings: dict[str, Any] = field(default_factory=dict)  # by dotted name
    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    outcome: dict[str, float] = field(default_factory=dict)  # metrics of the test, and counts, at the last epoch
    facts: dict[str, str] = field(default_factory=dict)  # in words
    files: list[Path] = field(default_factory=list)  # once it has ended
    parent: "Entry | None" = None  # the sweep

    @property
    def last_epoch(self) -> int:
        """The last epoch so far; 0 before the first has ended."""
        return max(self.epochs, default=0)

    def time_of(self, epoch: int) -> float:
        """When the epoch ended, in seconds since 1970: as if all took equally long, since the folder has the last."""
        return self.start + (self.end - self.start) * epoch / max(1, self.last_epoch)

    def digest(self) -> str:
        """Hash of all that is sent: equal if nothing has changed since."""
        content = hashlib.sha256(json.dumps([self.status, self.epochs, self.outcome]).encode())
        for path in self.files:
            content.update(str(path.relative_to(self.folder)).encode())
            content.update(hashlib.sha256(path.read_bytes()).digest())
        return content.hexdigest()


def entry_of_run(run: Run, alive: bool | None = None) -> Entry:
    """A run for a tracker. alive: True until its process has written everything; None: the folder's lock tells."""
    result = run.result
    if alive is None:
        alive = result.status == "running" and _is_locked(run.folder)
    sweep = sweep_of(run.folder)
    start, end = _times(run, sweep)
    return Entry(
        run.folder,
        _label(run, sweep),
        "running" if alive else "interrupted" if result.status == "running" else result.status,  # it was killed
        start,
        end,
        {key: value for key, value in flat(run.settings).items() if not key.startswith("logger.")},
        run.epochs,
        _outcome(result) if result.has_ended() and not alive else {},
        {
            "stop_reason": result.stop_reason,
            "overrides": " ".join(result.overrides),
            "machine": result.machine,
            "git_commit": result.git_commit or "",
        },
        [] if alive else _files(run),
        entry_of_sweep(sweep, alive=True) if sweep else None,
    )


def _times(run: Run, sweep: Path | None) -> tuple[float, float]:
    """When the run began and its last epoch ended; a sweep's stamp is not its runs'."""
    start = (run.folder / "config.yaml").stat().st_mtime
    if sweep is None:
        start = min(start, started(run.folder).timestamp())
    metrics = run.folder / "metrics.csv"
    return start, max(start, metrics.stat().st_mtime if metrics.exists() else start)


def _label(run: Run, sweep: Path | None) -> str:
    """The folder's name; in a sweep followed by the settings that tell the run from the others."""
    own = run.result.overrides if sweep else []
    of_all = _overrides(sweep) if sweep else []
    return " ".join([run.folder.name, *(text for text in own if text.lower() not in of_all)])[:200]


def _outcome(result: RunResult) -> dict[str, float]:
    counts = {name: float(getattr(result, name)) for name in ("parameters", "seconds", "peak_memory_bytes")}
    return {name: value for name, value in result.metrics.items() if name.startswith("test/")} | counts


def entry_of_sweep(folder: Path, alive: bool | None = None) -> Entry:
    """A sweep for a tracker: its report, once its runs have ended. alive: as for a run."""
    start = started(folder).timestamp()
    if _is_locked(folder) if alive is None else alive:
        return Entry(folder, folder.resolve().name, "running", start, start)
    files = _existing(folder, _SWEEP_FILES)
    end = max([start, *(path.stat().st_mtime for path in files)])
    return Entry(folder, folder.resolve().name, "completed", start, end, files=files)


def sweep_of(folder: Path) -> Path | None:
    """The folder of the sweep that a run belongs to."""
    above = list(folder.resolve().parents)[:_DEEPEST]
    return next((path for path in above if is_sweep(path)), None)


def _overrides(sweep: Path) -> list[str]:
    """What was typed for all runs of the sweep, in lower case, since Hydra's sweeper writes False for false."""
    try:
        return [str(text).lower() for text in read_yaml(sweep / "multirun.yaml")["hydra"]["overrides"]["task"]]
    except (DataError, KeyError, TypeError):
        return []


def _files(run: Run) -> list[Path]:
    """The run's files but for TensorBoard's events; of the checkpoints that of the tested weights."""
    names = [name for name in listed(run.folder) if not _NOT_SENT.fullmatch(name) and name != NAME]
    weights = f"checkpoints/{run.result.tested_weights or 'last'}.ckpt"
    return _existing(run.folder, sorted([*names, weights]))


def _existing(folder: Path, names: Iterable[str]) -> list[Path]:
    """The files there; none that a list or a link of a folder from elsewhere has outside of it."""
    paths = [folder / name for name in names]
    return [path for path in paths if path.is_file() and path.resolve().is_relative_to(folder.resolve())]


def _is_locked(folder: Path) -> bool:
    if not (folder / ".lock").exists():
        return False
    try:
        with run_lock(folder):
            return False
    except ConfigurationError:
        return True
    except OSError:  # it cannot be written to
        return False


@contextmanager
def identity(folder: Path) -> Iterator[dict[str, str]]:
    """What is kept of a run or sweep for its trackers: its `id`, the same for all of them, and what they add.

    One process at a time has it, so that the runs of a sweep make one parent. Raises ConfigurationError if the folder
    cannot be written to.
    """
    with writing_to(folder):
        opened = (folder / NAME).open("a+", encoding="utf-8")
    with opened as file:
        lock(file, wait=True)
        file.seek(0)
        kept = _parsed(file.read())
        before = dict(kept)
        kept.setdefault("id", token_hex(8))
        try:
            if before != kept:
                _write(file, kept)
                if not is_sweep(folder):  # whose process may be at work on the list
                    add(folder, {NAME: ""})
            yield kept
        finally:
            _write(file, kept)


def _parsed(text: str) -> dict[str, str]:
    try:
        kept = json.loads(text)
        return kept if re.fullmatch(r"[0-9a-f]{16}", kept["id"]) else {}
    except (ValueError, TypeError, KeyError, RecursionError):  # new, or damaged
        return {}


def _write(file: Any, kept: dict[str, str]) -> None:
    file.truncate(0)
    file.write(json.dumps(kept))
    file.flush()
