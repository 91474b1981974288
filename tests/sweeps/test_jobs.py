"""Why a job died, in one line."""

import pytest
from folders import write_run

from dlproj.sweeps.jobs import Job


@pytest.fixture
def job(tmp_path):
    return Job(print, tmp_path / "seed-0")


def test_a_killed_run_names_the_signal_and_a_silent_one_its_exit_code(job):
    assert job.why_it_died(-9) == "killed by SIGKILL"
    assert job.why_it_died(3) == "exit code 3"


def test_the_last_line_that_it_printed_says_why(job):
    job.log.write_text("Epoch 1\nerror: no such data: look elsewhere\n\n  \n")
    assert job.log == job.folder.with_name("seed-0.log")
    assert job.why_it_died(1) == "no such data: look elsewhere"


@pytest.mark.parametrize(("status", "exit_code"), [("failed", 1), ("interrupted", 130), ("interrupted", 143)])
def test_its_record_says_why_if_the_run_came_to_write_it(job, status, exit_code):
    job.log.write_text("error: another")
    write_run(job.folder, status=status, stop_reason="loss is NaN\nTraceback")
    assert job.why_it_died(exit_code) == "loss is NaN"


def test_a_record_of_an_earlier_start_is_not_the_reason(job):
    job.log.write_text("error: the disk is full")
    write_run(job.folder, status="interrupted", stop_reason="interrupted by Ctrl-C")
    assert job.why_it_died(1) == "the disk is full"
