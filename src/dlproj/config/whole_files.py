"""Files of a run's folder: written whole or not at all, and read with one clear line where they are damaged."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import yaml

from dlproj.config.checks import ConfigurationError, DataError
from dlproj.file_systems import why

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times faster, and not in every build
# The last four are of the YAML library, on `!!bool x`, `!!int ""`, `!!timestamp x` and `? []: x`.
YAML_ERRORS = (yaml.YAMLError, KeyError, IndexError, AttributeError, TypeError)
_DEEPEST = 32  # containers within containers of a YAML file


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside the file and rename into place, so that a reader never meets half of it. Raises OSError.

    Text is UTF-8; halves of characters, which names of files can have, become escapes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # another process may write the same file
    try:
        beside.write_bytes(encoded(content))
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        error.filename = str(path)  # which writing to a full disk does not say
        raise


def encoded(content: str | bytes) -> bytes:
    """What write_whole() writes."""
    return content.encode(errors="backslashreplace") if isinstance(content, str) else content


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Raise ConfigurationError for what cannot be written within."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written to ({why(error)}): choose another folder") from error


def check_writable(folder: Path) -> None:
    """Raise ConfigurationError where no file can be written or no such folder made, rather than after the work."""
    with writing_to(folder):
        nearest = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        TemporaryFile(dir=nearest).close()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises DataError, naming the file, where there is none or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_int=_of_64_bits)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is missing or damaged: take it from another copy") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: take it from another copy")
    return content


def _of_64_bits(digits: str) -> int:
    number = int(digits)
    if not -(2**63) <= number < 2**63:
        raise ValueError("a whole number of more than 64 bits")
    return number


def read_yaml_text(path: Path) -> str:
    """A YAML file that takes no more time and memory than it is long.

    Raises OSError, ValueError and yaml.YAMLError where there is none. Aliases, which no file of ours has, can make one
    line stand for a billion, and the C loader ends the process on what is nested too deep.
    """
    text = path.read_text(encoding="utf-8")
    depth = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
            raise ValueError("an alias, or nested too deep")
    return text


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises DataError, naming the file, where there is none or it is damaged."""
    try:
        content = yaml.load(read_yaml_text(path), _Loader)
    except (OSError, ValueError, *YAML_ERRORS) as error:
        raise DataError(f"{path} is missing or damaged: take it from another copy") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: take it from another copy")
    return content
