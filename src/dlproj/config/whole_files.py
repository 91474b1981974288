"""Atomic writing of files, and reading with a one-line error if a file is damaged."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import yaml

from dlproj.config.checks import ConfigurationError, DataError
from dlproj.file_systems import why

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is ten times faster, but not in every build
# The last four are raised by the YAML library, on `!!bool x`, `!!int ""`, `!!timestamp x` and `? []: x`.
YAML_ERRORS = (yaml.YAMLError, KeyError, IndexError, AttributeError, TypeError)
_DEEPEST = 32  # limit of nested containers in a YAML file


def write_whole(path: Path, content: str | bytes) -> None:
    """Write to a temporary file and rename it, so that a reader never sees half a file. Raises OSError.

    Text is written as UTF-8; lone surrogates, which file names can contain, become escapes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # another process may write the same file
    try:
        beside.write_bytes(encoded(content))
        os.replace(beside, path)
    except BaseException as error:  # Ctrl-C, too
        with suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError):
            error.filename = str(path)  # missing in the error of a full disk
        raise


def encoded(content: str | bytes) -> bytes:
    """The bytes that write_whole() writes."""
    return content.encode(errors="backslashreplace") if isinstance(content, str) else content


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn an OSError inside the context into a ConfigurationError."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written to ({why(error)}): choose another folder") from error


def check_writable(folder: Path) -> None:
    """Raise ConfigurationError if no file can be written to the folder or the folder cannot be made."""
    with writing_to(folder):
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        TemporaryFile(dir=nearest).close()


def read_json(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file. Raises DataError, naming the file, if it is missing or damaged."""
    return _mapping(path, lambda: json.loads(path.read_text(encoding="utf-8"), parse_int=_of_64_bits))


def _of_64_bits(digits: str) -> int:
    number = int(digits)
    if not -(2**63) <= number < 2**63:
        raise ValueError("a whole number of more than 64 bits")
    return number


def read_yaml_text(path: Path) -> str:
    """Read the text of a YAML file that is safe to load: its size bounds time and memory.

    Raises OSError, ValueError or yaml.YAMLError. Aliases, which our files never have, can expand one line to a
    billion, and the C loader crashes the process on deep nesting.
    """
    text = path.read_text(encoding="utf-8")
    depth = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
            raise ValueError("an alias, or nested too deep")
    return text


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the mapping in a YAML file. Raises DataError, naming the file, if it is missing or damaged."""
    return _mapping(path, lambda: yaml.load(read_yaml_text(path), _Loader))


def _mapping(path: Path, read: Callable[[], Any]) -> dict[str, Any]:
    try:
        content = read()
    except (OSError, ValueError, RecursionError, *YAML_ERRORS) as error:
        raise DataError(f"{path} is missing or damaged: take it from another copy") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: take it from another copy")
    return content
