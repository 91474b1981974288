"""One-line messages for errors on the command line."""

import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from traceback import walk_tb

import yaml
from hydra.conf import HydraConf
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from dlproj.config.checks import UserError, one_line, require
from dlproj.config.conversion import explain
from dlproj.config.user_code import line_of
from dlproj.experiments import names, no_experiment
from dlproj.file_systems import why

_TOLD = (UserError, HydraException, OmegaConfBaseException, yaml.YAMLError)  # their text says what is wrong
# Parts of torch's RuntimeErrors on memory: on the CPU, for a size beyond 64 bits, on a GPU.
_NO_MEMORY = ("can't allocate memory", "size calculation overflowed", "out of memory")
# Errors of file systems; an OSError of the network, for example, has another number.
_OF_FILES = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EMFILE,
        errno.ENFILE,
        errno.EIO,
        errno.ESTALE,
        errno.EBUSY,
    }
)
# Files given as choices, and the settings that take them.
_FILE_CHOICES = {
    "data": (re.compile(r".+\.(csv|tsv|parquet|arrow|feather|xlsx)", re.IGNORECASE), "data=table data.file="),
    "model": (re.compile(r".+\.py:\w+"), "model=custom model.network="),
}
_MAKE_ROOM = "make room there, or choose another folder"
_CLOSE_FILES = "close other programs, or raise the limit with ulimit -n"
_WHAT_TO_DO = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EMFILE: _CLOSE_FILES,
    errno.ENFILE: _CLOSE_FILES,
}
_SHOW_TRACEBACKS = os.environ.get("HYDRA_FULL_ERROR") == "1"


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors that the user can fix into one line on standard error and exit code 1; Ctrl-C into exit code 130.

    With HYDRA_FULL_ERROR=1 in the environment the full traceback is shown instead.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises errors instead of printing them
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if _SHOW_TRACEBACKS or not is_user_error(error):
            raise
        if not hasattr(error, "shown"):
            _show(error)
        sys.exit(1)


@contextmanager
def job_errors(hydra: HydraConf, folder: Path) -> Iterator[None]:
    """Like one_line_errors() for one job; in a sweep the error is shown with the job's number and raised again.

    Hydra then runs the other jobs. A folder in which nothing was written yet is removed.
    """
    try:
        if hydra.mode is RunMode.RUN:
            with one_line_errors():
                of_sweeps = [text for text in hydra.overrides.task if text.startswith("sweep.")]
                require(not of_sweeps, f"{' '.join(of_sweeps)} is for several runs: add -m")
                yield
        else:
            with _shown_as(f"job {hydra.job.num} ({' '.join(hydra.overrides.task)})"):
                yield
    finally:
        remove_if_unused(folder)


def remove_if_unused(folder: Path) -> None:
    """Remove a run's folder in which nothing was written yet."""
    if folder.exists() and all(path.name == ".lock" for path in folder.iterdir()):
        _remove_unless_locked(folder)


def _remove_unless_locked(folder: Path) -> None:
    """Remove a folder that holds at most a lock, unless another process has locked it to write there."""
    from dlproj.runs.lock import run_lock

    with suppress(UserError, OSError), run_lock(folder):
        shutil.rmtree(folder)


