"""Files that are read once for several runs."""

import sys

import pytest

from dlproj.data import shared
from dlproj.sweeps.pool import Job, run_jobs


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


class Ahead:
    """Settings of data whose reading is `read(root)`."""

    def __init__(self, read):
        self.read = read

    def build(self, seed):
        return self

    def read_ahead(self):
        self.read("here", train=False)


def test_a_run_by_itself_keeps_nothing(reading):
    read, calls = reading
    assert read("here") is not read("here")
    assert len(calls) == 2


def test_what_was_read_ahead_is_read_once(reading):
    read, calls = reading
    shared.read_ahead(Ahead(read))
    assert read("here", train=False) is read("here", train=False)
    assert calls == [("here", False)]


def test_other_files_are_read(reading):
    read, calls = reading
    shared.read_ahead(Ahead(read))
    assert read("there") == ["there", True]
    assert read(["a", "b"]) == [["a", "b"], True]
    assert len(calls) == 3


def test_a_forked_process_has_it(reading, tmp_path):
    read, calls = reading
    shared.read_ahead(Ahead(read))
    job = Job(lambda: sys.stdout.write(f"{read('here', train=False)} {len(calls)}"), (), tmp_path / "log.txt")
    run_jobs([job], [{}], lambda *_: None)
    assert (tmp_path / "log.txt").read_text() == "['here', False] 1"


def test_what_is_wrong_with_the_files_is_left_for_the_run_to_say(monkeypatch, tmp_path, composed):
    monkeypatch.setattr(shared, "_kept", None)
    (tmp_path / "FashionMNIST/raw").mkdir(parents=True)
    for file in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"FashionMNIST/raw/{file}-ubyte").touch()
    shared.read_ahead(composed(f"data.root={tmp_path}").data)
