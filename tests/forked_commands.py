"""`python -W error train.py …` in forks of one process that has imported what it needs, which takes 3 s each time.

What is about the start of the command itself is tested where it is begun as by a user: test_start.py, test_cli.py,
test_wheel.py, and test_command_errors.py in part.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

TRAIN = Path(__file__).parents[1] / "train.py"
IMPORTED = [
    "dlproj.cli.train",
    "hydra.main",
    "dlproj.training.run",
    "torch.utils.tensorboard",
    "sklearn.datasets",
    "optuna",
]


class Commands:
    """A process from which commands are forked, until close()."""

    def __init__(self, folder):
        self._folder, self._begun = folder, 0
        words = [sys.executable, "-W", "error", __file__]
        self._server = subprocess.Popen(words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self):
        self._server.communicate()

    def ask(self, **request):
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def start(self, arguments, cwd, environment):
        """Begin `train.py` with the arguments, in a session of its own."""
        self._begun += 1
        out, err = (str(self._folder / f"{self._begun}.{name}") for name in ("out", "err"))
        pid = self.ask(arguments=arguments, cwd=str(cwd), environment=environment, out=out, err=err)
        return Command(self, pid, Path(out), Path(err))


class Command:
    """What tests use of subprocess.Popen."""

    def __init__(self, commands, pid, out, err):
        self._commands, self._out, self._err = commands, out, err
        self.pid, self.returncode = pid, None

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        if self.returncode is None:
            self.send_signal(signal.SIGKILL)

    def wait(self):
        if self.returncode is None:
            self.returncode = self._commands.ask(wait=self.pid)
        return self.returncode

    def communicate(self):
        """Standard output and error of the ended command."""
        self.wait()
        return self._out.read_text(), self._err.read_text()


def _serve():
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        else:
            answer = os.fork() or _train(**request)
        print(answer, flush=True)  # noqa: T201


def _train(arguments, cwd, environment, out, err):
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, path in enumerate((os.devnull, out, err)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv[:] = [str(TRAIN), *arguments]
    sys.path.insert(0, str(TRAIN.parent))  # as Python does; train.py takes it away
    runpy.run_path(str(TRAIN), run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    del sys.path[0]
    for name in IMPORTED:
        with suppress(ImportError):
            import_module(name)
    _serve()
