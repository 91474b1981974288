"""Records of runs as typed objects: pydantic checks what was read, strictly."""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dlproj.config.checks import DataError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


def validated(kind: type[T], content: Any, path: Path, advice: str = "take it from another copy") -> T:
    """A dataclass made of plain containers, read from path. Raises DataError, naming the first key that is at fault.

    A number is no text, true is no number, and None stands where it may; keys that the class lacks are left aside.
    """
    from pydantic import ValidationError  # which takes 0.1 s to import

    try:
        # A name may hold halves of characters, which are no JSON: "?" stands for them.
        text = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        return _adapter(kind).validate_json(text, strict=True)  # type: ignore[arg-type]  # for the cache
    except ValidationError as error:
        raise damaged(path, ".".join(map(str, error.errors()[0]["loc"])), advice) from error


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def damaged(path: Path, key: str = "", advice: str = "take it from another copy") -> DataError:
    """The error of a file that cannot be read, or of the entry `key` in it."""
    return DataError(f"{path} is {f'damaged at {key[:80]}' if key else 'missing or damaged'}: {advice}")
