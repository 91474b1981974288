"""The Trainer's settings and Lightning's Trainer built from them."""

import logging
import os
import re
import warnings
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.callbacks import Callback, Timer
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from pytorch_lightning.utilities import rank_zero_only

from dlproj.launch import rank, started_by_torchrun
from dlproj.machine import threads_of, usable_cores
from dlproj.models.pipeline import SCHEDULES
from dlproj.settings import one_of, require, within
from dlproj.training.blocks import StepsPerExecution, needs_single_batches
from dlproj.training.checkpoints import WholeCheckpoints
from dlproj.training.evaluate_train import EvaluateTrain
from dlproj.training.layer_split import LayerSplit
from dlproj.training.pipeline import PipelineStrategy
from dlproj.training.progress import ProgressBar, Summary
from dlproj.training.stopwatch import Stopwatch

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
_PROCESSES_A_CORE = 16  # the most: each takes half a gigabyte, and dozens of open files of the one that starts them
PRECISIONS = ("32-true", "64-true", "16-mixed", "bf16-mixed", "bf16-true")


class Accelerator(Enum):
    """What kind of device computes."""

    auto = "auto"  # a GPU where there is one
    cpu = "cpu"
    gpu = "gpu"


class StrategyName(Enum):
    """How several devices share the work."""

    single = "single"  # one device
    ddp = "ddp"  # a process a device, each with its part of every batch; gradients are averaged
    layer_split = "layer_split"  # one process, the layers on layer_devices one after another
    pipeline = "pipeline"  # the layers over the processes one after another, through which micro-batches go
    model_parallel = "model_parallel"  # the weights are split over the processes: FSDP2, tensor parallelism or both


class ClipAlgorithm(Enum):
    """What gradient_clip_val bounds."""

    norm = "norm"  # the norm of all gradients together
    value = "value"  # each gradient's absolute value


