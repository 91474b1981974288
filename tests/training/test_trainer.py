import pytest
import torch

from dlproj.config.checks import ConfigurationError
from dlproj.config.trainer import Accelerator, ClipAlgorithm, StrategyName, TrainerConfig
from dlproj.training.trainer import build_trainer, prepare_process


def test_settings_reach_lightnings_trainer(tmp_path):
    config = TrainerConfig(
        accelerator=Accelerator.cpu,
        max_epochs=7,
        precision="64-true",
        gradient_clip_val=0.5,
        gradient_clip_algorithm=ClipAlgorithm.value,
        accumulate_grad_batches=3,
        limit_train_batches=2,
        limit_val_batches=4,
        limit_test_batches=5,
        val_check_interval=2,
        deterministic=False,
        progress_bar=False,
    )
    trainer = build_trainer(config, [], tmp_path)
    assert (trainer.max_epochs, trainer.precision) == (7, "64-true")
    assert (trainer.gradient_clip_val, trainer.gradient_clip_algorithm) == (0.5, "value")
    assert trainer.accumulate_grad_batches == 3
    assert (trainer.limit_train_batches, trainer.limit_val_batches, trainer.limit_test_batches) == (2, 4, 5)
    assert trainer.val_check_interval == 2
    assert trainer.progress_bar_callback is None
    assert not torch.are_deterministic_algorithms_enabled()


def test_runs_are_deterministic_unless_told_otherwise(tmp_path):
    build_trainer(TrainerConfig(accelerator=Accelerator.cpu), [], tmp_path)
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(("threads", "devices", "expected"), [(3, 1, 3), (1, 2, 1)])
def test_threads_are_set_for_the_process(threads, devices, expected):
    before = torch.get_num_threads()
    prepare_process(TrainerConfig(threads=threads, devices=devices, strategy=StrategyName.ddp))
    assert torch.get_num_threads() == expected
    torch.set_num_threads(before)


def test_cores_are_shared_out_over_processes(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)))
    prepare_process(TrainerConfig(devices=4, strategy=StrategyName.ddp))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_fewer_gpus_than_asked_for_is_said_before_anything_starts(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    config = TrainerConfig(accelerator=Accelerator.gpu, devices=2, strategy=StrategyName.ddp)
    with pytest.raises(ConfigurationError, match=r"wants 2 GPUs, this machine has 1: set trainer\.accelerator=cpu"):
        config.check_machine()


def test_more_processes_than_the_machine_can_run_are_refused(monkeypatch):
    monkeypatch.setattr("dlproj.config.trainer.usable_cores", lambda: 2)
    many = {"strategy": StrategyName.ddp, "accelerator": Accelerator.cpu}
    TrainerConfig(devices=32, **many).check_machine()
    with pytest.raises(ConfigurationError, match=r"devices=33 would start 33 processes on 2 cores: set 32 or fewer"):
        TrainerConfig(devices=33, **many).check_machine()


def test_numbers_too_small_to_be_normal_are_zero():
    prepare_process(TrainerConfig(threads=1))
    assert torch.tensor(1e-30) * torch.tensor(1e-10) == 0
    torch.set_flush_denormal(False)
    assert torch.tensor(1e-30) * torch.tensor(1e-10) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_a_step_of_adam_does_not_look_for_a_gpu_again(monkeypatch):
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # as Lightning has it
    looks = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: looks.append(1) or 0)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter], fused=True)
    prepare_process(TrainerConfig(threads=1))
    looks.clear()
    parameter.grad = torch.ones(1)
    optimizer.step()
    assert not looks


@pytest.mark.parametrize(
    ("settings", "shards"),
    [
        ({"strategy": StrategyName.ddp, "devices": 4, "num_nodes": 2}, 8),
        ({"strategy": StrategyName.model_parallel, "devices": 4, "tensor_parallel_size": 2}, 2),
        ({"strategy": StrategyName.pipeline, "devices": 2, "micro_batches": 4}, 1),
        ({"strategy": StrategyName.layer_split, "layer_devices": ["cpu", "meta"]}, 1),
    ],
)
def test_the_settings_of_several_devices_are_also_those_of_one(settings, shards):
    config = TrainerConfig(**settings, precision="32-true", threads=1)
    assert config.data_shards() == shards
    alone = config.on_one_device()
    assert (alone.strategy, alone.processes(), alone.data_shards(), alone.threads) == (StrategyName.single, 1, 1, 1)
    assert alone.uses_gpu() == config.uses_gpu()
