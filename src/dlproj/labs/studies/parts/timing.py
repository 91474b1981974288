"""Repeated timings of cases that take turns: on how many threads, in which order, their median and quartiles."""

import random
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from timeit import repeat
from typing import Any, TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from dlproj.clock import CPU, processor_clock
from dlproj.loop_progress import progress

QUARTILES = ("lower_quartile_seconds", "median_seconds", "upper_quartile_seconds")
ON_CLOCK = (
    "The time is the processor's, in which waiting for other programs does not count; what they take of a core's units "
    "and of its caches does. All take turns, each turn in another order."
)
T = TypeVar("T")
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of the same work, several times."""

    seconds: Sequence[float]

    def quartiles(self) -> list[float]:
        """The first, the median and the third, in seconds."""
        return np.quantile(self.seconds, (0.25, 0.5, 0.75)).tolist()

    def row(self) -> dict[str, float]:
        """The three quartiles by their names, in seconds."""
        return dict(zip(QUARTILES, self.quartiles(), strict=True))

    def median(self) -> float:
        """The median in seconds."""
        return self.quartiles()[1]


def in_turns(cases: Sequence[T], repetitions: Sequence[int], seed: int) -> list[T]:
    """Each case as often as asked, no second time before all others that are due have had theirs.

    The order changes from turn to turn, so that what disturbs the machine meets all cases alike.
    """
    shuffle, order = random.Random(seed), list[T]()
    for turn in range(max(repetitions)):
        due = [case for case, count in zip(cases, repetitions, strict=True) if turn < count]
        order += shuffle.sample(due, len(due))
    return order


def time_in_turns(
    works: Mapping[Name, Callable[[], Any]], turns: int, seed: int, of: str, in_a_row: int = 1
) -> dict[Name, Timings]:
    """Work on the CPU, timed so many times in a row at each of its turns; of: what a progress bar calls the turns.

    Before them comes one that is not timed: the others have filled the caches with their own numbers. It is timeit that
    times, as within torch.utils.benchmark.Timer, which would do the work two more times before each timing.
    """
    clock, seconds = processor_clock(CPU), {name: list[float]() for name in works}
    for name in progress(in_turns(list(works), [turns] * len(works), seed), of):
        works[name]()
        seconds[name] += repeat(works[name], timer=clock, repeat=in_a_row, number=1)
    return {name: Timings(found) for name, found in seconds.items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it torch and NumPy compute on one thread of the CPU: two that wait for busy cores are ten times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def error_bars(lower: Sequence[float], middle: Sequence[float], upper: Sequence[float]) -> np.ndarray:
    """Lengths (2, N) of bars below and above the middles, as matplotlib takes them."""
    return np.abs(np.array([lower, upper]) - np.array(middle))
