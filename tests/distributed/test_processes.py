"""Functions in several processes: results, errors in words, and nobody left behind."""

import errno
import os
import signal
import socket
import subprocess
import sys
import textwrap
import warnings

import pytest
import pytorch_lightning as pl
import spawned as spawned_processes
import torch.distributed
from pytorch_lightning.demos.boring_classes import BoringModel
from pytorch_lightning.utilities.exceptions import SIGTERMException

from dlproj.config.checks import DataError, UserError
from dlproj.distributed import processes
from dlproj.distributed.processes import run_in_processes
from dlproj.launch import rank, started_by_torchrun
from dlproj.training.signals import StopBySignal


@pytest.fixture(scope="module")
def spawned(tmp_path_factory):
    """A folder with files of a user's, and what two processes find there: theirs are spawned as users have them."""
    folder = tmp_path_factory.mktemp("working")
    for name in ("random", "types", "signal", "tempfile", "socket", "struct", "queue", "logging"):
        (folder / f"{name}.py").write_text("raise ImportError('a file of the user')")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("PYTHONSAFEPATH", raising=False)
        found = run_in_processes(2, spawned_processes.found, 10)
        assert "PYTHONSAFEPATH" not in os.environ
    return folder, found


def fail_in_one(how):
    if rank() == 1 and how == "user":
        raise DataError("no data: set data.root")
    if rank() == 1 and how == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "metrics.csv")
    if rank() == 1 and how == "bug":
        raise ZeroDivisionError("a bug")
    if rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    torch.distributed.init_process_group("gloo")  # waits for the other for ever


def test_the_result_of_rank_0_comes_back_and_each_process_knows_its_rank(spawned):
    _, (ranks, *_) = spawned
    assert ranks == [(10, 2), (11, 2)]
    assert not started_by_torchrun()


@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("user", UserError, r"^no data: set data\.root$"),
        ("disk", UserError, r"^metrics\.csv cannot be used \(No space left on device\): make room there"),
        ("bug", RuntimeError, r"^process 1 failed: ZeroDivisionError: a bug\n(.|\n)*fail_in_one"),
        ("kill", RuntimeError, r"^process 1 failed: Signal 9"),
    ],
)
def test_a_process_that_fails_takes_the_others_down_and_says_why(how, error, message, capfd):
    with pytest.raises(error, match=message):
        run_in_processes(2, fail_in_one, how)
    assert "Traceback" not in capfd.readouterr().err


class Terminate(pl.Callback):
    """Each process, but not at the same point: between the two the gradients are exchanged."""

    def on_train_batch_start(self, trainer, model, batch, index):
        if index == 2 and rank() == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_train_batch_end(self, trainer, model, outputs, batch, index):
        if index == 2 and rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def fit_until_terminated(folder):
    warnings.simplefilter("ignore")
    trainer = pl.Trainer(
        accelerator="cpu",
        strategy="ddp",
        devices=2,
        max_epochs=1,
        callbacks=[Terminate(), StopBySignal(folder / "last.ckpt")],
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    ended_by = None
    try:
        trainer.fit(BoringModel())
    except SIGTERMException as error:
        ended_by = type(error).__name__
    counts = [None, None]
    torch.distributed.all_gather_object(counts, (ended_by, trainer.global_step))
    torch.distributed.destroy_process_group()
    return counts


def test_a_process_has_left_its_group_when_python_ends(tmp_path):
    script = f"""
        import atexit, torch.distributed
        from dlproj.config.trainer import StrategyName, TrainerConfig
        from dlproj.training.trainer import prepare_process
        atexit.register(lambda: print(torch.distributed.is_initialized()))
        prepare_process(TrainerConfig(strategy=StrategyName.ddp, devices=2))
        torch.distributed.init_process_group("gloo", init_method="file://{tmp_path}/store", rank=0, world_size=1)
        print(torch.distributed.is_initialized())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\nFalse\n"), done.stderr


@pytest.mark.usefixtures("forked_processes")
def test_sigterm_ends_all_processes_after_their_batch_wherever_it_meets_them(tmp_path):
    assert run_in_processes(2, fit_until_terminated, tmp_path) == [("SIGTERMException", 3)] * 2


@pytest.mark.usefixtures("forked_processes")
def test_handlers_of_signals_are_as_they_were_after_processes_of_our_own():
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = [signal.getsignal(one) for one in signals]
    run_in_processes(1, os.getpid)
    assert [signal.getsignal(one) for one in signals] == before


def where_they_met():
    torch.distributed.init_process_group("gloo")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    return os.environ["MASTER_ADDR"]


@pytest.mark.usefixtures("forked_processes")
def test_processes_of_one_machine_meet_though_its_name_is_unknown(monkeypatch):
    """No name is looked up, by them or by torch's launcher."""

    def refuse(*arguments, **options):
        raise AssertionError(f"{arguments} was looked up")

    for name in ("gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getaddrinfo", "getfqdn"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket, "create_connection", lambda *arguments, **options: socket.socket())
    assert run_in_processes(2, where_they_met) == "127.0.0.1"
    assert socket.getfqdn is refuse


def test_a_machine_that_does_not_reach_itself_is_told_so(monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(
        UserError, match=r"^2 processes meet at 127\.0\.0\.1, where .*Network is unreachable.*: bring up"
    ):
        run_in_processes(2, os.getpid)


def test_modules_of_the_working_folder_do_not_take_the_place_of_pythons_own(spawned):
    folder, (_, files, safe, path) = spawned
    assert not [file for file in files if file.startswith(str(folder))]
    assert safe == "1"
    assert str(folder) not in path


@pytest.mark.parametrize("theirs", ["eth7", None])
def test_the_environment_is_as_it_was_after_processes_of_our_own(theirs, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", theirs or "")
    if theirs is None:
        monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    with processes._on_this_machine_alone():
        assert os.environ["GLOO_SOCKET_IFNAME"] == ("lo" if sys.platform == "linux" else "lo0")
    assert os.environ.get("GLOO_SOCKET_IFNAME") == theirs
