"""Lightning's Trainer, built from the settings."""

import atexit
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.callbacks import Callback, Timer
from pytorch_lightning.strategies import DDPStrategy, Strategy
from pytorch_lightning.utilities import rank_zero_only

from dlproj.config.trainer import StrategyName, TrainerConfig
from dlproj.distributed.layer_split import LayerSplit
from dlproj.distributed.processes import leave_group
from dlproj.launch import rank, started_by_torchrun
from dlproj.library_internals.torch_internals import REDISTRIBUTION
from dlproj.machine import threads_of
from dlproj.training.checkpoints import WholeCheckpoints
from dlproj.training.contention import NoteContention
from dlproj.training.evaluate_train import EvaluateTrain
from dlproj.training.progress_bar import ProgressBar, Summary
from dlproj.training.stepping import StepsPerExecution

_NOBODYS_FAULT = (
    # Lightning 2.6 asks torch's tree utilities for something that torch 2.15 calls deprecated.
    r".*isinstance\(treespec, LeafSpec\)",
    # Its summary table counts every parameter as 4 bytes, whatever the precision.
    r"Precision .* is not supported by the model summary",
    # A linear layer of FSDP2 inside tensor parallelism; nothing of ours changes its output in place.
    r"FSDP2-wrapped module .* returned a view tensor",
    # Nor is each run on a cluster a job of SLURM's.
    r"The `srun` command is available",
    # A resumed run goes on in its own folder.
    r"Checkpoint directory .* exists and is not empty",
)


def prepare_process(config: TrainerConfig) -> None:
    """Set this process's threads and arithmetic, and keep Lightning to the words that tell something of a run."""
    torch.set_num_threads(config.threads or threads_of(config.devices))
    if config.processes() > 1:
        atexit.register(leave_group)  # which Lightning does for NCCL alone
    # Gradients that vanish over 200 time steps end below 1e-38, where a CPU is slow: without flushing them to zero
    # a backward pass of an LSTM takes 12 times as long. Threads started later inherit this.
    torch.set_flush_denormal(True)
    if not torch.cuda.is_available():
        # Lightning has torch look for a GPU through a library that is opened anew at every step of Adam: 0.1 ms.
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    # Filling fresh memory would cost time and guards only against reading what was never written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    rank_zero_only.rank = rank()  # type: ignore[attr-defined]  # else from any of four variables
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Putting a checkpoint together of columns and shards takes two messages where one would do, it says.
    logging.getLogger(REDISTRIBUTION).setLevel(logging.ERROR)
    for message in _NOBODYS_FAULT:
        warnings.filterwarnings("ignore", message=message)


def build_trainer(config: TrainerConfig, callbacks: list[Callback], folder: Path) -> pl.Trainer:
    """Lightning's Trainer, without loggers: some of them write as soon as they have one."""
    extra: list[Callback] = [
        StepsPerExecution(config.steps_per_execution, config.cuda_graph, config.strategy is StrategyName.pipeline),
        Timer(config.max_time),
        NoteContention(),
    ]
    if config.evaluate_train:
        extra.append(EvaluateTrain())
    if config.progress_bar:
        extra += [Summary(), ProgressBar()]
    _set_determinism(config.deterministic)
    return pl.Trainer(
        accelerator="gpu" if config.uses_gpu() else "cpu",
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=_strategy(config),
        callbacks=callbacks + extra,
        logger=False,
        default_root_dir=folder,
        enable_progress_bar=config.progress_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,  # nothing is logged by the step; a longer interval only warns of short epochs
        sync_batchnorm=config.strategy is StrategyName.ddp and config.uses_gpu(),
        use_distributed_sampler=False,  # the data modules shard by themselves
        # Which processes there are is known here: Lightning would look for those of SLURM, LSF or MPI.
        plugins=[WholeCheckpoints(), TorchElasticEnvironment() if started_by_torchrun() else LightningEnvironment()],
        **_named_alike(config),
    )


def _set_determinism(deterministic: bool) -> None:
    """What Lightning's `deterministic` does, without importing torch's compiler to tell it, too."""
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    if deterministic:
        torch.backends.cudnn.benchmark = False
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # https://docs.nvidia.com/cuda/cublas, reproducibility


def _named_alike(config: TrainerConfig) -> dict[str, Any]:
    names = ["max_epochs", "precision", "gradient_clip_val", "accumulate_grad_batches", "val_check_interval"]
    limits = {name: getattr(config, name) for name in config.__slots__ if name.startswith("limit_")}
    clipping = {"gradient_clip_algorithm": config.gradient_clip_algorithm.name} if config.gradient_clip_val else {}
    return {name: getattr(config, name) for name in names} | limits | clipping


def _strategy(config: TrainerConfig) -> Strategy | str:
    if config.strategy is StrategyName.single:
        return "auto"
    if config.strategy is StrategyName.layer_split:
        return LayerSplit(config.placed_on())
    backend = "nccl" if config.uses_gpu() else "gloo"
    if config.strategy is StrategyName.ddp:
        return DDPStrategy(process_group_backend=backend)
    if config.strategy is StrategyName.pipeline:
        from dlproj.distributed.pipeline_strategy import PipelineStrategy  # with torch.distributed.pipelining

        return PipelineStrategy(config.micro_batches, config.pipeline_schedule, process_group_backend=backend)
    from dlproj.distributed.sharding import ShardedStrategy  # with torch.distributed.fsdp

    return ShardedStrategy(
        data_parallel_size=config.data_shards(),
        tensor_parallel_size=config.tensor_parallel_size,
        save_distributed_checkpoint=False,  # one file, as every other run writes
        process_group_backend=backend,
    )
