"""Sends a run to a tracker while it trains, from a process of its own.

Training neither imports the tracker's package nor waits for its server. If the run is killed, the process notices,
sends what there is and ends.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from dlproj.config.checks import UserError, one_line

_PAUSE = 1.0  # seconds between two times that something is sent
# Seconds that a run waits at its end for what is still being sent, which goes on then; less if it was interrupted.
_PATIENCE, _LITTLE_PATIENCE = 600.0, 5.0


class Sender:
    """A process that sends a folder to a tracker: at once, after changed(), and for the last time after end()."""

    def __init__(self, tracker: str, options: Mapping[str, Any], folder: Path) -> None:
        # In its own session Ctrl-C does not reach it; it ends when its standard input does.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dlproj.trackers.live", tracker, json.dumps(dict(options)), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def changed(self) -> None:
        """Have the folder sent again soon. Raises UserError if nothing can be sent: the process has ended then."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self.end()

    def end(self, wait: bool = True) -> None:
        """Wait until the folder was sent, or with wait=False not for long. Raises UserError if that is impossible."""
        try:
            answer, _ = self._process.communicate(timeout=_PATIENCE if wait else _LITTLE_PATIENCE)
        except subprocess.TimeoutExpired:
            Thread(target=self._process.wait, daemon=True).start()  # no zombie is left of it
            if wait:
                raise UserError(f"process {self._process.pid} is still sending the run") from None
            return
        problem = answer.decode().strip()
        if problem or self._process.returncode:
            raise UserError(problem or "the process that sends the run was killed")


def main() -> None:
    """Send the folder named on the command line until standard input ends; print why that failed."""
    name, options, folder = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3])
    with suppress(OSError):
        os.nice(5)  # training comes first
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # trackers print there
        try:
            _send_until_the_end(name, options, folder)
        except UserError as error:
            answer.write(one_line(str(error)))


def _send_until_the_end(name: str, options: Mapping[str, Any], folder: Path) -> None:
    from dlproj.trackers.sending import opened, push_command, send_again

    with opened(name, options, f"{push_command(name, options, folder)} sends it later") as tracker:
        goes_on = True
        while goes_on:
            send_again(tracker, folder, alive=True)
            goes_on = _wait()
        send_again(tracker, folder, alive=False)


def _wait() -> bool:
    """Wait for the next change, and at least for the pause; False once standard input has ended."""
    soon = time.monotonic() + _PAUSE
    changed = False
    while not changed or (left := soon - time.monotonic()) > 0:
        if select.select([0], [], [], left if changed else None)[0]:
            if not os.read(0, 1 << 16):
                return False
            changed = True
    return True


if __name__ == "__main__":
    main()
