"""How far work is that takes a while."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], of: str, delay: float = 5, total: int | None = None) -> Iterable[T]:
    """The items, with a bar on a terminal once they take more than `delay` seconds.

    of: what they are. total: how many, where they do not say so themselves.
    """
    return tqdm(items, of, total, delay=delay, file=sys.stderr, disable=None)
