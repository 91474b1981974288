"""trainer.profile: where the time of training goes, and a trace of a few steps."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.profilers import SimpleProfiler
from torch.profiler import ProfilerActivity, profile, record_function

from dlproj.data.batches import TrainingBatches
from dlproj.models.optimized import OptimizedModule
from dlproj.reports.profile_table import OTHER
from dlproj.runs.manifest import TRACE
from dlproj.training.stopwatch import Stopwatch

_SINGLE_CALLS = 10  # calls of a single batch that are traced; of blocks, one is
_BACKWARD = "autograd::engine::evaluate_function"
_MONITORS = "dlproj.training.monitors."


class _Timer(SimpleProfiler):
    """Lightning's clock around each part of the loop, which on a GPU waits for the steps that it measures."""

    def stop(self, action_name: str) -> None:
        if action_name == "run_training_batch" and torch.cuda.is_available():
            torch.cuda.synchronize()
        super().stop(action_name)


class Profile(Callback):
    """Times the parts of training, and traces the second call of training_step, or ten calls of single batches.

    Lightning's profiler times whole calls; torch's tells what of a call is data, forward, backward and optimizer. The
    trace is written to the run's folder, in Chrome's format.
    """

    def __init__(self, watch: Stopwatch, folder: Path) -> None:
        self.watch = watch
        self.path = folder / TRACE
        self.timer = _Timer()
        self.shares: dict[str, float] = {}  # of the time of the traced calls
        self._calls = 0
        self._trace: profile | None = None

    def setup(self, trainer: pl.Trainer, model: pl.LightningModule, stage: str) -> None:
        """Time the loop, and name what is part of a step."""
        trainer.profiler = self.timer  # type: ignore[attr-defined]
        if stage == "fit":
            assert isinstance(model, OptimizedModule)
            model.training_loss = _named("forward", model.training_loss)  # type: ignore[method-assign]
            data = trainer.datamodule  # type: ignore[attr-defined]
            data.train_dataloader = _with_named_batches(data.train_dataloader)

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Choose the calls to trace: not the first, which prepares much, if there are others."""
        loader = trainer.train_dataloader
        in_blocks = isinstance(loader, TrainingBatches) and loader.steps_per_execution > 1
        calls = int(trainer.num_training_batches) * (trainer.max_epochs or 1)
        self._first = min(1, calls - 1)
        self._last = min(self._first + (1 if in_blocks else _SINGLE_CALLS), calls) - 1

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        if self._calls == self._first:
            on_gpu = trainer.strategy.root_device.type == "cuda"
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # no messages of torch about its profiler, or a missing GPU
            with self.timer.profile("trace"):
                activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
                self._trace = profile(activities=activities, acc_events=True)  # see LiveBytes
                self._trace.start()

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """Write the trace after the last call of it."""
        if self._calls == self._last and self._trace:
            self._end(self._trace, trainer)
        self._calls += 1

    def on_train_end(self, trainer: pl.Trainer, *args: Any) -> None:
        """End the trace of training that has stopped within it."""
        if self._trace:
            self._end(self._trace, trainer)

    def _end(self, trace: profile, trainer: pl.Trainer) -> None:
        self._trace = None
        taken = math.fsum(self.timer.recorded_durations["run_training_batch"][self._first :])
        with self.timer.profile("trace"):
            trace.stop()
            seconds = _seconds_of_steps(trace)
            if trainer.is_global_zero:
                trace.export_chrome_trace(str(self.path))
        if trainer.lightning_module.automatic_optimization:  # forward and backward are then a closure of the step
            seconds["optimizer"] -= seconds["forward"] + seconds["backward"]
        self.shares = {part: value / taken for part, value in seconds.items()}

    def parts(self, trainer: pl.Trainer) -> dict[str, float]:
        """Return the seconds of each part of training, which together are all of it but for starting the trace."""
        taken = {name: math.fsum(seconds) for name, seconds in self.timer.recorded_durations.items()}
        steps = taken.get("run_training_batch", 0.0)
        parts = {part: steps * share for part, share in self.shares.items()}
        parts["data"] = parts.get("data", 0.0) + taken.get("[_TrainingEpochLoop].train_dataloader_next", 0.0)
        parts["validation"] = self.watch.validation_seconds
        monitors = [one.state_key for one in trainer.callbacks if type(one).__module__.startswith(_MONITORS)]  # type: ignore[attr-defined]
        during = tuple(f"[Callback]{key}.on_train_epoch" for key in monitors)
        parts["figures"] = math.fsum(seconds for name, seconds in taken.items() if name.startswith(during))
        parts["checkpoints"] = taken.get("save_checkpoint", 0.0)
        seconds = self.watch.seconds - taken.get("trace", 0.0)
        return parts | {OTHER: max(0.0, seconds - math.fsum(parts.values()))}


def _named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with record_function(name):
            return function(*args, **kwargs)

    return call


def _with_named_batches(train_dataloader: Callable[[], TrainingBatches]) -> Callable[[], TrainingBatches]:
    def build() -> TrainingBatches:
        loader = train_dataloader()
        loader.batch = _named("data", loader.batch)  # type: ignore[method-assign]
        return loader

    return build


def _seconds_of_steps(trace: profile) -> dict[str, float]:
    """Return the seconds of each part of the traced steps; on a GPU those that its kernels take."""
    parts = dict.fromkeys(("data", "forward", "backward", "optimizer"), 0.0)
    for event in trace.key_averages():
        part = "backward" if event.key.startswith(_BACKWARD) else event.key
        part = "optimizer" if part.startswith("Optimizer.step") else part
        if part in parts and event.device_type.name == "CPU":
            parts[part] += max(event.cpu_time_total, event.device_time_total) / 1e6
    return parts
