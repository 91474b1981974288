"""What the command line needs beside Hydra: unique run folders, and errors in one line."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path

from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dlproj.settings import UserError, explain


def stamp() -> None:
    """Register `${stamp:}`: date, time and a random part, so that no two runs share it."""
    text = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    OmegaConf.register_new_resolver("stamp", lambda: text, replace=True)


_SHOW_TRACEBACKS = os.environ.get("HYDRA_FULL_ERROR") == "1"


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what the user can mend into one line on standard error and exit code 1.

    With HYDRA_FULL_ERROR=1 in the environment the whole traceback is shown instead.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would else print in a form of its own
    try:
        yield
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if _SHOW_TRACEBACKS:
            raise
        print(f"error: {in_one_line(error)}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


@contextmanager
def job_errors(mode: RunMode | None, folder: Path) -> Iterator[None]:
    """The same for one job; in a sweep the error goes on to Hydra, which runs the other jobs first.

    A folder in which nothing was written yet is removed.
    """
    try:
        with one_line_errors() if mode is RunMode.RUN else nullcontext():
            yield
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()


def in_one_line(error: Exception) -> str:
    """What went wrong and what to set instead."""
    if isinstance(error, MissingConfigException):
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        known = f"set one of {', '.join(sorted(error.options))}" if error.options else f"there is no conf/{group}"
        return f"{group}={choice} is no choice: {known}"
    if isinstance(error, OmegaConfBaseException):
        return explain(error)
    if isinstance(error, HydraException) and isinstance(error.__cause__, OmegaConfBaseException):
        return explain(error.__cause__)
    return " ".join(str(error).split())