@contextmanager
def _shown_as(job: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if is_user_error(error) and not _SHOW_TRACEBACKS:
            _show(error, f"{job}: ")
            error.shown = True  # type: ignore[attr-defined]
        raise


def is_user_error(error: Exception) -> bool:
    """True if in_one_line() can tell the user what to do."""
    told = isinstance(error, _TOLD) or lacks_memory(error) or _is_of_files(error) or _failed_in_hydra(error)
    return told or line_of(error) is not None


def _is_of_files(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _OF_FILES


def lacks_memory(error: BaseException) -> bool:
    """True if Python, NumPy or torch ran out of memory."""
    words = str(error) if isinstance(error, RuntimeError) else ""
    return isinstance(error, MemoryError) or any(sign in words for sign in _NO_MEMORY)


def _failed_in_hydra(error: Exception) -> bool:
    """True if the error was raised in Hydra's or OmegaConf's code, or in the standard library called from it.

    Examples are `data=null`, `+x=[{a: 1}]` and a name that is too long for a file.
    """
    modules = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    known = [module for module in modules if module.partition(".")[0] not in sys.stdlib_module_names]
    return bool(known) and known[-1].startswith(("hydra.", "omegaconf."))


def _show(error: Exception, prefix: str = "") -> None:
    print(f"error: {one_line(prefix)}{in_one_line(error)}", file=sys.stderr)


def in_one_line(error: BaseException) -> str:
    """One line on what went wrong and what to do."""
    if lacks_memory(error):
        asked = re.search(r"allocate ([\d.]+ \w+)", str(error))
        much = f" ({asked[1]} more needed)" if asked else ""
        return f"out of memory{much}: use smaller batches or layers, or less data"
    if not isinstance(error, _TOLD) and (line := line_of(error)):
        return one_line(line)
    if isinstance(error, OSError) and _is_of_files(error) and not _reads_settings(error):
        return one_line(_of_files(error))
    words = _in_words(error)
    if not isinstance(error, _TOLD) and not str(error).startswith("Config group override"):
        words = (
            f"the command line cannot be used ({type(error).__name__}: {words}): a group of settings takes the "
            "name of one of its files, such as data=digits"
        )
    return one_line(words)


def _unreadable(message: str) -> str:
    """What of the command line Hydra could not read, from its message, and how to quote it."""
    typed = " ".join(message.partition("See https://")[0].split()).removeprefix("LexerNoViableAltException: ")
    typed = typed.removesuffix(" ^")
    setting = re.fullmatch(r"(?a:([\w.]+))=([^\[\]{}\"'\\]+)", typed)
    example = f'{setting[1]}="{setting[2]}"' if setting else 'data.root="~/data"'
    quoting = f"write setting=value, and put quotes around what is not plain: '{example}'"
    return f"the command line cannot be read ({typed}): {quoting}"


def _reads_settings(error: OSError) -> bool:
    """True if Hydra looked for the file of a choice, whose name may be too long."""
    return _failed_in_hydra(error) and not _makes_folder(error)


def _makes_folder(error: OSError) -> bool:
    return any(frame.f_code.co_name == "mkdir" for frame, _ in walk_tb(error.__traceback__))


def _of_files(error: OSError) -> str:
    path, reason = os.fsdecode(error.filename or ""), why(error)
    if error.errno == errno.ENAMETOOLONG:
        path = f"{path[:60]}…"
    advice = _WHAT_TO_DO.get(error.errno or 0, "choose another place, or change its rights")
    if not _makes_folder(error):
        return f"{path} cannot be used ({reason}): {advice}" if path else f"{reason}: {advice}"
    if any(frame.f_globals.get("__name__", "").startswith("hydra") for frame, _ in walk_tb(error.__traceback__)):
        advice = "set hydra.run.dir, or with -m hydra.sweep.dir, to another folder"
    return f"{path} cannot be made ({reason}): {advice}"


def _in_words(error: BaseException) -> str:
    if isinstance(error, MissingConfigException):
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        if group.split("/")[0] == "experiment":
            return no_experiment(str(error.missing_cfg_file).removeprefix("experiment/"), names())
        if not group:
            return f"there is no {choice}.yaml to begin with: leave out --config-path and --config-name"
        first, _, file = str(error.missing_cfg_file).partition("/")
        if first in _FILE_CHOICES and _FILE_CHOICES[first][0].fullmatch(file):
            return f"unknown choice {first}={file}: did you mean {_FILE_CHOICES[first][1]}{file}?"
        near = get_close_matches(choice, error.options or [], n=1)
        known = f"set one of {', '.join(sorted(error.options))}" if error.options else "it has no file in conf/"
        return f"unknown choice {group}={choice}: {f'did you mean {group}={near[0]}? ' if near else ''}{known}"
    if isinstance(error, OmegaConfBaseException):
        return explain(error)
    if isinstance(error, ValueError) and str(error).startswith("Config group override"):
        return "a group of settings cannot be null: leave it out, or choose one of its files, such as data=digits"
    if isinstance(error, OverrideParseException) or type(error).__name__.startswith("Lexer"):
        return _unreadable(str(error))
    if isinstance(error, OSError):  # the file's name may be too long to show
        return str(error.strerror)
    cause = error.__cause__ or error.__context__
    if isinstance(error, HydraException) and cause is not None:
        return _in_words(cause)
    return " ".join(str(error).split())
