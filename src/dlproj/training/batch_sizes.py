"""How long an epoch takes by batch size, and the largest batch that fits into memory."""

import copy
import gc
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from dlproj.clock import wall_clock
from dlproj.command_errors import lacks_memory
from dlproj.config.root import Config
from dlproj.data.batches import Block
from dlproj.loop_progress import progress
from dlproj.machine import available_memory_bytes, peak_memory_bytes, reset_peak_memory
from dlproj.training.range_test import train_steps
from dlproj.training.stepping import STEPS

_SMALLEST = 16
_WARM_UP = 2  # calls before the timed ones: the second captures a CUDA graph
_CALLS = _WARM_UP + 4  # the last 4 are timed
_CALL_SECONDS = 0.2  # on a CPU, about
_NEAR = 1.2  # times the fastest epoch: about as good
_MARGIN = 1.2  # of predicted memory that is added
_PRECISION = 16  # 1 / share of the largest size that is left open
SHARE = 0.8  # of the available memory that a batch may fill


@dataclass(frozen=True, slots=True)
class Trial:
    """What a batch size takes."""

    batch_size: int
    steps: int  # in an epoch
    step_seconds: float  # median
    peak_bytes: int  # of the process, or of its GPU

    @property
    def epoch_seconds(self) -> float:
        """Seconds of an epoch's steps."""
        return self.steps * self.step_seconds

    def expected_step_seconds(self, size: int) -> float:
        """Seconds of a step with batches of `size`, if a sample takes as long as here."""
        return self.step_seconds * size / self.batch_size


@dataclass(slots=True)
class BatchSizes:
    """Trials by rising batch size, and why there are none above."""

    trials: list[Trial] = field(default_factory=list)
    end: str = ""  # "all training samples", "memory" or "time"

    @property
    def largest(self) -> int:
        """The largest batch size that fitted."""
        return self.trials[-1].batch_size

    @property
    def fastest(self) -> Trial:
        """The trial with the fastest epoch."""
        return min(self.trials, key=lambda trial: trial.epoch_seconds)

    @property
    def suggestion(self) -> int:
        """The smallest batch size whose epoch takes at most a fifth longer than the fastest: it takes more steps."""
        near = [trial for trial in self.trials if trial.epoch_seconds <= _NEAR * self.fastest.epoch_seconds]
        return near[0].batch_size

    def end_words(self) -> str:
        """Why there is no larger one."""
        words = {"all training samples": "which is all training samples", "memory": "as larger ones lack memory"}
        return words.get(self.end, "as the time was over: set --seconds higher")

    def table(self) -> list[dict[str, float]]:
        """A row a batch size: steps an epoch, seconds a step and an epoch, bytes at the peak."""
        names = ("batch_size", "steps", "step_seconds", "epoch_seconds", "peak_bytes")
        return [{name: getattr(trial, name) for name in names} for trial in self.trials]


def try_batch_sizes(config: Config, seconds: float = 60.0) -> BatchSizes:
    """Train some steps with batches of 16, 32, 64, … up to the largest that fits, by halves of what does not.

    A size is tried only if its memory, as the sizes before let expect, leaves a fifth of what was available, and ends
    when `seconds` are over. Nothing is kept. Raises UserError if the smallest cannot be trained.
    """
    trying = _Trying(copy.deepcopy(config), seconds)
    for size in progress(trying.sizes(), "batch sizes", delay=2):
        trying.measure(size)
    return trying.found


