"""The worker's end of the conversation."""

import io
import json

import pytest

from benchmarks.pacer import Pacer, peak_memory_bytes


def conversation(commands, chunk=lambda pacer: None):
    answers = io.StringIO()
    pacer = Pacer(io.StringIO(commands), answers)
    chunks = 0
    while pacer.next_chunk():
        chunks += 1
        chunk(pacer)
    return chunks, [json.loads(line) for line in answers.getvalue().splitlines()]


def test_a_warm_up_then_a_chunk_for_each_go_then_the_memory():
    chunks, answers = conversation("go\ngo\nstop\n")
    assert chunks == 3
    assert [next(iter(answer)) for answer in answers] == ["ready", "seconds", "seconds", "peak_memory_bytes"]
    assert 0 < answers[-1]["peak_memory_bytes"] <= peak_memory_bytes()


def test_the_end_of_the_input_ends_it_too():
    assert conversation("go\n")[0] == 2


def test_a_pause_does_not_count(monkeypatch):
    clock = iter([0.0, 1.0, 100.0, 101.0, 107.0, 110.0])  # warm-up; then start, pause, resume, end
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    pacer = Pacer(io.StringIO("go\nstop\n"), answers := io.StringIO())
    assert pacer.next_chunk()
    assert pacer.next_chunk()
    pacer.pause()
    pacer.resume()
    assert not pacer.next_chunk()
    assert json.loads(answers.getvalue().splitlines()[1]) == {"seconds": pytest.approx(110 - 100 - (107 - 101))}


def test_a_framework_is_left_by_an_exception():
    pacer = Pacer(io.StringIO(""), io.StringIO())
    pacer.next_chunk_or_exit()
    with pytest.raises(SystemExit):
        pacer.next_chunk_or_exit()
