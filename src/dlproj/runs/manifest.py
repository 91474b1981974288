"""The files of a folder that dlproj wrote. They may be replaced; all other files belong to the user and are kept.

The manifest, the hidden file .dlproj.json in the folder, lists their names, one of which is a pattern, and a hash if
the content was known when the file was listed. A file with other content is no longer dlproj's.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote

from dlproj.config.checks import ConfigurationError, DataError, require
from dlproj.config.figures import FiguresConfig
from dlproj.config.whole_files import encoded, read_json, write_whole, writing_to
from dlproj.file_systems import why

NAME = ".dlproj.json"
FORMAT = 1
_RECORD = ("summary.json", "config.yaml", "metrics.csv", "inspection.json")
CODE = ("code.patch", "packages.txt")
PREDICTIONS = "test_predictions.csv"
TRACE = "trace.json.gz"
_LAST = "checkpoints/last.ckpt"
_EVENTS = "events.out.tfevents.*"  # TensorBoard appends time, host and process
_REPORTS = ("report.html", "report.csv", "report.md")
OVERWRITE = "name another place with --output, move what is there away, or add --overwrite"

Names = Mapping[str, str]  # hashes by name or pattern, relative to the folder; "" if the content may change


def run_files(figures: FiguresConfig) -> dict[str, str]:
    """Names of the files that a run with these figures writes into its folder."""
    names = [*_RECORD, *CODE, PREDICTIONS, TRACE, "checkpoints/best.ckpt", _LAST, _EVENTS, *figures.files()]
    return dict.fromkeys(names, "")


def listed(folder: Path) -> dict[str, str]:
    """The names in the folder's manifest; if it is missing or damaged, those that an older version wrote."""
    try:
        content = read_json(folder / NAME)
        files = content["files"] if content["format"] == FORMAT else {}
        return {name: str(content) for name, content in files.items()}
    except (DataError, KeyError, AttributeError):
        return _left_by_older_version(folder)


def _left_by_older_version(folder: Path) -> dict[str, str]:
    """Older runs are recognised by the first line of config.yaml, sweeps by the sweeper in multirun.yaml."""
    if _is_older_run(folder):
        exported = dict.fromkeys(["export/model.onnx", "export/model.pt2"], "")
        return run_files(FiguresConfig(gradients=True, samples=["grid"])) | exported
    if not is_sweep(folder):
        return {}
    runs = [path.parent for path in folder.rglob("config.yaml") if _is_older_run(path.parent)]
    logs = [os.path.relpath(run.with_name(f"{run.name}.log"), folder) for run in runs]
    return dict.fromkeys([*logs, *_REPORTS] if runs else [], "")


def _is_older_run(folder: Path) -> bool:
    try:
        with (folder / "config.yaml").open("rb") as file:
            return file.readline() == b"schema:\n"
    except OSError:
        return False


def is_sweep(folder: Path) -> bool:
    """True if the folder holds a sweep of dlproj, not of another Hydra program."""
    try:
        return b"dlproj_sweepers" in (folder / "multirun.yaml").read_bytes()
    except OSError:
        return False


def holds_run(folder: Path) -> bool:
    """True if a run was started in the folder and some of its files are still there."""
    return "summary.json" in listed(folder) and any((folder / name).exists() for name in _RECORD)


def foreign(folder: Path, names: Iterable[str]) -> list[Path]:
    """The existing files with these names that are not dlproj's."""
    ours = set(_present(folder, listed(folder)))
    return sorted(path for path in _present(folder, dict.fromkeys(names, "")) if path not in ours)


def refuse_foreign(folder: Path, names: Iterable[str], ways_out: str = "name another folder, or move it away") -> None:
    """Raise ConfigurationError if writing these names would overwrite a file that is not dlproj's."""
    if paths := foreign(folder, names):
        more = len(paths) - 1
        others = f" and {more} other file{'s' if more > 1 else ''}" if more else ""
        raise ConfigurationError(
            f"{shown_path(paths[0])}{others} would be overwritten, and dlproj did not write "
            f"{'them' if more else 'it'}: {ways_out}"
        )


def _present(folder: Path, names: Names) -> list[Path]:
    """The existing files with these names, except those whose content has changed since they were listed."""
    matches = [(path, content) for name, content in names.items() for path in _matching(folder, name)]
    return [path for path, content in matches if not content or _holds(path, content)]


