"""Locks and syncing, which network, container and FUSE file systems may lack."""

import errno
import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

_log = logging.getLogger(__name__)
# Errors of a system call that is not implemented. A disk that is full or broken has others (EIO, ENOSPC).
_LACKING = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK})
_NO_FOLDER_SYNC = _LACKING | {errno.EBADF, errno.EROFS, errno.EACCES, errno.EPERM, errno.EISDIR}


def sync_file(file: IO[bytes]) -> None:
    """Make written data survive a power cut, if the file system can. Raises OSError if the disk fails."""
    file.flush()
    with _unless(_LACKING, "cannot sync files", "a power cut may lose the last checkpoint"):
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in the folder survive a power cut, if the file system can."""
    with _unless(_NO_FOLDER_SYNC, "cannot sync folders", "a power cut may lose the last checkpoint"):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def lock(file: IO[str], wait: bool = False) -> None:
    """Lock the file until it is closed, if the file system can.

    If another process has it locked, wait for it or, by default, raise BlockingIOError.
    """
    with _unless(_LACKING, "has no locks", "start no second process on the same runs meanwhile"):
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def locked_inodes() -> set[int]:
    """Inodes of the files that processes have locked now; empty where the system does not tell."""
    try:
        return {int(inode) for inode in re.findall(r" [0-9a-f]+:[0-9a-f]+:(\d+) ", Path("/proc/locks").read_text())}
    except OSError:
        return set()


def why(error: OSError) -> str:
    """The reason of an OSError in the system's words or clearer ones, without the file's name."""
    path = Path(os.fsdecode(error.filename or ""))
    if error.errno == errno.EEXIST and path.is_symlink():
        return f"it is a link to {path.readlink()}, which is not there"
    nearest = next((parent for parent in (path, *path.parents) if os.path.exists(parent)), path)  # Path's would raise
    if error.errno in (errno.ENOTDIR, errno.EEXIST) and not nearest.is_dir():
        return f"{nearest} is not a folder"
    return error.strerror or str(error)


@contextmanager
def _unless(lacking: frozenset[int], what: str, advice: str) -> Iterator[None]:
    """Warn once instead of failing if a call fails with one of these error numbers."""
    try:
        yield
    except OSError as error:
        if error.errno not in lacking:
            raise
        _say_once(f"the file system {what} ({error.strerror}): {advice}")


@cache
def _say_once(text: str) -> None:
    _log.warning("%s", text)
