"""Repeated timings: on how many threads, their median and quartiles."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

CPU = torch.device("cpu")
QUARTILES = ("lower_quartile_seconds", "median_seconds", "upper_quartile_seconds")


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of the same work, several times."""

    seconds: Sequence[float]

    def row(self) -> dict[str, float]:
        """Median and quartiles by their names."""
        return dict(zip(QUARTILES, np.quantile(self.seconds, (0.25, 0.5, 0.75)).tolist(), strict=True))

    def median(self) -> float:
        """In seconds."""
        return self.row()["median_seconds"]


def timed(work: Callable[[], Any], repetitions: int) -> Timings:
    """The work on the CPU, so many times after a first one that is not counted."""
    work()
    return Timings([seconds_of(work, CPU) for _ in range(repetitions)])


def seconds_of(work: Callable[[], Any], device: torch.device, calls: int = 1) -> float:
    """Seconds of one of so many calls in a row, at the end of which the device has done them all."""
    began = time.perf_counter()
    for _ in range(calls):
        work()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return (time.perf_counter() - began) / calls


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
