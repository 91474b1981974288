"""What a sweep shows at a terminal and elsewhere."""

import io

import pytest
from folders import write_run
from rich.console import Console

from dlproj.runs.record import read_run
from dlproj.sweeps.jobs import SweepJob
from dlproj.sweeps.view import View


@pytest.fixture
def job(composed, tmp_path):
    """Call with a number and what is known of it: a job of a sweep."""

    def make(number, run=True, **known):
        folder = tmp_path / str(number)
        config = composed("data=digits", "trainer.max_epochs=5")
        made = SweepJob(lambda: None, folder, f"seed={number}", config, **known)
        if run:
            write_run(folder, status="completed", **{"test/accuracy": 0.9, "seconds": 3.0})
        return made

    return make


def test_without_a_terminal_each_run_that_ends_is_a_line_and_a_failure_an_error(job, capsys):
    with View(3) as view:
        done, failed, kept = job(0), job(1, run=False, reason="no such data"), job(2, kept=True)
        done.run, kept.run = read_run(done.folder), read_run(kept.folder)
        for one in (done, failed, kept):
            view.started(one)
            view.ended(one)
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "[1/3] 0 seed=0: test accuracy 90.00% in 3.0 s",
        "[3/3] 2 seed=2: test accuracy 90.00% in 3.0 s, done before",
    ]
    assert err == "error: job 1 (seed=1): no such data\n"


def test_a_terminal_shows_what_is_done_what_runs_and_how_far_it_is(job):
    view = View(5)
    running, fresh, done = job(0), job(1, run=False), job(2)
    done.run = read_run(done.folder)
    for one in (running, fresh, done):
        view.started(one)
    view.ended(done)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(view._table())
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert lines == [
        "run  settings  state",
        "2    seed=2    test accuracy 90.00% in 3.0 s",
        "0    seed=0    epoch 2/5, val/accuracy 87.50%",
        "1    seed=1    epoch 0/5",
        "1 done, 0 failed, 2 running, 2 waiting",
    ]


def test_a_pruned_run_says_when_and_how_far_it_had_come(job, capsys):
    pruned = job(0)
    pruned.run = read_run(pruned.folder)
    pruned.run.result.status, pruned.run.result.stop_reason = "pruned", "pruned after epoch 2"
    with View(1) as view:
        view.ended(pruned)
    assert capsys.readouterr().out == "[1/1] 0 seed=0: pruned after epoch 2, val/accuracy 87.50%\n"


def test_settings_and_reasons_are_shown_as_they_are(job):
    view = View(1)
    view.ended(job(0, run=False, reason="no folder [/x] :smile:"))
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(view._table())
    assert "no folder [/x] :smile:" in console.export_text()
