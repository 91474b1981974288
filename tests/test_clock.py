"""Seconds of work, by clocks that tell them as they should, and bytes of memory a second."""

from itertools import count

import pytest
import torch

from dlproj import clock as module
from dlproj.clock import CPU, median_seconds, memory_bytes_per_s, processor_clock, wall_clock


def reading(*seconds):
    """A clock that reads these, one after another."""
    return iter(seconds).__next__


def test_the_median_of_five_timings_after_a_first_call_that_is_not_timed():
    calls = []
    seconds = median_seconds(lambda: calls.append(1), reading(0, 9, 9, 11, 11, 17, 17, 19, 19, 21), calls=2)
    assert seconds == 1  # the median of 9, 2, 6, 2 and 2, of two calls
    assert len(calls) == 1 + 5 * 2


def test_each_number_is_read_and_written(monkeypatch):
    monkeypatch.setattr(module, "_PROBED", 1000)
    seconds_a_call = 1 / 5  # five between two readings of a clock that goes on by a second each
    assert memory_bytes_per_s(CPU, count().__next__) == pytest.approx((4000 + 4000) / seconds_a_call)


def test_the_processors_time_is_that_of_this_process(monkeypatch):
    monkeypatch.setattr("time.process_time", lambda: 3.0)
    monkeypatch.setattr("time.perf_counter", lambda: 7.0)
    assert processor_clock(CPU)() == 3
    assert wall_clock(CPU)() == 7


def test_an_accelerator_is_waited_for_before_the_clock_is_read(monkeypatch):
    seen = []
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda device: seen.append(device))
    monkeypatch.setattr("time.perf_counter", lambda: float(len(seen)))
    device = torch.device("cuda", 1)
    assert processor_clock(device)() == 1
    assert seen == [device]
