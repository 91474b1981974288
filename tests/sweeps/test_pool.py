"""Jobs in processes of their own: as many at once as asked for, each by itself, none of them left behind."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from multiprocessing.context import ForkProcess

import ctrl_c
import pytest
from waiting import until

from dlproj.config.checks import DataError
from dlproj.sweeps.forks import Forks
from dlproj.sweeps.pool import Job, run_jobs


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stderr.write(f"{text}\n")


def fail():
    raise DataError("no such data: look elsewhere")


def no_room():
    raise OSError(errno.ENOSPC, "No space left on device", "metrics.csv")


def crash():
    raise ZeroDivisionError("a mistake")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def meet(folder, number):
    """Leave a mark and wait until another job has left its own: no end unless two run at once."""
    (folder / f"mark-{number}").touch()
    until((folder / f"mark-{1 - number}").exists)


def test_each_job_is_told_of_with_its_exit_code_and_what_it_printed(tmp_path):
    jobs = [
        Job(say, ("hello",), tmp_path / "a/log.txt"),
        Job(fail, (), tmp_path / "b.txt"),
        Job(crash, (), tmp_path / "c.txt"),
        Job(die, (), tmp_path / "d.txt"),
        Job(say, ("bye",), tmp_path / "e.txt"),
        Job(no_room, (), tmp_path / "f.txt"),
    ]
    told = []
    run_jobs(jobs, Forks([{}]), lambda job, code: told.append((job.log.name, code)))
    assert told == [("log.txt", 0), ("b.txt", 1), ("c.txt", 1), ("d.txt", -signal.SIGKILL), ("e.txt", 0), ("f.txt", 1)]
    assert (tmp_path / "a/log.txt").read_text() == "hello\nhello\n"
    assert (tmp_path / "b.txt").read_text() == "error: no such data: look elsewhere\n"
    assert (tmp_path / "f.txt").read_text().startswith("error: metrics.csv cannot be used (No space left on device): ")
    assert "ZeroDivisionError: a mistake" in (tmp_path / "c.txt").read_text()


def test_two_jobs_run_at_the_same_time_where_two_are_asked_for(tmp_path):
    codes = []
    jobs = [Job(meet, (tmp_path, n), tmp_path / f"{n}.txt") for n in (0, 1)]
    run_jobs(jobs, Forks([{}] * 2), lambda _, code: codes.append(code))
    assert codes == [0, 0]


def test_a_job_has_this_process_memory_and_changes_only_its_own(tmp_path):
    shared = ["unchanged"]
    run_jobs([Job(shared.append, ("changed",), tmp_path / "log.txt")], Forks([{}]), lambda *_: None)
    assert shared == ["unchanged"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_what_ends_the_parent_ends_the_jobs(sent, tmp_path):
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from dlproj.sweeps.forks import Forks
        from dlproj.sweeps.pool import Job, run_jobs
        def work():
            Path({str(tmp_path)!r}, "pid.tmp").write_text(str(os.getpid()))
            os.rename({str(tmp_path / "pid.tmp")!r}, {str(tmp_path / "pid")!r})
            signal.pause()
        run_jobs([Job(work, (), Path({str(tmp_path)!r}, "log.txt"))], Forks([{{}}]), print)
    """)
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL, preexec_fn=ctrl_c.heed)
    until(lambda: (tmp_path / "pid").exists() or process.poll() is not None)
    process.send_signal(sent)
    process.wait(timeout=120)
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not runs(pid))


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def idle_thread():
    """Another thread, which takes the signals that this one holds back."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    yield
    over.set()
    thread.join()


def handlers():
    return [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


@pytest.mark.usefixtures("idle_thread")
@pytest.mark.parametrize(
    ("sent", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)]
)
def test_a_signal_between_a_start_and_its_note_leaves_no_job_behind(sent, raised, tmp_path, monkeypatch):
    started, before = [], handlers()
    start = ForkProcess.start

    def start_and_interrupt(process):
        start(process)
        started.append(process)
        os.kill(os.getpid(), sent)
        until(lambda: sent not in signal.sigpending())

    monkeypatch.setattr(ForkProcess, "start", start_and_interrupt)
    with ctrl_c.heeded(), pytest.raises(raised):
        run_jobs([Job(signal.pause, (), tmp_path / "log.txt")], Forks([{}]), print)
    alive = [process.is_alive() for process in started]
    for process in started:
        process.kill()
    assert alive == [False]
    assert handlers() == before


def tell_of_ctrl_c():
    sys.stdout.write(str(signal.getsignal(signal.SIGINT) is signal.default_int_handler))


def test_a_job_heeds_ctrl_c_as_this_process_does(tmp_path):
    with ctrl_c.heeded():
        run_jobs([Job(tell_of_ctrl_c, (), tmp_path / "log.txt")], Forks([{}]), lambda *_: None)
    assert (tmp_path / "log.txt").read_text() == "True"


def test_handlers_of_signals_are_as_they_were(tmp_path):
    before = handlers()
    run_jobs([Job(say, ("hello",), tmp_path / "log.txt")], Forks([{}]), lambda *_: None)
    assert handlers() == before


def test_ctrl_c_in_a_job_that_has_no_log_yet_shows_no_traceback(tmp_path, monkeypatch, capfd):
    def interrupted(job, place):
        raise KeyboardInterrupt

    monkeypatch.setattr("dlproj.sweeps.forks.call", interrupted)
    codes = []
    run_jobs([Job(say, ("hello",), tmp_path / "a.txt")], Forks([{}]), lambda job, code: codes.append(code))
    assert codes == [130]
    assert capfd.readouterr().err == ""
