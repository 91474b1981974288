"""Messages and progress bars for slow work."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

from dlproj.config.checks import one_line

T = TypeVar("T")


def announce(what: str) -> None:
    """Print on standard error, if it is a terminal, what is about to start; call it before slow imports."""
    if sys.stderr.isatty():
        print(one_line(f"{what} …"), file=sys.stderr, flush=True)


def is_notebook() -> bool:
    """True if standard output is the output of a notebook's cell."""
    return type(sys.stdout).__module__.startswith("ipykernel.")


def inform(what: str) -> None:
    """Print what is no warning: on standard error; in a notebook, which shows that in red, on standard output."""
    print(one_line(what), file=sys.stdout if is_notebook() else sys.stderr, flush=True)


def progress(items: Iterable[T], of: str, delay: float = 5, total: int | None = None) -> Iterable[T]:
    """Iterate over items, with a bar on a terminal after `delay` seconds.

    of: label of the bar. total: number of items, if they have no len().
    """
    return tqdm(items, of, total, delay=delay, file=sys.stderr, disable=None)
