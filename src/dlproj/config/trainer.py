"""Settings of the Trainer."""

import re
from dataclasses import dataclass, replace
from typing import Any

from dlproj.config.checks import require, within
from dlproj.config.fields import Choice, check_ranges, setting
from dlproj.machine import usable_cores

_PROCESSES_A_CORE = 16  # limit: each takes half a gigabyte, and dozens of open files in its parent
SCHEDULES = ("gpipe", "1f1b")  # of a pipeline
PRECISIONS = ("32-true", "64-true", "16-mixed", "bf16-mixed", "bf16-true")


class Accelerator(Choice):
    """Type of device to train on."""

    auto = "auto", "a GPU if there is one"
    cpu = "cpu"
    gpu = "gpu"


class StrategyName(Choice):
    """How several devices share the work."""

    single = "single", "one device"
    ddp = "ddp", "one process per device, each with its part of every batch; gradients are averaged"
    layer_split = "layer_split", "one process, consecutive layers on consecutive layer_devices"
    pipeline = "pipeline", "consecutive layers in consecutive processes, through which micro-batches pass"
    model_parallel = "model_parallel", "weights split over the processes: FSDP2, tensor parallelism or both"


class ClipAlgorithm(Choice):
    """What gradient_clip_val bounds."""

    norm = "norm", "the norm of all gradients together"
    value = "value", "each gradient's absolute value"


_GUIDE = "docs/guide/processes.md"


