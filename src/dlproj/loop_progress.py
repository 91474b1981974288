"""How far work is that takes a while."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

from dlproj.config.checks import one_line

T = TypeVar("T")


def announce(what: str) -> None:
    """Say on a terminal what begins, before what it needs is imported: on standard error, beside the results."""
    if sys.stderr.isatty():
        print(one_line(f"{what} …"), file=sys.stderr, flush=True)


def progress(items: Iterable[T], of: str, delay: float = 5, total: int | None = None) -> Iterable[T]:
    """The items, with a bar on a terminal once they take more than `delay` seconds.

    of: what they are. total: how many, where they do not say so themselves.
    """
    return tqdm(items, of, total, delay=delay, file=sys.stderr, disable=None)
