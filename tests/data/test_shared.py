"""Files that are read once for several runs."""

import sys

import pytest

from dlproj.data import shared
from dlproj.sweeps.forks import Forks
from dlproj.sweeps.jobs import Job
from dlproj.sweeps.workers import run_jobs


@pytest.fixture
def reading(monkeypatch):
    """A function that is shared, and what it was called with."""
    monkeypatch.setattr(shared, "_kept", None)
    calls = []

    @shared.shared
    def read(root, train=True):
        calls.append((root, train))
        return [root, train]

    return read, calls


def test_a_run_by_itself_keeps_nothing(reading):
    read, calls = reading
    assert read("here") is not read("here")
    assert len(calls) == 2


def test_what_was_read_ahead_is_read_once(reading):
    read, calls = reading
    shared.keep()
    assert read("here", train=False) is read("here", train=False)
    assert calls == [("here", False)]


def test_other_files_are_read(reading):
    read, calls = reading
    shared.keep()
    read("here")
    assert read("there") == ["there", True]
    assert read(["a", "b"]) == [["a", "b"], True]
    assert len(calls) == 3


def test_a_forked_process_has_it(reading, tmp_path):
    read, calls = reading
    shared.keep()
    read("here", train=False)
    job = Job(lambda: sys.stdout.write(f"{read('here', train=False)} {len(calls)}"), tmp_path / "run")
    run_jobs([job], Forks([{}]), lambda *_: None)
    assert job.log.read_text() == "['here', False] 1"
