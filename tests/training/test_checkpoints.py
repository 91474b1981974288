"""Checkpoint files: whole or not there, and data alone."""

import errno
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import textwrap
from multiprocessing import get_context

import pytest
import torch

from dlproj.config.checks import DataError, UserError
from dlproj.training.checkpoints import FORMAT, WholeCheckpoints, read_checkpoint


def content(number, size=1000):
    return {"state_dict": {"weights": torch.full((size,), float(number))}, "epoch": number}


def save_for_ever(path, told):
    number = 0
    while True:
        WholeCheckpoints().save_checkpoint(content(number, 1_000_000), path)
        os.write(told, b".")
        number += 1


def test_fifty_kills_while_saving_leave_no_unreadable_file(tmp_path):
    path = tmp_path / "checkpoints/last.ckpt"
    chance = random.Random(0)
    for _ in range(50):
        heard, told = os.pipe()
        process = get_context("fork").Process(target=save_for_ever, args=(path, told))
        process.start()
        for _ in range(chance.randint(1, 3)):
            os.read(heard, 1)
        for _ in range(chance.randint(0, 20_000)):  # somewhere within the next one
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        os.close(heard)
        os.close(told)
        found = read_checkpoint(path, "")
        assert (found["state_dict"]["weights"] == found["epoch"]).all()


def test_a_full_disk_is_named_and_leaves_what_was_there(tmp_path):
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint(content(1), path)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # writing more fails as on a full disk
        with pytest.raises(UserError, match=rf"last\.ckpt cannot be written \({os.strerror(errno.EFBIG)}\)"):
            WholeCheckpoints().save_checkpoint(content(2, 1_000_000), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    message = r"last\.ckpt cannot be written \(.*\); earlier checkpoints are intact: free disk space or make"
    with pytest.raises(UserError, match=message):
        WholeCheckpoints().save_checkpoint(content(1), tmp_path / "checkpoints/last.ckpt")


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize("damage", ["empty", "half", "text", "pickle", "other", "evil"])
def test_what_is_no_checkpoint_is_refused_in_one_line_and_runs_nothing(damage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint(content(1), path)
    if damage == "evil":
        torch.save(content(1) | {"more": Evil()}, path)
    elif damage == "other":
        torch.save([1, 2], path)
    else:
        whole = path.read_bytes()
        path.write_bytes(
            {"empty": b"", "half": whole[: len(whole) // 2], "text": b"hello\n", "pickle": pickle.dumps(Evil())}[damage]
        )
    with pytest.raises(DataError) as refused:
        read_checkpoint(path, "take another one")
    assert str(refused.value).startswith(f"{path} is damaged or not a checkpoint (")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "evil").exists()


def test_a_newer_versions_checkpoint_is_refused(tmp_path):
    torch.save(content(1) | {"format": FORMAT + 1}, tmp_path / "last.ckpt")
    with pytest.raises(DataError, match="is of a newer version of dlproj: update dlproj, or take another one"):
        read_checkpoint(tmp_path / "last.ckpt", "take another one")


def test_a_run_on_a_full_disk_ends_with_that_line_and_keeps_its_checkpoints(tmp_path):
    script = textwrap.dedent("""
        import resource, runpy, signal, sys
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        sys.argv = sys.argv[1:]
        runpy.run_path(sys.argv[0], run_name="__main__")
    """)
    train = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../train.py"))
    run = ["data=digits", "trainer.accelerator=cpu", "figures=none", "hydra.run.dir=run"]
    done = subprocess.run([sys.executable, "-c", script, train, *run], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {tmp_path}/run/checkpoints/")
    assert f"cannot be written ({os.strerror(errno.EFBIG)})" in last
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "run/checkpoints").iterdir())
