"""Several processes on one machine, each running the same function: what torchrun does, from within Python."""

import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch.distributed

from dlproj.config.checks import UserError
from dlproj.launch import OURS
from dlproj.start import raise_on_ctrl_c

T = TypeVar("T")
_LOOPBACK = "127.0.0.1"


def agree_on(text: str, key: str) -> str:
    """The text that the first of torchrun's processes to come here has brought, also after a restart."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = torch.distributed.TCPStore(address, port, is_master=False)  # type: ignore[attr-defined]
    agreed: bytes = store.compare_set(f"dlproj/{key}", "", text)
    return agreed.decode()


def run_in_processes(count: int, function: Callable[..., T], *arguments: Any) -> T:
    """Call function(*arguments) in `count` spawned processes with torchrun's environment; return rank 0's result.

    Ctrl-C and SIGTERM end them all, and this process with exit code 130 or 143. The first process that fails takes the
    others down; a UserError in it is raised here as one, any other error as a RuntimeError with its traceback.
    Lightning's own launcher would run the whole command line again in each process, and so a whole sweep.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _check_loopback(count)
    with TemporaryDirectory() as logs, _only_our_words(), _handlers_kept(), _on_this_machine_alone():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=OURS + uuid.uuid4().hex,
            rdzv_backend="c10d",
            # Processes of one machine meet at an address that needs no name: its own may be unknown to it.
            rdzv_endpoint=f"{_LOOPBACK}:0",
            local_addr=_LOOPBACK,
            rdzv_configs={"join_timeout": 60},  # seconds, of which it takes less than one
            max_restarts=0,
            monitor_interval=0.1,
            start_method="spawn",
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            results: dict[int, T] = elastic_launch(config, _call)(function, *arguments)
            return results[0]
        except ChildFailedError as error:
            raise _cause(error) from None
        except SignalException as error:
            sys.exit(128 + error.sigval)


def leave_group() -> None:
    """Leave the process group, if this process is in one, as torch asks for before a process ends."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _check_loopback(processes: int) -> None:
    """Raise UserError where no connection comes about: torch would try for minutes, and write pages of it."""
    try:
        with socket.create_server((_LOOPBACK, 0)) as server:
            socket.create_connection(server.getsockname(), timeout=10).close()
    except OSError as error:
        message = f"{processes} processes meet at {_LOOPBACK}, where this machine does not reach itself ({error})"
        raise UserError(f"{message}: bring up its loopback interface, or train in one process") from error


@contextmanager
def _on_this_machine_alone() -> Iterator[None]:
    """Have the processes inherit what keeps them from looking elsewhere, and torch name this machine without asking.

    Where no name server answers, each of its several lookups of the machine's full name takes half a minute.
    """
    inherited = {"PYTHONSAFEPATH": "1"}  # no module of the working folder, such as a random.py, in place of Python's
    if loopback := [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]:
        inherited["GLOO_SOCKET_IFNAME"] = loopback[0]
    before, full_name = {name: os.environ.get(name) for name in inherited}, socket.getfqdn
    os.environ.update(inherited)
    socket.getfqdn = lambda name="": name or socket.gethostname()
    try:
        yield
    finally:
        socket.getfqdn = full_name
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({name: value} if value is not None else {})


def _call(function: Callable[..., T], *arguments: Any) -> T:
    """In a process of its own, which a signal ends at once when its record is written.

    Python would free what is imported piece by piece first, for two seconds.
    """
    raise_on_ctrl_c()
    try:
        return function(*arguments)
    except OSError as error:
        from dlproj.command_errors import in_one_line, is_user_error  # which imports this module

        if is_user_error(error):
            raise UserError(in_one_line(error)) from error
        raise
    except SystemExit as ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code if isinstance(ended.code, int) else 1)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Undo what torch's launcher does to this process's signals, which would then raise its exceptions for ever."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            if signal.getsignal(one) is not handler:  # never off the main thread, where signal.signal is refused
                signal.signal(one, handler)


@contextmanager
def _only_our_words() -> Iterator[None]:
    """Keep torch's launcher from printing a failing process's traceback two times before it is raised, and Ctrl-C."""
    names = ("torch.distributed.elastic", "torch.distributed.elastic.agent.server.api", "torch.multiprocessing")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _cause(error: Any) -> Exception:
    failed_rank, failure = error.get_first_failure()
    message: Any = failure.message  # a dict from a Python exception, else a string: the process was killed
    summary = message["message"] if isinstance(message, dict) else str(message)
    name, _, text = summary.partition(": ")
    if name in ("UserError", "ConfigurationError", "DataError"):
        return UserError(text)
    callstack = message["extraInfo"]["py_callstack"] if isinstance(message, dict) else ""
    return RuntimeError(f"process {failed_rank} failed: {summary}\n{callstack}")
