"""Running a function in several processes on one machine, as torchrun does, but from within Python."""

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


def run_in_processes(count: int, function: Callable[..., T], *arguments: Any) -> T:
    """Call function(*arguments) in `count` spawned processes with torchrun's environment; return rank 0's result.

    Ctrl-C and SIGTERM end them all, and this process with exit code 130 or 143. If a process fails, the others are
    terminated and its error is raised here: a UserError as such, any other as a RuntimeError with its traceback.
    Lightning's own launcher would run the whole command line, and so a whole sweep, again in each process.
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
            # An address that needs no lookup: a machine may be unable to resolve its own name.
            rdzv_endpoint=f"{_LOOPBACK}:0",
            local_addr=_LOOPBACK,
            rdzv_configs={"join_timeout": 60},  # seconds; joining takes less than one
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
    """Destroy the process group, if there is one, as torch requires before a process ends."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _check_loopback(processes: int) -> None:
    """Raise UserError if the loopback address is unreachable: torch would retry for minutes and print pages."""
    try:
        with socket.create_server((_LOOPBACK, 0)) as server:
            socket.create_connection(server.getsockname(), timeout=10).close()
    except OSError as error:
        message = f"{processes} processes meet at {_LOOPBACK}, where this machine does not reach itself ({error})"
        raise UserError(f"{message}: bring up its loopback interface, or train in one process") from error


@contextmanager
def _on_this_machine_alone() -> Iterator[None]:
    """Make processes started here use the loopback interface, and torch look up no host names.

    If no name server answers, each of torch's several lookups of the machine's full name takes half a minute.
    """
    inherited = {"PYTHONSAFEPATH": "1"}  # else a random.py in the working folder would replace Python's module
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
    """Call the function in a spawned process; after a signal, exit at once when the run's record is written.

    A normal exit would spend two seconds freeing imported modules.
    """
    raise_on_ctrl_c()
    try:
        return function(*arguments)
    except UserError:
        raise
    except Exception as error:
        from dlproj.command_errors import in_one_line, is_user_error  # which only an error needs

        if is_user_error(error):
            raise UserError(in_one_line(error)) from error
        raise
    except SystemExit as ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code if isinstance(ended.code, int) else 1)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Restore this process's signal handlers, which torch's launcher replaces for good by its own exceptions."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:  # never outside the main thread, where signal.signal fails
                signal.signal(number, handler)


@contextmanager
def _only_our_words() -> Iterator[None]:
    """Silence torch's launcher, which prints Ctrl-C, and a failed process's traceback twice before raising it."""
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
    message: Any = failure.message  # a dict after a Python exception, a string if the process was killed
    summary = message["message"] if isinstance(message, dict) else str(message)
    name, _, text = summary.partition(": ")
    if name in ("UserError", "ConfigurationError", "DataError"):
        return UserError(text)
    callstack = message["extraInfo"]["py_callstack"] if isinstance(message, dict) else ""
    return RuntimeError(f"process {failed_rank} failed: {summary}\n{callstack}")
