"""Which files of a folder dlproj wrote. Those may be replaced; all others are somebody's, and are left as they are.

They are listed in the hidden file .dlproj.json of the folder: their names, which may be patterns, and a hash where the
content was known when they were listed. With another content a file is no longer dlproj's.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote

from dlproj.data.files import brief
from dlproj.results.figures_config import FiguresConfig
from dlproj.results.files import encoded, read_json, write_whole, writing_to
from dlproj.settings import ConfigurationError, DataError, require

NAME = ".dlproj.json"
FORMAT = 1
_RECORD = ("summary.json", "config.yaml", "metrics.csv", "inspection.json")
_CHECKPOINTS = ("checkpoints/best.ckpt", "checkpoints/last.ckpt")
_EVENTS = "events.out.tfevents.*"  # TensorBoard puts time, host and process behind it
_ADDED = ("report.csv", "report.md", "export/model.onnx", "export/model.pt2")  # by commands after a run

Names = Mapping[str, str]  # hashes by name or pattern, relative to the folder; "" where the content may change


def run_files(figures: FiguresConfig) -> dict[str, str]:
    """What a run with these figures writes into its folder."""
    return dict.fromkeys([*_RECORD, *_CHECKPOINTS, _EVENTS, *figures.files()], "")


def listed(folder: Path) -> dict[str, str]:
    """The names in the folder's manifest; empty without one, or where it is damaged.

    A run of a version without manifests wrote what such runs can have written.
    """
    if not (folder / NAME).is_file():
        every = FiguresConfig(gradients=True, samples=["grid"])
        return run_files(every) | dict.fromkeys(_ADDED, "") if _is_older_run(folder) else {}
    try:
        content = read_json(folder / NAME)
    except DataError:
        return {}
    files = content.get("files") if content.get("format") == FORMAT else None
    return {name: str(content) for name, content in files.items()} if isinstance(files, dict) else {}


def _is_older_run(folder: Path) -> bool:
    try:
        with (folder / "config.yaml").open("rb") as file:
            return file.readline().startswith(b"schema:")
    except OSError:
        return False


def holds_run(folder: Path) -> bool:
    """Whether a run was begun in the folder, and what it wrote is still there."""
    return "summary.json" in listed(folder) and any((folder / name).exists() for name in _RECORD)


def refuse_foreign(folder: Path, names: Iterable[str]) -> None:
    """Raise ConfigurationError where writing these names would overwrite a file that is not dlproj's."""
    ours = set(_present(folder, listed(folder)))
    foreign = sorted(path for path in _present(folder, dict.fromkeys(names, "")) if path not in ours)
    if foreign:
        first = shown_path(foreign[0])
        others = f" and {len(foreign) - 1} more like it" if len(foreign) > 1 else ""
        raise ConfigurationError(f"{first}{others} would be overwritten, and dlproj did not write it: name another "
                                 "folder, or move it away")  # fmt: skip


def _present(folder: Path, names: Names) -> list[Path]:
    """The files there by these names, but for those with another content than was listed."""
    found = [(path, content) for name, content in names.items() for path in _matching(folder, name)]
    return [path for path, content in found if not content or _holds(path, content)]


def _matching(folder: Path, name: str) -> list[Path]:
    if "*" in name:
        return sorted(folder.glob(name))
    path = folder / name
    if path.parent != folder and os.path.lexists(path.parent) and not path.parent.is_dir():
        return [path.parent]  # a file, where there should be a folder
    return [path] if os.path.lexists(path) else []


def _holds(path: Path, content: str) -> bool:
    try:
        return content_hash(path.read_bytes()) == content
    except OSError:
        return False


def content_hash(content: bytes) -> str:
    """By which a file is known to be the one that was listed."""
    return hashlib.sha256(content).hexdigest()


def add(folder: Path, names: Names) -> None:
    """List further files as dlproj's."""
    content = {"format": FORMAT, "files": listed(folder) | dict(names)}
    write_whole(folder / NAME, json.dumps(content, indent=1) + "\n")


def write_files(folder: Path, files: Mapping[str, str | bytes], overwrite: bool = False) -> list[Path]:
    """Write them and list them.

    Raises ConfigurationError where one would overwrite a file that is not dlproj's, unless overwrite is set, or where
    the folder cannot be written to.
    """
    if not overwrite:
        refuse_foreign(folder, files)
    with writing_to(folder):
        add(folder, {name: content_hash(encoded(content)) for name, content in files.items()})
        for name, content in files.items():
            write_whole(folder / name, content)
    return [folder / name for name in files]


def discard_run(folder: Path) -> None:
    """Remove what a run has left in its folder, all of it or, with a ConfigurationError, nothing.

    Each file is first renamed where it is, which fails where removing it would.
    """
    moved: list[tuple[Path, Path]] = []
    paths = [path for path in _present(folder, listed(folder)) if not path.is_dir()]
    try:
        for path in [*paths, folder / NAME]:
            aside = path.with_name(f".{path.name}.replaced")
            if path.exists():
                os.replace(path, aside)
                moved.append((path, aside))
    except OSError as error:
        for path, aside in reversed(moved):
            os.replace(aside, path)
        raise ConfigurationError(f"{folder} cannot be replaced ({brief(error)}): name another folder") from error
    for _, aside in moved:
        aside.unlink()
    for below in {path.parent for path, _ in moved} - {folder}:
        with suppress(OSError):  # of a folder that holds other files
            below.rmdir()


def claim(folder: Path, names: Names, replace: bool) -> None:
    """Make the folder a new run's, and list its files. Raises ConfigurationError, and nothing has changed.

    replace: whether an earlier run there may go.
    """
    check(folder, names, replace)
    with writing_to(folder):
        if holds_run(folder):
            discard_run(folder)
        add(folder, names)


def check(folder: Path, names: Iterable[str], replace: bool) -> None:
    """Raise ConfigurationError where claim() would."""
    shown = shown_path(folder)
    is_sweep = (folder / "multirun.yaml").exists()
    require(not is_sweep, f"{shown} holds a sweep, whose runs this one would hide: name another folder")
    require(
        replace or not holds_run(folder),
        f"{shown} holds an earlier run: go on with it by dlproj resume {quote(shown)} or callbacks.resume=auto, name "
        "another folder, or replace it with overwrite=true",
    )
    refuse_foreign(folder, names)


def shown_path(path: Path) -> str:
    """The path for a message: relative if it lies below the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
