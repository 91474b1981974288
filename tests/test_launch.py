"""Which launcher a process believes: torchrun alone, whatever others have left in the environment."""

import os
import subprocess
import sys

import pytest
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.utilities import rank_zero_only

from dlproj.config.trainer import TrainerConfig
from dlproj.launch import forget_ranks, rank, started_by_torchrun
from dlproj.runs.record import read_epochs, read_result
from dlproj.training.run import run
from dlproj.training.trainer import build_trainer

LEFT_OVER = [
    {"RANK": "1"},
    {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "gone", "MASTER_PORT": "29500"},
    {"RANK": "gold"},
    {"LOCAL_RANK": ""},
    {"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_LOCALID": "3", "SLURM_NODEID": "1", "SLURM_JOB_ID": "77"},
    {"JSM_NAMESPACE_RANK": "2", "JSM_NAMESPACE_SIZE": "4", "LSB_JOBID": "1", "LSB_DJOB_RANKFILE": "/nowhere"},
    {"TORCHELASTIC_RUN_ID": "gone", "RANK": "1", "WORLD_SIZE": "2"},
    {"NODE_RANK": "1", "GROUP_RANK": "1"},
]
QUICK = [
    "data=digits",
    "model.hidden=[8]",
    "trainer.max_epochs=1",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
    "trainer.progress_bar=false",
    "figures=none",
]


@pytest.fixture
def environment(monkeypatch):
    """Call with variables to set; the environment and Lightning's rank are put back."""
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    before = dict(os.environ)

    def set_(variables):
        os.environ.update(variables)

    yield set_
    os.environ.clear()
    os.environ.update(before)


def test_torchruns_rank_counts(environment):
    environment({"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "RANK": "2"})
    environment({"MASTER_ADDR": "localhost", "MASTER_PORT": "29500"})
    forget_ranks()
    assert (rank(), started_by_torchrun()) == (2, 4)


@pytest.mark.parametrize("variables", LEFT_OVER)
def test_a_rank_that_is_left_over_does_not_count(variables, environment):
    environment(variables)
    assert (rank(), started_by_torchrun()) == (0, None)
    forget_ranks()
    assert not {"RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"} & set(os.environ)


@pytest.mark.parametrize("variables", LEFT_OVER)
def test_a_run_beside_what_is_left_over_records_everything(variables, environment, monkeypatch, composed, tmp_path):
    environment(variables)
    monkeypatch.setattr(rank_zero_only, "rank", 1)  # as Lightning read it on import
    result = run(composed(*QUICK), tmp_path)
    assert read_result(tmp_path).metrics["test/accuracy"] == result.metrics["test/accuracy"]
    assert list(read_epochs(tmp_path)) == [1]
    assert (tmp_path / "config.yaml").exists()


def test_lightning_looks_for_no_cluster(environment, tmp_path):
    environment(LEFT_OVER[4])
    trainer = build_trainer(TrainerConfig(), [], tmp_path)
    assert type(trainer._accelerator_connector.cluster_environment) is LightningEnvironment
    assert (trainer.global_rank, trainer.world_size) == (0, 1)


def test_ranks_that_are_no_numbers_harm_no_command(tmp_path):
    """Lightning would turn each of them into a number when it is imported."""
    code = "from dlproj.launch import *; forget_ranks(); import pytorch_lightning; print(rank())"
    environment = os.environ | {"RANK": "gold", "LOCAL_RANK": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
