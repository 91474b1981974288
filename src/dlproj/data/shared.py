"""Files read once for several runs: processes forked from this one reuse what it has read."""

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_kept: dict[Hashable, Any] | None = None  # results by function and arguments; None before keep()


def shared(read: Callable[P, T]) -> Callable[P, T]:
    """Decorate `read` so that, after keep(), each result is cached and returned for the same arguments."""

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


def keep() -> None:
    """Cache what is read from now on, in this process and in those forked from it."""
    global _kept
    _kept = {} if _kept is None else _kept


def _hashable(value: Any) -> Hashable:
    return tuple(value) if isinstance(value, list) else value
