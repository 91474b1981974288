"""Lets a worker train one chunk at a time, on command. Imports only the standard library."""

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
    """The worker's end of the protocol.

    The variant calls next_chunk() at the start of every chunk. The first chunk is a warm-up and runs at once; then the
    worker reports that it is ready. Each line "go" is answered with the seconds of one chunk, anything else, including
    the end of the input, with the peak memory of the process.
    """

    def __init__(self, commands: TextIO, answers: TextIO) -> None:
        self.synchronize: Callable[[], None] = lambda: None  # waits for an asynchronous device
        self.peak_gpu_memory_bytes: Callable[[], int] = lambda: 0
        self.versions: dict[str, str] = {}  # of packages that only the worker has
        self._commands = commands
        self._answers = answers
        self._chunks = 0

    def next_chunk(self) -> bool:
        """End the current chunk and wait for the next; False if there is none."""
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
        """Like next_chunk(), but raise SystemExit to leave a framework's loop."""
        if not self.next_chunk():
            raise SystemExit

    def pause(self) -> None:
        """Stop the clock."""
        self._paused = self._now()

    def resume(self) -> None:
        """Restart the clock after pause()."""
        self._left_out_seconds += self._now() - self._paused

    def answer(self, **values: Any) -> None:
        """Send values to the parent process."""
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
    """Peak memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, getrusage() includes the parent's memory at the start
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