class _Trying:
    """Measures one size after the other, and knows which comes next."""

    def __init__(self, config: Config, seconds: float) -> None:
        self.config = config
        self.clock = wall_clock(torch.device("cpu"))
        self.until = self.clock() + seconds
        self.data = config.data.build(config.seed)
        self.data.prepare_data()
        self.data.setup()
        self.gpu = config.trainer.uses_gpu()
        if self.gpu:
            self.data.place(torch.device("cuda", torch.cuda.current_device()))
        reset_peak_memory()  # from here on it is what is held now
        self.bound = peak_memory_bytes()[0] + SHARE * available_memory_bytes()
        self.too_large = 0  # the smallest size that did not fit, once there is one
        self.found = BatchSizes()

    def sizes(self) -> Iterator[int]:
        """Double the size, up to what memory is foreseen for; halve the way to one that did not fit all the same."""
        size = min(_SMALLEST, len(self.data.train))
        while size > 0:
            yield size
            size = self._next()

    def _next(self) -> int:
        """The next size; 0 if there is none."""
        last = self.found.largest
        wanted = (last + self.too_large) // 2 if self.too_large else min(2 * last, len(self.data.train))
        size = min(wanted, self._foreseen())
        scarce = bool(self.too_large) or size < wanted
        self.found.end = "memory" if scarce else "all training samples"
        if size <= last or (scarce and size - last <= last // _PRECISION):
            return 0
        call_seconds = max(_CALL_SECONDS, self.found.trials[-1].expected_step_seconds(size))
        if self.clock() + _CALLS * call_seconds > self.until:
            self.found.end = "time"
            return 0
        return size

    def _foreseen(self) -> int:
        """The largest size that would fit as the sizes before let expect; on a GPU there is no harm in trying."""
        trials = self.found.trials
        if self.gpu or len(trials) < 2:
            return 2 * self.found.largest
        rises = [
            (after.peak_bytes - before.peak_bytes) / (after.batch_size - before.batch_size)
            for before, after in pairwise(trials[-4:])
        ]
        rise = _MARGIN * max(*rises, 1.0)  # bytes a sample
        return self.found.largest + int((self.bound - trials[-1].peak_bytes) / rise)

    def measure(self, size: int) -> None:
        """Train some steps with the size; one that lacks memory is too large."""
        watch = _Times(self.gpu)
        try:
            peak = self._train(size, watch)
        except Exception as error:
            if not lacks_memory(error) or not self.found.trials:
                raise
            self.too_large = size
        if size == self.too_large:  # outside of except, whose error holds on to what the step had
            gc.collect()
            torch.cuda.empty_cache()  # does nothing without a GPU
            return
        steps = self.data.train_dataloader().batches
        self.found.trials.append(Trial(size, steps, watch.median(), peak))

    def _train(self, size: int, watch: "_Times") -> int:
        """Return the peak of the memory in bytes."""
        self.data.config.batch_size = size  # of arrays from a function or from datasets, not that of self.config
        reset_peak_memory()
        options = {"steps_per_execution": self._steps_a_call(size), "cuda_graph": self.config.trainer.cuda_graph}
        train_steps(self.config, [watch], self.data, max_epochs=_CALLS, **options)
        return peak_memory_bytes()[self.gpu]

    def _steps_a_call(self, size: int) -> int | str:
        """Fewer than in training on a CPU, where a call of 50 steps of large batches would take long."""
        trainer, trials = self.config.trainer, self.found.trials
        if trainer.steps_per_execution != "auto" or self.gpu or trainer.accumulate_grad_batches > 1:
            return trainer.steps_per_execution
        if not trials or trainer.limit_train_batches is not None:
            return "auto" if trainer.limit_train_batches is not None else 10
        return max(1, min(STEPS, int(_CALL_SECONDS / trials[-1].expected_step_seconds(size))))


class _Times(Callback):
    """Times each call of training_step, the batches' preparation included, and stops training after some of them."""

    def __init__(self, gpu: bool) -> None:
        self.clock = wall_clock(torch.device("cuda" if gpu else "cpu"))
        self.seconds: list[float] = []  # a step, in each call

    def on_train_epoch_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        self._last = self.clock()

    def on_train_batch_end(
        self, trainer: pl.Trainer, model: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        now = self.clock()
        self.seconds.append((now - self._last) / (len(batch) if isinstance(batch, Block) else 1))
        self._last = now
        trainer.should_stop = len(self.seconds) >= _CALLS

    def median(self) -> float:
        """Median seconds of a step, without the first calls."""
        return median(self.seconds[_WARM_UP:] or self.seconds)
