"""File systems that lack locks or syncing, and disks that fail."""

import errno
import fcntl
import os
import resource
import signal
import stat
from pathlib import Path

import pytest
import torch

from dlproj import file_systems
from dlproj.config.checks import ConfigurationError, UserError
from dlproj.config.whole_files import write_whole
from dlproj.file_systems import why
from dlproj.runs.lock import run_lock
from dlproj.training.checkpoints import WholeCheckpoints, read_checkpoint

CONTENT = {"state_dict": {"weights": torch.ones(3)}}


@pytest.fixture(autouse=True)
def _nothing_said_yet():
    file_systems._say_once.cache_clear()


def failing(number):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    return fail


def failing_for_folders(number):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    return fsync


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EROFS, errno.EBADF])
def test_checkpoints_are_written_where_folders_cannot_be_synced_which_is_said_once(
    number, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(os, "fsync", failing_for_folders(number))
    for name in ("best.ckpt", "last.ckpt", "last.ckpt"):
        WholeCheckpoints().save_checkpoint(CONTENT, tmp_path / name)
        assert read_checkpoint(tmp_path / name, "")["state_dict"]["weights"].tolist() == [1, 1, 1]
    (said,) = caplog.messages
    assert said.startswith(f"the file system cannot sync folders ({os.strerror(number)}): ")


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS])
def test_checkpoints_are_written_where_files_cannot_be_synced(number, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(os, "fsync", failing(number))
    WholeCheckpoints().save_checkpoint(CONTENT, tmp_path / "last.ckpt")
    assert (tmp_path / "last.ckpt").exists()
    assert len(caplog.messages) == 2  # of files and of folders


def test_checkpoints_are_written_where_folders_cannot_be_opened(tmp_path, monkeypatch, caplog):
    real = os.open
    refuse = failing(errno.EACCES)
    monkeypatch.setattr(os, "open", lambda path, *more: refuse() if path == tmp_path else real(path, *more))
    WholeCheckpoints().save_checkpoint(CONTENT, tmp_path / "last.ckpt")
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("fails", [failing, failing_for_folders])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fails_is_no_file_system_that_lacks_something(number, fails, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", fails(number))
    with pytest.raises(UserError, match=rf"last\.ckpt cannot be written \({os.strerror(number)}\)"):
        WholeCheckpoints().save_checkpoint(CONTENT, tmp_path / "last.ckpt")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_runs_begin_where_there_are_no_locks_which_is_said_once(number, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(fcntl, "flock", failing(number))
    entered = []
    for _ in range(2):
        with run_lock(tmp_path):
            entered.append(True)
    (said,) = caplog.messages
    assert len(entered) == 2
    assert said.startswith(f"the file system has no locks ({os.strerror(number)}): ")


def test_where_there_are_locks_they_hold_whatever_was_left_over(tmp_path):
    (tmp_path / ".lock").write_text("left by a run that was killed")
    with run_lock(tmp_path), pytest.raises(ConfigurationError, match="another process"), run_lock(tmp_path):
        pass


def test_a_full_disk_names_the_file_and_leaves_the_one_before(tmp_path):
    path = tmp_path / "summary.json"
    write_whole(path, "before")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # writing more fails as on a full disk
        with pytest.raises(OSError, match="too large") as refused:
            write_whole(path, "x" * 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert refused.value.filename == str(path)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("summary.json", "before")]


def test_ctrl_c_leaves_the_file_before_and_nothing_else(tmp_path, monkeypatch):
    path, write = tmp_path / "summary.json", Path.write_bytes
    write_whole(path, "before")

    def interrupted(beside, content):
        write(beside, content[:3])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, "after")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("summary.json", "before")]


def test_what_is_in_the_way_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    reasons = []
    for name in ("file/a/b", "dangling/a", "loop/a", "x" * 300):
        with pytest.raises(OSError) as refused:  # noqa: PT011
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
        reasons.append(why(refused.value))
    assert reasons == [
        f"{tmp_path / 'file'} is not a folder",
        "it is a link to nowhere, which is not there",
        "Too many levels of symbolic links",
        "File name too long",
    ]