@dataclass(slots=True)
class TrainerConfig:
    """How long to train, on what, and in which arithmetic. Names are Lightning's."""

    accelerator: Accelerator = Accelerator.auto
    strategy: StrategyName = StrategyName.single
    devices: int = 1  # processes a machine, one device each; data.batch_size is for each of them
    num_nodes: int = 1  # machines, on each of which torchrun has started as many processes
    layer_devices: list[str] | None = None  # layer_split: such as [cuda:0,cuda:1]; unset: all GPUs, or the CPU
    tensor_parallel_size: int = 1  # model_parallel: processes that split each layer; over the others it is sharded
    micro_batches: int = 1  # pipeline: parts of each batch that are under way at once, 1 or more
    pipeline_schedule: str = "1f1b"  # or gpipe: 1f1b keeps fewer activations
    max_epochs: int = 10  # 1 or more
    max_time: str | None = None  # DD:HH:MM:SS after which training ends
    precision: str = "32-true"
    gradient_clip_val: float | None = None  # above 0
    gradient_clip_algorithm: ClipAlgorithm = ClipAlgorithm.norm
    accumulate_grad_batches: int = 1  # batches whose gradients are averaged into one step, 1 or more
    steps_per_execution: Any = "auto"  # batches a call of training_step, 1 or more, or auto; it changes the speed alone
    cuda_graph: bool = True  # on a GPU, capture the steps of a call and replay them, where that can be
    deterministic: bool = True  # use only operations that give the same bits every time
    limit_train_batches: int | None = None  # batches an epoch, 1 or more; unset: all
    limit_val_batches: int | None = None  # of the validation set and, with evaluate_train, of the training set
    limit_test_batches: int | None = None
    val_check_interval: int | None = None  # training batches from one validation to the next; unset: once an epoch
    evaluate_train: bool = False  # with each validation evaluate the training set, too: train_eval/* beside val/*
    threads: int | None = None  # a process, 1 or more; unset: usable cores shared out, or OMP_NUM_THREADS if fewer
    progress_bar: bool = True

    def __post_init__(self) -> None:
        for name in (
            "devices",
            "num_nodes",
            "tensor_parallel_size",
            "micro_batches",
            "max_epochs",
            "accumulate_grad_batches",
            "threads",
        ):
            within(f"trainer.{name}", getattr(self, name), "[1, inf)")
        for split in ("train", "val", "test"):
            within(f"trainer.limit_{split}_batches", getattr(self, f"limit_{split}_batches"), "[1, inf)")
        within("trainer.val_check_interval", self.val_check_interval, "[1, inf)")
        within("trainer.gradient_clip_val", self.gradient_clip_val, "(0, inf)")
        self._check_steps_per_execution()
        one_of("trainer.precision", self.precision, PRECISIONS)
        well_formed = self.max_time is None or re.fullmatch(r"(?=.*[1-9])\d+:\d\d:\d\d:\d\d", self.max_time)
        require(bool(well_formed), f"trainer.max_time={self.max_time} is no time: set DD:HH:MM:SS, such as 00:01:30:00")
        many = self.strategy is not StrategyName.single
        require(
            many or self.processes() == 1,
            f"{self.processes()} devices need a strategy that shares the work: set trainer=ddp",
        )
        self._check_split()
        self._check_pipeline()
        self._check_layer_devices()
        scaled_clip = self.precision == "16-mixed" and self.gradient_clip_val is not None
        require(
            not scaled_clip, "trainer.gradient_clip_val does not go with 16-mixed: set trainer.precision=bf16-mixed"
        )

    def _check_split(self) -> None:
        size, splits = self.tensor_parallel_size, self.strategy is StrategyName.model_parallel
        require(splits or size == 1, f"trainer.tensor_parallel_size={size} needs trainer.strategy=model_parallel")
        whole = self.processes() % size == 0
        message = f"trainer.tensor_parallel_size={size} does not divide the {self.processes()} processes: set it lower"
        require(whole, message)
        message = f"trainer.precision={self.precision} does not go with model_parallel: set 32-true or bf16-mixed"
        require(not splits or self.precision in ("32-true", "bf16-mixed"), message)

    def _check_pipeline(self) -> None:
        pipes, parts = self.strategy is StrategyName.pipeline, self.micro_batches
        one_of("trainer.pipeline_schedule", self.pipeline_schedule, tuple(SCHEDULES))
        require(pipes or parts == 1, f"trainer.micro_batches={parts} needs trainer=pipeline")
        enough = not pipes or self.pipeline_schedule != "1f1b" or parts >= self.processes()
        message = f"trainer.micro_batches={parts} leaves some of the {self.processes()} processes without any"
        require(enough, f"{message}: set it higher, or trainer.pipeline_schedule=gpipe")
        message = f"trainer.precision={self.precision} does not go with pipeline: set 32-true or 64-true"
        require(not pipes or self.precision in ("32-true", "64-true"), message)
        message = "trainer.accumulate_grad_batches does not go with pipeline, whose micro-batches do so: set those"
        require(not pipes or self.accumulate_grad_batches == 1, message)

    def _check_layer_devices(self) -> None:
        splits = self.strategy is StrategyName.layer_split
        require(splits or self.layer_devices is None, "trainer.layer_devices needs trainer=layer_split")
        require(not splits or self.processes() == 1, "trainer=layer_split is one process: set trainer.devices=1")
        for name in self.layer_devices or []:
            well_formed = re.fullmatch(r"cpu|meta|cuda:\d+", name)
            require(bool(well_formed), f"trainer.layer_devices: {name} is no device: set cpu, cuda:0, cuda:1 …")

    def check_read(self) -> None:
        """Raise ConfigurationError for a setting that has no effect beside the others."""
        by = self.gradient_clip_algorithm
        message = f"trainer.gradient_clip_algorithm={by.name} needs a bound: set trainer.gradient_clip_val, such as 1"
        require(by is ClipAlgorithm.norm or self.gradient_clip_val is not None, message)
        pipes, schedule = self.strategy is StrategyName.pipeline, self.pipeline_schedule
        message = f"trainer.pipeline_schedule={schedule} is of trainer=pipeline: choose that or leave it out"
        require(pipes or schedule == type(self)().pipeline_schedule, message)

    def placed_on(self) -> list[str]:
        """The devices of layer_split. Raises ConfigurationError if this machine lacks one."""
        gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        devices = self.layer_devices or (gpus if self.uses_gpu() else ["cpu"])
        missing = [name for name in devices if name.startswith("cuda") and name not in gpus]
        message = f"trainer.layer_devices: this machine has no {', '.join(missing)}, but {len(gpus)} GPUs"
        require(not missing, message)
        return devices

    def _check_steps_per_execution(self) -> None:
        steps = self.steps_per_execution
        if steps == "auto":
            return
        whole = isinstance(steps, int) and not isinstance(steps, bool)
        require(whole, f"trainer.steps_per_execution={steps} is no choice: set auto or a whole number")
        within("trainer.steps_per_execution", steps, "[1, inf)")
        obstacle = needs_single_batches(steps, self.accumulate_grad_batches, self.limit_train_batches)
        require(
            steps == 1 or obstacle is None,
            f"trainer.{obstacle} does not go with trainer.steps_per_execution={steps}: set that to 1 or auto",
        )

    def processes(self) -> int:
        """Those that train together, on all machines."""
        return self.devices * self.num_nodes

    def data_shards(self) -> int:
        """How many parts of the samples the processes read: those that share a model read the same ones."""
        return 1 if self.strategy is StrategyName.pipeline else self.processes() // self.tensor_parallel_size

    def on_one_device(self) -> "TrainerConfig":
        """The same settings for a single process on a single device."""
        accelerator = self.accelerator if self.uses_gpu() else Accelerator.cpu
        return replace(self, accelerator=accelerator, strategy=StrategyName.single, devices=1, num_nodes=1,
                       layer_devices=None, tensor_parallel_size=1, micro_batches=1)  # fmt: skip

    def check_launch(self, started: int | None) -> None:
        """Raise ConfigurationError if torchrun has started another number of processes; None: it has started none."""
        if started is None:
            message = f"trainer.num_nodes={self.num_nodes} is for torchrun, begun on each machine: see the README"
            require(self.num_nodes == 1, message)
            return
        have = f"trainer.devices={self.devices} on trainer.num_nodes={self.num_nodes} machines are {self.processes()}"
        advice = "set trainer=ddp, as many devices as torchrun's --nproc-per-node, and as many nodes as its --nnodes"
        message = f"torchrun has started {started} processes, {have}: {advice}"
        require(started == self.processes(), message)

    def uses_gpu(self) -> bool:
        """Whether this machine's GPU computes."""
        if self.layer_devices:
            return self.layer_devices[0].startswith("cuda")
        return self.accelerator is not Accelerator.cpu and torch.cuda.is_available()

    def check_machine(self) -> None:
        """Raise ConfigurationError if this machine lacks the devices that the settings ask for."""
        if self.strategy is StrategyName.layer_split:
            self.placed_on()
            return
        gpus = torch.cuda.device_count()
        wanted = self.devices if self.accelerator is Accelerator.gpu or self.uses_gpu() else 0
        require(
            wanted <= gpus,
            f"the trainer wants {wanted} GPUs, this machine has {gpus}: set trainer.accelerator=cpu or fewer devices",
        )
        most = _PROCESSES_A_CORE * usable_cores()
        message = f"trainer.devices={self.devices} would start {self.devices} processes on {usable_cores()} cores"
        require(wanted > 0 or self.devices <= most, f"{message}: set {most} or fewer")
        half = self.precision == "16-mixed" and not self.uses_gpu()
        require(not half, "trainer.precision=16-mixed needs a GPU: set trainer.precision=bf16-mixed")

    def prepare_process(self) -> None:
        """Set this process's threads and arithmetic, and keep Lightning to the words that tell something of a run."""
        torch.set_num_threads(self.threads or threads_of(self.devices))
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
        logging.getLogger("pytorch_lightning.callbacks.model_summary").setLevel(logging.INFO)
        # Putting a checkpoint together of columns and shards takes two messages where one would do, it says.
        logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)
        for message in _NOBODYS_FAULT:
            warnings.filterwarnings("ignore", message=message)

    def build(self, callbacks: list[Callback], folder: Path) -> pl.Trainer:
        """Lightning's Trainer, without loggers: some of them write as soon as they have one."""
        extra: list[Callback] = [
            StepsPerExecution(self.steps_per_execution, self.cuda_graph),
            Timer(self.max_time),
            Stopwatch(),
            Summary(),
        ]
        if self.evaluate_train:
            extra.append(EvaluateTrain())
        if self.progress_bar:
            extra.append(ProgressBar())
        return pl.Trainer(
            accelerator="gpu" if self.uses_gpu() else "cpu",
            devices=self.devices,
            num_nodes=self.num_nodes,
            strategy=self._strategy(),
            callbacks=callbacks + extra,
            logger=False,
            default_root_dir=folder,
            enable_progress_bar=self.progress_bar,
            num_sanity_val_steps=0,
            log_every_n_steps=1,  # nothing is logged by the step; a longer interval only warns of short epochs
            sync_batchnorm=self.strategy is StrategyName.ddp and self.uses_gpu(),
            use_distributed_sampler=False,  # the data modules shard by themselves
            # Which processes there are is known here: Lightning would look for those of SLURM, LSF or MPI.
            plugins=[
                WholeCheckpoints(),
                TorchElasticEnvironment() if started_by_torchrun() else LightningEnvironment(),
            ],
            **self._named_alike(),
        )

    def _named_alike(self) -> dict[str, Any]:
        names = ["max_epochs", "precision", "gradient_clip_val", "accumulate_grad_batches", "deterministic",
                 "val_check_interval"]  # fmt: skip
        limits = {name: getattr(self, name) for name in self.__slots__ if name.startswith("limit_")}
        clipping = {"gradient_clip_algorithm": self.gradient_clip_algorithm.name} if self.gradient_clip_val else {}
        return {name: getattr(self, name) for name in names} | limits | clipping

    def _strategy(self) -> Strategy | str:
        if self.strategy is StrategyName.single:
            return "auto"
        if self.strategy is StrategyName.layer_split:
            return LayerSplit(self.placed_on())
        backend = "nccl" if self.uses_gpu() else "gloo"
        if self.strategy is StrategyName.ddp:
            return DDPStrategy(process_group_backend=backend)
        if self.strategy is StrategyName.pipeline:
            return PipelineStrategy(self.micro_batches, self.pipeline_schedule, process_group_backend=backend)
        return ModelParallelStrategy(
            data_parallel_size=self.data_shards(),
            tensor_parallel_size=self.tensor_parallel_size,
            save_distributed_checkpoint=False,  # one file, as every other run writes
            process_group_backend=backend,
        )
