"""A training step as it is: its time, what a process keeps and sends, and what the machine can do."""

import gc
import logging
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from dlproj.clock import Clock, median_seconds, memory_bytes_per_s, wall_clock
from dlproj.config.root import Config
from dlproj.distributed.processes import run_in_processes
from dlproj.labs.scaling.cost import Job, Rates
from dlproj.launch import rank, started_by_torchrun
from dlproj.live_bytes import LiveBytes
from dlproj.training.trainer import build_trainer, prepare_process

_WARM_UP = 8  # batches before steps are timed; the first ones are watched for their memory
_WATCHED = 5
_SENT = 2**22  # numbers: a message so long that latency does not count
_CALLS = 5  # in a row, a timing; the same in all processes, which wait for each other


@dataclass(frozen=True, slots=True)
class Measured:
    """The time, memory and traffic of a case, and the weights that it ends with."""

    seconds: float  # a step, the median
    lowest: float
    highest: float
    kept_bytes: int  # the most that torch held at once in the fullest process: no library, no data set; from run to run
    # some MB apart, as threads free what they have sent when they come to it
    sent_bytes: float | None  # a step and process, through this machine's own network; None where it goes elsewhere
    weights: dict[str, np.ndarray] = field(repr=False)  # after the last step, in the first process


def measure(configs: Sequence[Config], job: Job, processes: int, steps: int) -> tuple[Rates, list[Measured]]:
    """The rates of the processes at products of the job's size, and each case measured over so many steps."""
    if processes == 1:
        return _measure_all(configs, job, steps)
    return run_in_processes(processes, _measure_all, configs, job, steps)


def _measure_all(configs: Sequence[Config], job: Job, steps: int) -> tuple[Rates, list[Measured]]:
    prepare_process(configs[0].trainer)
    logging.getLogger("pytorch_lightning.callbacks.model_summary").setLevel(logging.WARNING)
    rates = _probe(job, "cuda" if configs[0].trainer.uses_gpu() else "cpu")
    return rates, [_measure(config, steps) for config in configs]


def _measure(config: Config, steps: int) -> Measured:
    gc.collect()  # the case before this one
    pl.seed_everything(config.seed, verbose=False)
    data = config.data.build(config.seed)
    data.setup()
    live = LiveBytes()
    watch = _Watch(steps, live, gpu=config.trainer.uses_gpu())
    with TemporaryDirectory() as folder, ExitStack() as watch.counting:
        watch.counting.enter_context(live)
        model = config.model.build(data.spec, config.optim, config.scheduler)
        trainer = build_trainer(config.trainer, [watch], Path(folder))
        trainer.fit(model, datamodule=data)
        weights = trainer.strategy.lightning_module_state_dict()  # all must ask
    times, first = watch.times, {name: value.cpu().numpy() for name, value in weights.items() if rank() == 0}
    return Measured(median(times), min(times), max(times), watch.kept_bytes, watch.sent_bytes, first)


class _Watch(Callback):
    """Counts what the first steps keep, and then what each of the others takes, all within their epochs."""

    counting: ExitStack  # closed when memory is known

    def __init__(self, steps: int, live: LiveBytes, gpu: bool) -> None:
        self.steps = steps
        self.live = live
        self.gpu = gpu
        self._clock = wall_clock(torch.device("cuda" if gpu else "cpu"))  # on which processes wait for each other
        self.times: list[float] = []
        self._sent: list[int] = []
        self._seen = 0
        self._last: tuple[float, int | None] | None = None

    def setup(self, trainer: pl.Trainer, model: pl.LightningModule, stage: str) -> None:
        """Have the data where it is in a run, before a GPU's memory is counted."""
        trainer.datamodule.place(trainer.strategy.root_device)  # type: ignore[attr-defined]
        if self.gpu:
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()

    def on_train_epoch_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Between epochs there is more than steps."""
        self._last = None

    def on_train_batch_start(self, trainer: pl.Trainer, model: pl.LightningModule, *args: Any) -> None:
        """Begin with the epoch's first one."""
        self._last = self._last or self._now()

    def on_train_batch_end(self, trainer: pl.Trainer, model: pl.LightningModule, *args: Any) -> None:
        """Note what has passed since the last one."""
        self._seen += 1
        if self._seen == _WATCHED:
            self.counting.close()
            kept = torch.cuda.max_memory_allocated() - self._before if self.gpu else self.live.peak
            self.kept_bytes = _most(kept, trainer)
        now = self._now()
        if self._last and self._seen > _WARM_UP:
            self.times.append(now[0] - self._last[0])
            self._sent.append((now[1] or 0) - (self._last[1] or 0))
        self._last = now
        trainer.should_stop = len(self.times) >= self.steps

    def _now(self) -> tuple[float, int | None]:
        return self._clock(), bytes_sent()

    @property
    def sent_bytes(self) -> float | None:
        """Bytes that a process sends in a step."""
        through_here = bytes_sent() is not None and not self.gpu
        return sum(self._sent) / len(self._sent) / (started_by_torchrun() or 1) if through_here else None


def _most(value: int, trainer: pl.Trainer) -> int:
    return int(trainer.strategy.reduce(torch.tensor(float(value)), reduce_op="max"))


def bytes_sent() -> int | None:
    """Through this machine's own network by all its processes so far, as Linux counts them; None elsewhere."""
    try:
        lines = Path("/proc/net/dev").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[9]) for line in lines if line.split()[0] == "lo:"), None)


def _probe(job: Job, kind: str) -> Rates:
    device, processes = torch.device(kind, rank() if kind == "cuda" else 0), started_by_torchrun() or 1
    clock = wall_clock(device)
    flops_per_s, bytes_per_s = _flops_per_s(job, processes, device, clock), memory_bytes_per_s(device, clock)
    if processes == 1:
        return Rates(flops_per_s, bytes_per_s, math.inf, math.inf, 0.0)
    torch.distributed.init_process_group("nccl" if kind == "cuda" else "gloo")  # which Lightning finds and uses
    rounds, numbers = 2 * (processes - 1), torch.rand(_SENT, device=device)
    message_s = median_seconds(lambda: torch.distributed.all_reduce(numbers[:1]), clock, _CALLS) / rounds
    sending = median_seconds(lambda: torch.distributed.all_reduce(numbers), clock, _CALLS) - rounds * message_s
    link = rounds / processes * numbers.nbytes / max(sending, 1e-9)
    return Rates(flops_per_s, bytes_per_s, link, link, message_s)


def _flops_per_s(job: Job, processes: int, device: torch.device, clock: Clock) -> float:
    """Of the three products of a layer's step."""
    width, rows = max(job.widths), max(1, job.batch // processes)
    inputs, gradients = (torch.rand(rows, width, device=device) for _ in range(2))
    weights = torch.rand(width, width, device=device)

    def products() -> Any:
        return inputs @ weights.T, gradients @ weights, gradients.T @ inputs

    return 6 * rows * width * width / median_seconds(products, clock, _CALLS)
