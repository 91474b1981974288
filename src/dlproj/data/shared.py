"""Files that are read once for several runs: what this process has read, the ones forked from it have, too."""

from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from dlproj.settings import UserError

if TYPE_CHECKING:
    from dlproj.data.base import DataConfig

P = ParamSpec("P")
T = TypeVar("T")

_kept: dict[Hashable, Any] | None = None  # by function and arguments


def shared(read: Callable[P, T]) -> Callable[P, T]:
    """Have what `read` returns kept in a process that reads ahead, and taken from there in those forked from it."""

    @wraps(read)
    def reading(*args: P.args, **kwargs: P.kwargs) -> T:
        if _kept is None:
            return read(*args, **kwargs)
        key = (read, *map(_hashable, args), *((name, _hashable(value)) for name, value in sorted(kwargs.items())))
        if key not in _kept:
            _kept[key] = read(*args, **kwargs)
        result: T = _kept[key]
        return result

    return reading


def read_ahead(config: "DataConfig") -> None:
    """Read what runs on these data will read, in the process that they will be forked from.

    What is wrong with the files is left for the runs to say.
    """
    global _kept
    _kept = {} if _kept is None else _kept
    with suppress(UserError):
        config.build(seed=0).read_ahead()


def _hashable(value: Any) -> Hashable:
    return tuple(value) if isinstance(value, list) else value
