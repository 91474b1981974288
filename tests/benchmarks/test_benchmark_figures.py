"""Medians and paired ratios, from timings worked out by hand."""

import pytest

from benchmarks.figures import Figures, Ratio, memory_ratio, time_ratio


def records(variant, seconds, steps=8, memory=None):
    key = {"case": "mlp-1000-32", "threads": 1, "variant": variant}
    yield key | {"steps": steps}
    yield key | {"worker_versions": {}}
    for number, value in seconds.items():
        yield key | {"round": number, "seconds": value}
    if memory:
        yield key | {"peak_memory_bytes": memory, "peak_gpu_memory_bytes": 0}


def two_rows(*parts):
    return Figures([{"versions": {}}, *(record for part in parts for record in part)]).rows()


def test_a_ratio_is_the_median_of_the_ratios_of_each_round():
    floor, other = two_rows(records("floor", {1: 1.0, 2: 2.0, 3: 4.0}), records("lab", {1: 3.0, 2: 2.0, 3: 8.0}))
    assert time_ratio(other, floor) == Ratio(2.0, 1.0, 3.0)  # the ratio of the medians is 1.5
    assert floor.microseconds_a_step() == pytest.approx(250_000)


def test_ratios_are_of_steps_not_of_chunks():
    floor, other = two_rows(records("floor", {1: 1.0}), records("slow", {1: 1.0}, steps=2))
    assert time_ratio(other, floor).median == pytest.approx(4.0)


def test_only_rounds_that_both_ended_count():
    floor, other = two_rows(records("floor", {1: 1.0, 2: 1.0}), records("lab", {1: 3.0}))
    assert time_ratio(other, floor) == Ratio(3.0, 3.0, 3.0)
    floor, other = two_rows(records("floor", {2: 1.0}), records("lab", {1: 3.0}))
    assert time_ratio(other, floor) is None
    assert time_ratio(other, None) is None


def test_memory():
    floor, other, unknown = two_rows(
        records("floor", {}, memory=100), records("lab", {}, memory=150), records("keras", {})
    )
    assert memory_ratio(other, floor) == 1.5
    assert memory_ratio(unknown, floor) is None
    assert memory_ratio(other, floor, gpu=True) is None  # neither used one
