"""How far a study is."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], of: str) -> Iterable[T]:
    """The items, with a bar on a terminal once they take more than five seconds; of: what they are."""
    shown: Iterable[T] = tqdm(items, of, delay=5, file=sys.stderr, disable=None)
    return shown
