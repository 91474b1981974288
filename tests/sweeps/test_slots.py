"""How many runs go on at once, and what of the machine each has."""

import pytest

from dlproj.config.trainer import Accelerator, StrategyName, TrainerConfig
from dlproj.sweeps.forks import make_slots


@pytest.fixture
def machine(monkeypatch):
    """Call with numbers of cores and GPUs: this machine then has them."""

    def have(cores, gpus=0):
        monkeypatch.setattr("dlproj.sweeps.forks.usable_cores", lambda: cores)
        monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
        monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)

    return have


def cores(slots):
    return [slot["DLPROJ_CORES"] for slot in slots]


def gpus(slots):
    return [slot["CUDA_VISIBLE_DEVICES"] for slot in slots]


def test_there_is_a_run_for_each_core(machine):
    machine(4)
    assert cores(make_slots(TrainerConfig(), 12, None)) == ["1"] * 4


def test_cores_are_shared_out_among_the_runs_that_there_are(machine):
    machine(8)
    assert cores(make_slots(TrainerConfig(), 2, None)) == ["4", "4"]
    assert cores(make_slots(TrainerConfig(), 12, 3)) == ["2"] * 3


def test_more_runs_than_cores_have_one_thread_each(machine):
    machine(2)
    assert cores(make_slots(TrainerConfig(), 12, 5)) == ["1"] * 5


def test_a_search_that_is_done_needs_no_slot_and_does_no_harm(machine):
    machine(2)
    assert cores(make_slots(TrainerConfig(), 0, None)) == ["2"]


def test_runs_of_two_processes_go_on_in_half_the_number(machine):
    machine(4)
    ddp = TrainerConfig(strategy=StrategyName.ddp, devices=2)
    assert cores(make_slots(ddp, 12, None)) == ["2", "2"]


def test_each_run_has_a_gpu_of_its_own(machine):
    machine(16, gpus=2)
    assert gpus(make_slots(TrainerConfig(), 12, None)) == ["0", "1"]
    assert gpus(make_slots(TrainerConfig(), 12, 3)) == ["0", "1", "0"]
    assert gpus(make_slots(TrainerConfig(strategy=StrategyName.ddp, devices=2), 12, None)) == ["0,1"]


def test_only_gpus_that_the_shell_leaves_visible_are_used(machine):
    machine(16, gpus=2)
    assert gpus(make_slots(TrainerConfig(), 12, None, "5,7")) == ["5", "7"]


def test_a_cpu_that_is_asked_for_is_used_beside_a_gpu(machine):
    machine(2, gpus=1)
    assert make_slots(TrainerConfig(accelerator=Accelerator.cpu), 2, None) == [{"DLPROJ_CORES": "1"}] * 2