@dataclass(slots=True)
class TrainerConfig:
    """Length, devices and precision of training. Names are Lightning's."""

    accelerator: Accelerator = setting(Accelerator.auto, "type of device to train on")
    strategy: StrategyName = setting(StrategyName.single, "how several devices share the work")
    devices: int = setting(1, "processes per machine, one device each; data.batch_size is per process", "[1, inf)")
    num_nodes: int = setting(1, "machines, on each of which torchrun starts trainer.devices processes", "[1, inf)")
    layer_devices: list[str] | None = setting(
        None, "devices of layer_split, such as [cuda:0,cuda:1]; unset: all GPUs, or the CPU"
    )
    tensor_parallel_size: int = setting(
        1, "model_parallel: processes that split each layer; FSDP shards it over the others", "[1, inf)"
    )
    micro_batches: int = setting(1, "pipeline: equal parts of each batch, in flight at once", "[1, inf)")
    pipeline_schedule: str = setting("1f1b", "1f1b keeps fewer activations than gpipe", choices=SCHEDULES)
    max_epochs: int = setting(10, "passes over the training set", "[1, inf)")
    max_steps: int | None = setting(
        None, "optimizer steps after which training ends, also within an epoch; unset: max_epochs alone", "[1, inf)"
    )
    max_time: str | None = setting(None, "training ends after DD:HH:MM:SS")
    precision: str = setting("32-true", "numeric precision, in Lightning's names", choices=PRECISIONS)
    gradient_clip_val: float | None = setting(None, "upper bound of the gradient; unset: no clipping", "(0, inf)")
    gradient_clip_algorithm: ClipAlgorithm = setting(ClipAlgorithm.norm, "what gradient_clip_val bounds")
    accumulate_grad_batches: int = setting(1, "batches whose gradients are averaged into one step", "[1, inf)")
    steps_per_execution: Any = setting(
        "auto", "batches per call of training_step, 1 or more, or auto; affects only the speed"
    )
    cuda_graph: bool = setting(True, "on a GPU, capture the steps of a call as a CUDA graph and replay it, if possible")
    deterministic: bool = setting(True, "use only operations whose results are the same to the bit every time")
    limit_train_batches: int | None = setting(None, "training batches per epoch; unset: all", "[1, inf)")
    limit_val_batches: int | None = setting(
        None, "validation batches and, with evaluate_train, evaluated training batches; unset: all", "[1, inf)"
    )
    limit_test_batches: int | None = setting(None, "test batches; unset: all", "[1, inf)")
    val_check_interval: int | None = setting(
        None, "training batches between two validations; unset: once per epoch", "[1, inf)"
    )
    evaluate_train: bool = setting(
        False, "evaluate the training set with each validation, too: train_eval/* beside val/*"
    )
    threads: int | None = setting(
        None, "threads per process; unset: its share of the usable cores, or OMP_NUM_THREADS if fewer", "[1, inf)"
    )
    overfit: bool = setting(
        False, "only check whether the model can learn a single batch by heart; no run is made (trainer=overfit)"
    )
    fast_dev_run: bool = setting(
        False, "only try one step, one validation and one test batch; no run is kept (trainer=fast_dev_run)"
    )
    profile: bool = setting(
        False, "tell where the time goes: a table, and a trace of a few steps for Perfetto, trace.json.gz"
    )
    progress_bar: bool = setting(True, "show progress; false: only the results at the end")

    def __post_init__(self) -> None:
        check_ranges(self, "trainer.")
        self._check_steps_per_execution()
        well_formed = self.max_time is None or re.fullmatch(r"(?=.*[1-9])\d+:\d\d:\d\d:\d\d", self.max_time)
        require(
            bool(well_formed), f"trainer.max_time={self.max_time} is not a time: set DD:HH:MM:SS, such as 00:01:30:00"
        )
        many = self.strategy is not StrategyName.single
        require(
            many or self.processes() == 1,
            f"{self.processes()} devices need a strategy that shares the work: set trainer=ddp",
        )
        self._check_split()
        self._check_pipeline()
        self._check_layer_devices()
        message = "trainer.overfit and trainer.fast_dev_run are checks of their own: set one of them"
        require(not (self.overfit and self.fast_dev_run), message)
        message = f"trainer.overfit=true is for one device, not {self.processes()}: leave trainer.strategy out"
        require(not self.overfit or self.strategy is StrategyName.single, message)
        scaled_clip = self.precision == "16-mixed" and self.gradient_clip_val is not None
        require(
            not scaled_clip, "trainer.gradient_clip_val does not go with 16-mixed: set trainer.precision=bf16-mixed"
        )

    def _check_split(self) -> None:
        size, splits = self.tensor_parallel_size, self.strategy is StrategyName.model_parallel
        require(splits or size == 1, f"trainer.tensor_parallel_size={size} needs trainer.strategy=model_parallel")
        divides = self.processes() % size == 0
        message = f"trainer.tensor_parallel_size={size} does not divide the {self.processes()} processes: set it lower"
        require(divides, message)
        message = f"trainer.precision={self.precision} does not go with model_parallel: set 32-true or bf16-mixed"
        require(not splits or self.precision in ("32-true", "bf16-mixed"), message)

    def _check_pipeline(self) -> None:
        pipes, parts = self.strategy is StrategyName.pipeline, self.micro_batches
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
            require(bool(well_formed), f"trainer.layer_devices: {name} is not a device: set cpu, cuda:0, cuda:1 …")

    def check_read(self) -> None:
        """Raise ConfigurationError if a setting has no effect in combination with the others."""
        by = self.gradient_clip_algorithm
        message = f"trainer.gradient_clip_algorithm={by.name} needs a bound: set trainer.gradient_clip_val, such as 1"
        require(by is ClipAlgorithm.norm or self.gradient_clip_val is not None, message)
        pipes, schedule = self.strategy is StrategyName.pipeline, self.pipeline_schedule
        message = f"trainer.pipeline_schedule={schedule} is of trainer=pipeline: choose that or leave it out"
        require(pipes or schedule == type(self)().pipeline_schedule, message)

    def keeps_run(self) -> bool:
        """False of a check that leaves no run."""
        return not (self.overfit or self.fast_dev_run)

    def placed_on(self) -> list[str]:
        """Devices of layer_split. Raises ConfigurationError if this machine lacks one."""
        import torch

        gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        devices = self.layer_devices or (gpus if self.uses_gpu() else ["cpu"])
        missing = [name for name in devices if name.startswith("cuda") and name not in gpus]
        message = f"trainer.layer_devices: this machine has no {', '.join(missing)}, but {len(gpus)} GPUs"
        require(not missing, message)
        return devices

    def _check_steps_per_execution(self) -> None:
        steps = self.steps_per_execution
        if steps == "auto":
            return
        is_int = isinstance(steps, int) and not isinstance(steps, bool)
        require(is_int, f"trainer.steps_per_execution={steps} must be auto or a whole number")
        within("trainer.steps_per_execution", steps, "[1, inf)")
        obstacle = needs_single_batches(steps, self.accumulate_grad_batches, self.limit_train_batches)
        require(
            steps == 1 or obstacle is None,
            f"trainer.{obstacle} does not go with trainer.steps_per_execution={steps}: set that to 1 or auto",
        )

    def processes(self) -> int:
        """Number of training processes on all machines."""
        return self.devices * self.num_nodes

    def data_shards(self) -> int:
        """Number of parts that the samples are split into: processes that share a model read the same part."""
        return 1 if self.strategy is StrategyName.pipeline else self.processes() // self.tensor_parallel_size

    def on_one_device(self) -> "TrainerConfig":
        """Copy of these settings for one process on one device."""
        accelerator = self.accelerator if self.uses_gpu() else Accelerator.cpu
        return replace(
            self,
            accelerator=accelerator,
            strategy=StrategyName.single,
            devices=1,
            num_nodes=1,
            layer_devices=None,
            tensor_parallel_size=1,
            micro_batches=1,
        )

    def check_launch(self, started: int | None) -> None:
        """Raise ConfigurationError if torchrun started another number of processes. started: None without torchrun."""
        if started is None:
            message = f"trainer.num_nodes={self.num_nodes} is for torchrun, begun on each machine: see {_GUIDE}"
            require(self.num_nodes == 1, message)
            return
        have = f"trainer.devices={self.devices} on trainer.num_nodes={self.num_nodes} machines are {self.processes()}"
        advice = "set trainer=ddp, as many devices as torchrun's --nproc-per-node, and as many nodes as its --nnodes"
        message = f"torchrun has started {started} processes, {have}: {advice}"
        require(started == self.processes(), message)

    def uses_gpu(self) -> bool:
        """True if training runs on this machine's GPU."""
        if self.layer_devices:
            return self.layer_devices[0].startswith("cuda")
        if self.accelerator is Accelerator.cpu:
            return False
        import torch

        return torch.cuda.is_available()

    def check_machine(self) -> None:
        """Raise ConfigurationError if this machine lacks the devices or the precision."""
        if self.strategy is StrategyName.layer_split:
            self.placed_on()
            return
        import torch

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


def needs_single_batches(steps: int, accumulated: int, limit: float | None) -> str | None:
    """The setting that does not go with `steps` batches per call, such as "limit_train_batches=10"; else None.

    limit: Lightning's limit_train_batches: a number of batches, a share of them as a float, or None for all.
    """
    if accumulated > 1:
        return f"accumulate_grad_batches={accumulated}"
    divides = limit % steps == 0 if isinstance(limit, int) else limit in (None, 1.0)
    return None if divides else f"limit_train_batches={limit}"