def _matching(folder: Path, name: str) -> list[Path]:
    if name in (_EVENTS, _aside(Path(_EVENTS)).name):
        return sorted(folder.glob(name))
    path = folder / name
    if path.parent != folder and os.path.lexists(path.parent) and not path.parent.is_dir():
        return [path.parent]  # a file in place of a folder
    return [path] if os.path.lexists(path) else []


def _holds(path: Path, content: str) -> bool:
    try:
        return content_hash(path.read_bytes()) == content
    except OSError:
        return False


def content_hash(content: bytes) -> str:
    """Hash by which listed content is recognised."""
    return hashlib.sha256(content).hexdigest()


def add(folder: Path, names: Names) -> None:
    """List further files as dlproj's."""
    content = {"format": FORMAT, "files": listed(folder) | dict(names)}
    write_whole(folder / NAME, json.dumps(content, indent=1) + "\n")


def write_files(folder: Path, files: Mapping[str, str | bytes], overwrite: bool = False) -> list[Path]:
    """Write files into the folder and list them as dlproj's; returns their paths.

    Raises ConfigurationError if a file that is not dlproj's would be overwritten, unless overwrite is set, or if the
    folder cannot be written to.
    """
    if not overwrite:
        refuse_foreign(folder, files, OVERWRITE)
    before = listed(folder)
    with writing_to(folder):
        add(folder, dict.fromkeys(files, ""))  # without hashes, as this may be interrupted
        for name, content in files.items():
            write_whole(folder / name, content)
        hashes = {name: content_hash(encoded(content)) for name, content in files.items()}
        add(folder, {name: content for name, content in hashes.items() if before.get(name) != ""})
    return [folder / name for name in files]


def discard_run(folder: Path) -> None:
    """Remove the files of a run from its folder: all or, after an error or a signal, none.

    Each file is first renamed in its folder, which fails if removing it would; the manifest comes last.
    """
    add(folder, {})
    paths = [path for path in _present(folder, listed(folder)) if not path.is_dir()]
    try:
        for path in [*paths, folder / NAME]:
            os.replace(path, _aside(path))
    except BaseException as error:
        recover(folder)
        if not isinstance(error, OSError):
            raise
        raise ConfigurationError(f"{folder} cannot be replaced ({why(error)}): name another folder") from error
    recover(folder)


def recover(folder: Path) -> None:
    """Finish a discard_run() that was killed: restore the run, or remove the rest of it."""
    undo = (folder / NAME).exists()
    names = listed(folder) if undo else _listed_aside(folder)
    asides = [path for name in names for path in _matching(folder, _aside(Path(name)).as_posix()) if path.is_file()]
    for aside in asides:
        if undo:
            os.replace(aside, aside.with_name(aside.name[1:].removesuffix(".replaced")))
        else:
            aside.unlink()
    if undo or not asides:
        return
    for below in {aside.parent for aside in asides} - {folder}:
        with suppress(OSError):  # the folder holds other files
            below.rmdir()
    _aside(folder / NAME).unlink()


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.replaced")


def _listed_aside(folder: Path) -> dict[str, str]:
    try:
        return dict(read_json(_aside(folder / NAME))["files"])
    except (DataError, KeyError, TypeError, ValueError):
        return {}


def claim(folder: Path, names: Names, replace: bool) -> None:
    """Reserve the folder for a new run, and list its files. Raises ConfigurationError if that is not possible.

    replace: True if an earlier run in the folder may be removed.
    """
    check(folder, names, replace)
    with writing_to(folder):
        if holds_run(folder):
            discard_run(folder)
        add(folder, names)


def check(folder: Path, names: Iterable[str], replace: bool) -> None:
    """Raise ConfigurationError if claim() would, without changing anything."""
    shown = shown_path(folder)
    require(not is_sweep(folder), f"{shown} holds a sweep, whose runs this one would hide: name another folder")
    require(
        replace or not holds_run(folder) or _failed_early(folder),
        f"{shown} holds an earlier run: go on with it by dlproj resume {quote(shown)} or callbacks.resume=auto, name "
        "another folder, or replace it with overwrite=true",
    )
    refuse_foreign(folder, names)


def _failed_early(folder: Path) -> bool:
    """True if the run failed before its first checkpoint, for example because its data could not be read."""
    try:
        return read_json(folder / "summary.json").get("status") == "failed" and not (folder / _LAST).exists()
    except DataError:
        return False


def shown_path(path: Path) -> str:
    """The path for a message, relative if it is below the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
