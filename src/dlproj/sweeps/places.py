"""How many runs go on at once, and what of the machine each of them has."""

from dlproj.config.trainer import TrainerConfig
from dlproj.machine import SHARE_OF_CORES, usable_cores
from dlproj.sweeps.pool import Place

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def places(trainer: TrainerConfig, runs: int, wanted: int | None, visible: str | None = None) -> list[Place]:
    """One for each of the runs that go on at once, with its share of the cores; on a GPU with devices of its own.

    trainer stands for all runs; wanted: how many at once. Without it there is a run for each device, a core or a GPU.
    More runs than GPUs share them. visible is what CUDA_VISIBLE_DEVICES holds.
    """
    devices = _devices(trainer, visible)
    at_once = max(1, min(wanted or len(devices), runs))  # of a finished search nothing is left to run
    share = {SHARE_OF_CORES: str(max(1, usable_cores() // at_once))}
    return [share | devices[number % len(devices)] for number in range(at_once)]


def _devices(trainer: TrainerConfig, visible: str | None) -> list[dict[str, str]]:
    each = trainer.devices
    if not trainer.uses_gpu():
        return [{}] * max(1, usable_cores() // each)
    import torch

    names = visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]
    shares = [names[start : start + each] for start in range(0, len(names) - each + 1, each)]
    return [{_VISIBLE: ",".join(share)} for share in shares or [names]]
