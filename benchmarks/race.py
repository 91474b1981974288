"""The parent's end: starts one worker per variant and lets them train in turn, one at a time."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.cases import Job
from benchmarks.figures import Record
from dlproj.machine import usable_cores

_ROOT = Path(__file__).parents[1]


class WorkerError(Exception):
    """The worker cannot continue; the message says why."""


class Worker:
    """One variant in its own process. Leaving the context ends it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._folder = Path(job.output)

    def __enter__(self) -> "Worker":
        self._folder.mkdir(parents=True)
        self._log = (self._folder / "log").open("w+")
        command = [_python(self.job), "-m", "benchmarks.worker", self.job.to_json()]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._log, text=True, cwd=_ROOT)
        return self

    def __exit__(self, *args: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def wait_until_ready(self) -> dict[str, str]:
        """Wait for the warm-up; returns versions of the worker's own packages. Raises WorkerError."""
        return self._answer()["versions"]

    def chunk(self) -> float:
        """Train a chunk; returns its seconds. Raises WorkerError."""
        return self._ask("go")["seconds"]

    def stop(self) -> dict[str, int]:
        """End the worker; returns its peak memory. Raises WorkerError."""
        return self._ask("stop")

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerError(self._last_words()) from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(self._last_words())
        answer = json.loads(line)
        if "unavailable" in answer:
            raise WorkerError(answer["unavailable"])
        return answer

    def _last_words(self) -> str:
        self._process.wait()
        lines = (self._folder / "log").read_text(errors="replace").strip().splitlines()
        return f"failed with exit code {self._process.returncode}: {lines[-1].strip() if lines else 'no output'}"


def _python(job: Job) -> str:
    return os.environ.get("KERAS_PYTHON", sys.executable) if job.variant == "keras" else sys.executable


def race(jobs: Sequence[Job], rounds: int, say: Callable[[str], None]) -> Iterator[Record]:
    """Let the jobs of one case and number of threads train in turn; yields records as they are measured."""
    with ExitStack() as stack:
        workers = [Worker(job) for job in jobs]
        yield from (_record(job, steps=job.steps) for job in jobs)
        say(f"{jobs[0].case.name}, threads={jobs[0].threads}: {len(jobs)} variants warm up")
        ready: list[Worker] = []
        at_once = max(1, usable_cores() // jobs[0].threads)  # during the warm-up, which is not timed
        for first in range(0, len(workers), at_once):
            yield from _warm_up([stack.enter_context(worker) for worker in workers[first:][:at_once]], ready)
        yield from _rounds(ready, rounds, say)


def _warm_up(workers: list[Worker], ready: list[Worker]) -> Iterator[Record]:
    for worker in workers:
        try:
            yield _record(worker.job, worker_versions=worker.wait_until_ready())
            ready.append(worker)
        except WorkerError as error:
            yield _record(worker.job, note=str(error))


def _rounds(workers: list[Worker], rounds: int, say: Callable[[str], None]) -> Iterator[Record]:
    order = random.Random(0)
    for i in range(1, rounds + 1):
        for worker in order.sample(workers, len(workers)):  # a copy: a failed worker leaves the list
            try:
                seconds = worker.chunk()
            except WorkerError as error:
                workers.remove(worker)
                yield _record(worker.job, note=str(error))
            else:
                say(f"round {i}/{rounds}: {worker.job.variant} {seconds:.2f} s")
                yield _record(worker.job, round=i, seconds=seconds)
    for worker in workers:
        yield _record(worker.job, **worker.stop())


def _record(job: Job, **values: Any) -> Record:
    return {"case": job.case.name, "threads": job.threads, "variant": job.variant, **values}
