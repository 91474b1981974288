"""Measure how long work takes, and the bandwidth of memory."""

import time
from collections.abc import Callable
from statistics import median
from timeit import repeat
from typing import Any

import torch

CPU = torch.device("cpu")
_PROBED = 2**26  # numbers, more than fit into caches
_REPETITIONS = 5

Clock = Callable[[], float]  # returns seconds from an arbitrary start


def wall_clock(device: torch.device) -> Clock:
    """Clock of elapsed seconds, read after the device has finished; waiting for other processes counts."""

    def read() -> float:
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        return time.perf_counter()

    return read


def processor_clock(device: torch.device) -> Clock:
    """On the CPU, clock of the seconds that this process's threads compute; waiting for other programs does not count.

    Programs that share a core or its caches can lengthen them up to twice. An accelerator has the wall clock.
    """
    return time.process_time if device.type == "cpu" else wall_clock(device)


def median_seconds(work: Callable[[], Any], clock: Clock, calls: int) -> float:
    """Median over repetitions of seconds_of(), after one call to warm up."""
    work()
    return median(repeat(work, timer=clock, repeat=_REPETITIONS, number=calls)) / calls


def memory_bytes_per_s(device: torch.device, clock: Clock) -> float:
    """Bytes read and written per second, measured by scaling numbers in place."""
    numbers = torch.ones(_PROBED, device=device)
    return 2 * numbers.nbytes / median_seconds(lambda: numbers.mul_(1.0), clock, calls=5)
