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
from dlproj.library_internals.lightning_internals import resume_by_epochs
from dlproj.library_internals.torch_internals import REDISTRIBUTION
from dlproj.machine import threads_of
from dlproj.training.broadcast_buffers import BroadcastBuffers
from dlproj.training.checkpoints import WholeCheckpoints
from dlproj.training.contention import NoteContention
from dlproj.training.evaluate_train import EvaluateTrain
from dlproj.training.progress_bar import ProgressBar, Summary
from dlproj.training.stepping import StepsPerExecution, ValidateAtLimit

_HARMLESS = (
    # Lightning 2.6 uses a function of torch's tree utilities that torch 2.15 deprecates.
    r".*isinstance\(treespec, LeafSpec\)",
    # Lightning's summary table counts 4 bytes per parameter, whatever the precision.
    r"Precision .* is not supported by the model summary",
    # A linear layer of FSDP2 inside tensor parallelism; our code does not change its output in place.
    r"FSDP2-wrapped module .* returned a view tensor",
    # Not every run on a cluster is a SLURM job.
    r"The `srun` command is available",
    # A run may be trained on without early stopping.
    r"Be aware that when using `ckpt_path`, callbacks used to create the checkpoint .*EarlyStopping",
    # A resumed run uses its own folder again.
    r"Checkpoint directory .* exists and is not empty",
)


def prepare_process(config: TrainerConfig) -> None:
    """Set this process's threads and arithmetic, and silence warnings that mean nothing for a run."""
    torch.set_num_threads(config.threads or threads_of(config.devices))
    if config.processes() > 1:
        atexit.register(leave_group)  # Lightning does this for NCCL only
    # Gradients that vanish over 200 time steps fall below 1e-38, where CPUs are slow: without flushing them to zero,
    # an LSTM's backward pass takes 12 times as long. Threads started later inherit this.
    torch.set_flush_denormal(True)
    if not torch.cuda.is_available():
        # Lightning makes torch look for a GPU through NVML, which reopens the library at each step of Adam: 0.1 ms.
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
    # Filling new memory costs time and only guards against reading uninitialised values.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    rank_zero_only.rank = rank()  # type: ignore[attr-defined]  # Lightning would read any of four variables
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns that gathering columns and shards for a checkpoint takes two messages instead of one.
    logging.getLogger(REDISTRIBUTION).setLevel(logging.ERROR)
    for message in _HARMLESS:
        warnings.filterwarnings("ignore", message=message)


def build_trainer(
    config: TrainerConfig, callbacks: list[Callback], folder: Path, checkpoints: bool = True
) -> pl.Trainer:
    """Build Lightning's Trainer, without loggers, since some of them would write to the folder at once.

    checkpoints: False if none of the callbacks writes any, and Lightning is not to add one that does.
    """
    extra: list[Callback] = [
        StepsPerExecution(
            config.steps_per_execution,
            config.cuda_graph and not config.profile,
            config.strategy is StrategyName.pipeline,
        ),
        Timer(config.max_time),
        NoteContention(),
    ]
    if config.data_shards() == config.processes() > 1:
        extra.append(BroadcastBuffers())
    if config.max_steps:
        extra.append(ValidateAtLimit())
    if config.evaluate_train:
        extra.append(EvaluateTrain())
    if config.progress_bar:
        extra += [Summary(), ProgressBar()]
    _set_determinism(config.deterministic)
    trainer = pl.Trainer(
        accelerator="gpu" if config.uses_gpu() else "cpu",
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=_strategy(config),
        callbacks=callbacks + extra,
        logger=False,
        default_root_dir=folder,
        enable_progress_bar=config.progress_bar,
        enable_checkpointing=checkpoints,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,  # nothing is logged per step, but a longer interval would warn of short epochs
        sync_batchnorm=config.strategy is StrategyName.ddp and config.uses_gpu(),
        use_distributed_sampler=False,  # the data modules shard by themselves
        # Named explicitly, since Lightning would look for processes of SLURM, LSF or MPI.
        plugins=[WholeCheckpoints(), TorchElasticEnvironment() if started_by_torchrun() else LightningEnvironment()],
        max_steps=config.max_steps or -1,
        **_same_names(config),
    )
    resume_by_epochs(trainer)
    return trainer


def _set_determinism(deterministic: bool) -> None:
    """Do what Lightning's `deterministic` does, but without importing torch's compiler to configure that as well."""
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    if deterministic:
        torch.backends.cudnn.benchmark = False
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # https://docs.nvidia.com/cuda/cublas, reproducibility


def _same_names(config: TrainerConfig) -> dict[str, Any]:
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
        from dlproj.distributed.pipeline_strategy import PipelineStrategy  # imports torch.distributed.pipelining

        return PipelineStrategy(config.micro_batches, config.pipeline_schedule, process_group_backend=backend)
    from dlproj.distributed.sharding import ShardedStrategy  # imports torch.distributed.fsdp

    return ShardedStrategy(
        data_parallel_size=config.data_shards(),
        tensor_parallel_size=config.tensor_parallel_size,
        save_distributed_checkpoint=False,  # one file, as in every other run
        process_group_backend=backend,
    )
