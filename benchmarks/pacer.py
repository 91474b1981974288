"""Lets a worker train one chunk at a time, when it is told to. Imports the standard library only."""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO


class UnavailableError(Exception):
    """The variant cannot run here; the message says why."""


class Pacer:
    """The worker's end of the conversation.

    The variant calls next_chunk() at the start of every chunk. The first one is a warm-up and runs at once; then the
    worker says that it is ready. Each line "go" is answered with the seconds of one chunk, anything else (also the end
    of the input) with the memory that the process has held at most.
    """

    def __init__(self, commands: TextIO, answers: TextIO) -> None:
        self.synchronize: Callable[[], None] = lambda: None  # waits for the device, where it computes by itself
        self.peak_gpu_memory_bytes: Callable[[], int] = lambda: 0
        self.versions: dict[str, str] = {}  # of what only the worker has
        self._commands = commands
        self._answers = answers
        self._chunks = 0

    def next_chunk(self) -> bool:
        """End the running chunk and wait for the next; False when there is none."""
        self._chunks += 1
        if self._chunks > 1:
            self._report()
            if self._commands.readline().strip() != "go":
                self.answer(peak_memory_bytes=peak_memory_bytes(), peak_gpu_memory_bytes=self.peak_gpu_memory_bytes())
                return False
        self._left_out_seconds = 0.0
        self._started = self._now()
        return True

    def next_chunk_or_exit(self) -> None:
        """The same from inside a framework's loop, which has to be left."""
        if not self.next_chunk():
            raise SystemExit

    def pause(self) -> None:
        """What follows does not count."""
        self._paused = self._now()

    def resume(self) -> None:
        """What follows counts again."""
        self._left_out_seconds += self._now() - self._paused

    def answer(self, **values: Any) -> None:
        """Tell the parent."""
        print(json.dumps(values), file=self._answers, flush=True)

    def _report(self) -> None:
        seconds = self._now() - self._started - self._left_out_seconds
        if self._chunks == 2:
            self.answer(ready=True, versions=self.versions)
        else:
            self.answer(seconds=seconds)

    def _now(self) -> float:
        self.synchronize()
        return time.perf_counter()


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage() there counts what the parent held when it started this process
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
