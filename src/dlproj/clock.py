"""How long work takes, and what memory does in that time."""

import time
from collections.abc import Callable
from statistics import median
from timeit import repeat
from typing import Any

import torch

CPU = torch.device("cpu")
_PROBED = 2**26  # numbers: more than caches hold
_REPETITIONS = 5

Clock = Callable[[], float]  # reads seconds, of which the differences count


def wall_clock(device: torch.device) -> Clock:
    """Seconds that pass, read once the device has done all that it was given; waiting for other processes counts."""

    def read() -> float:
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        return time.perf_counter()

    return read


def processor_clock(device: torch.device) -> Clock:
    """On the CPU the seconds that its threads compute for this process: waiting for other programs does not count.

    Those that share a core's units or its caches lengthen them, up to twice. An accelerator has the wall clock.
    """
    return time.process_time if device.type == "cpu" else wall_clock(device)


def median_seconds(work: Callable[[], Any], clock: Clock, calls: int) -> float:
    """Of a call, over several times so many in a row, after a first one in which torch prepares the others."""
    work()
    return median(repeat(work, timer=clock, repeat=_REPETITIONS, number=calls)) / calls


def memory_bytes_per_s(device: torch.device, clock: Clock) -> float:
    """Read and written, by scaling numbers in place."""
    numbers = torch.ones(_PROBED, device=device)
    return 2 * numbers.nbytes / median_seconds(lambda: numbers.mul_(1.0), clock, calls=5)
