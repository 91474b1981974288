"""Workers of a Ray cluster: each job is a task in a process of its own, on whichever machine has room for it."""

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic

from dlproj.config.checks import ConfigurationError, require
from dlproj.machine import SHARE_OF_CORES
from dlproj.sweeps.workers import GRACE, J, Slot, call

_PATIENCE = 5.0  # seconds, with a cluster that does not answer


class RayTasks(Generic[J]):
    """Workers that run as many tasks at once as the cluster has room for, or as asked for.

    All machines must see the current folder under the same path and have the project installed.
    """

    def __init__(self, address: str | None, options: Mapping[str, Any], at_once: int | None) -> None:
        """Join the cluster at `address`; None starts one on this machine.

        options: arguments of ray.remote, with num_cpus and num_gpus of a run. at_once: runs at once; None is as many as
        the cluster has room for. Raises ConfigurationError.
        """
        require(find_spec("ray") is not None, "hydra/launcher=ray needs Ray: pip install -e '.[ray]'")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # which tell Ray's makers of every start
        import ray

        with _in_one_line(f"hydra.launcher.address={address}"):
            _check(address)
            ray.init(
                address or "local",
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        with _in_one_line("hydra.launcher.options"):
            # A process of its own for each run, and no second try: sweep.resume goes on from the last epoch.
            self._task = ray.remote(max_calls=1, max_retries=0)(_call).options(**options)
        self._at_once = at_once or _room(ray.cluster_resources(), options)
        self._slot: Slot = {SHARE_OF_CORES: str(max(1, int(options["num_cpus"])))}
        self._running: dict[Any, J] = {}

    def has_free_slot(self) -> bool:
        return len(self._running) < self._at_once

    def start(self, job: J) -> None:
        self._running[self._task.remote(os.getcwd(), job.function, job.log, self._slot)] = job

    def ended(self, timeout: float) -> list[tuple[J, int]] | None:
        import ray

        if not self._running:
            return None
        over, _ = ray.wait(list(self._running), timeout=timeout)
        return [(self._running[task], _exit_code(task, self._running.pop(task).log)) for task in over]

    def stop(self) -> None:
        """Cancel the running tasks, by force after GRACE seconds, and leave the cluster."""
        import ray

        for task in self._running:
            ray.cancel(task)
        if self._running:
            _, left = ray.wait(list(self._running), num_returns=len(self._running), timeout=GRACE)
            for task in left:
                ray.cancel(task, force=True)
        ray.shutdown()


def _check(address: str | None) -> None:
    """Raise ConnectionError where nothing listens, for which Ray would wait a quarter of an hour."""
    host, separator, port = (address or "").rpartition(":")
    if separator and "/" not in host:
        try:
            socket.create_connection((host, int(port)), _PATIENCE).close()
        except OSError as error:
            raise ConnectionError(error.strerror or error) from error


@contextmanager
def _in_one_line(setting: str) -> Iterator[None]:
    try:
        yield
    except (ConnectionError, ValueError, TypeError, RuntimeError) as error:
        raise ConfigurationError(f"{setting} cannot be used: {' '.join(str(error).split())[:300]}") from error


def _room(there: Mapping[str, float], options: Mapping[str, Any]) -> int:
    """The number of runs that fit into the cluster's resources at once, at least 1. Raises ConfigurationError."""
    needs = {"CPU": options["num_cpus"], "GPU": options["num_gpus"], **options.get("resources", {})}
    room = min((int(there.get(name, 0) / need) for name, need in needs.items() if need), default=1)
    words = ", ".join(f"{need} {name}" for name, need in needs.items() if need)
    has = ", ".join(f"{there.get(name, 0):g} {name}" for name in needs)
    advice = "set hydra.launcher.num_cpus and num_gpus, or sweep.jobs where the cluster grows"
    require(room > 0, f"a run needs {words}, and the Ray cluster has {has}: {advice}")
    return room


def _call(folder: str, function: Callable[[], object], log: Path, slot: Slot) -> int:
    # What Ray interrupts by; a sweep begun in a shell's background, and all that comes of it, ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    return call(function, log, slot)


def _exit_code(task: Any, log: Path) -> int:
    """The exit code of a task that has ended: 130 if cancelled; 1 if lost, with the reason added to the log."""
    import ray

    try:
        return int(ray.get(task))
    except ray.exceptions.TaskCancelledError:
        return 130
    except ray.exceptions.RayError as error:
        with suppress(OSError), log.open("a", encoding="utf-8") as stream:
            stream.write(f"error: {' '.join(str(error).split())[:300]}\n")
        return 1
