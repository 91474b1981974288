"""Runs whose processes torchrun has started, on one machine or several."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from waiting import until

from dlproj.config.checks import ConfigurationError
from dlproj.runs.record import read_epochs, read_result
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.run import run

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
DIGITS = [
    "data=digits",
    "model.hidden=[16]",
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.max_epochs=2",
    "trainer.progress_bar=false",
    "figures=none",
]


def begin(folder, launcher, *overrides):
    return subprocess.Popen(
        [*launcher, str(ROOT / "train.py"), *DIGITS, *overrides],
        cwd=folder,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture
def of_our_own(composed, forked_processes, tmp_path):
    """The folder of the same run as two processes that dlproj starts."""
    run(composed(*DIGITS), tmp_path / "ours")
    return tmp_path / "ours"


def weights(folder):
    return torch.load(checkpoint_path(folder, "last"), weights_only=True)["state_dict"]


@pytest.mark.slow
def test_two_machines_share_one_folder_and_train_as_two_processes_of_one(of_our_own, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    rendezvous = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}"]
    machines = [begin(tmp_path, [*TORCHRUN, *rendezvous], "trainer.devices=1", "trainer.num_nodes=2") for _ in range(2)]
    said = [machine.communicate() for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    (folder,) = tmp_path.glob("logs/runs/*")
    assert read_result(folder).status == "completed"
    assert read_epochs(folder) == read_epochs(of_our_own)
    theirs = weights(of_our_own)
    assert all(torch.equal(value, theirs[name]) for name, value in weights(folder).items())
    assert sum("test accuracy" in out for out, _ in said) == 1


def ranks(launcher):
    """The processes that train, children of the one that has begun them."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    lines = {int(one): Path(f"/proc/{one}/cmdline").read_text() for one in children}
    return [one for one, line in lines.items() if "spawn_main" in line or "train.py" in line]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize(
    ("launcher", "strategy", "cause"),
    [
        ([], "ddp", "process 1 failed: Signal 9 (SIGKILL)"),
        ([], "fsdp", "process 1 failed: Signal 9 (SIGKILL)"),
        ([], "pipeline", "process 1 failed: Signal 9 (SIGKILL)"),
        ([*TORCHRUN[1:], "--standalone", "--nproc-per-node=2"], "ddp", "failed (exitcode: -9) local_rank: 1"),
    ],
)
def test_a_rank_that_dies_takes_the_others_down(launcher, strategy, cause, tmp_path):
    long = ["trainer.max_epochs=100000", f"trainer={strategy}", "trainer.devices=2", "hydra.run.dir=killed"]
    process = begin(tmp_path, [sys.executable, *launcher], *long)
    until(lambda: len(read_epochs(tmp_path / "killed")) >= 3)
    first, second = sorted(ranks(process.pid))
    os.kill(second, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert cause in err
    until(lambda: not Path(f"/proc/{first}").exists())


@pytest.mark.parametrize(
    ("started", "devices", "message"),
    [
        (None, "trainer.num_nodes=2", "trainer.num_nodes=2 is for torchrun, begun on each machine"),
        (
            "4",
            "trainer.devices=2",
            "torchrun has started 4 processes, trainer.devices=2 on trainer.num_nodes=1 machines",
        ),
    ],
)
def test_another_number_of_processes_is_refused(started, devices, message, composed, monkeypatch):
    if started:
        torchruns = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": started, "RANK": "0"}
        for name, value in (torchruns | {"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}).items():
            monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=message):
        run(composed(*DIGITS, devices), Path("nowhere"))
    assert not Path("nowhere").exists()
