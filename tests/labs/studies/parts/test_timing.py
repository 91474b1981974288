"""Cases take turns in a changing order, and what is made of their timings."""

import pytest

from dlproj.labs.studies.parts import timing
from dlproj.labs.studies.parts.timing import Timings, error_bars, in_turns, time_in_turns


def test_in_each_turn_every_case_has_its_place_in_another_order():
    order = in_turns("abcdef", [10] * 6, seed=0)
    turns = [order[start : start + 6] for start in range(0, 60, 6)]
    assert all(sorted(turn) == list("abcdef") for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 5
    assert order == in_turns("abcdef", [10] * 6, seed=0) != in_turns("abcdef", [10] * 6, seed=1)


def test_who_has_had_all_turns_is_left_out():
    order = in_turns("abc", [1, 3, 2], seed=0)
    assert [sorted(order[:3]), sorted(order[3:5]), order[5:]] == [["a", "b", "c"], ["b", "c"], ["b"]]


@pytest.fixture
def virtual_time(monkeypatch):
    """A clock in a list, which only those who add to it advance."""
    now = [0.0]
    monkeypatch.setattr(timing, "processor_clock", lambda device: lambda: now[0])
    return now


def test_the_first_call_of_a_turn_is_not_timed_as_others_have_filled_the_caches(virtual_time):
    last = []

    def work(name, seconds):
        virtual_time[0] += seconds if last == [name] else 100
        last[:] = [name]

    works = {"a": lambda: work("a", 1), "b": lambda: work("b", 2)}
    found = time_in_turns(works, 4, seed=0, of="works", in_a_row=3)
    assert {name: one.seconds for name, one in found.items()} == {"a": [1] * 12, "b": [2] * 12}


def test_works_take_turns(virtual_time):
    done = []
    works = {name: lambda name=name: done.append(name) for name in "abc"}
    time_in_turns(works, 5, seed=3, of="works")
    assert done[::2] == done[1::2] == in_turns("abc", [5] * 3, seed=3)


def test_quartiles_by_hand():
    timings = Timings([4.0, 1.0, 3.0, 2.0, 5.0])
    assert timings.row() == {"lower_quartile_seconds": 2, "median_seconds": 3, "upper_quartile_seconds": 4}
    assert Timings([7.0]).median() == 7
    assert error_bars([1, 2], [3, 5], [6, 9]).tolist() == [[2, 3], [3, 4]]
