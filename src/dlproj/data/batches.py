"""Whole batches from tensors in memory: shuffled, sharded by rank, resumable, without a DataLoader's cost a sample."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dlproj.data.bucketing import bucketed

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Shard:
    """Which part of every global batch this process takes: number `rank` of `world_size`."""

    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of one split: inputs (N, …) and integer class targets (N,)."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: Tensor | slice) -> "Samples":
        return Samples(self.inputs[index], self.targets[index])

    def to(self, device: torch.device) -> "Samples":
        """The same samples on a device."""
        return Samples(self.inputs.to(device), self.targets.to(device))

    def nbytes(self) -> int:
        """The memory they take, in bytes."""
        return self.inputs.nbytes + self.targets.nbytes


def generator(purpose: str, *entropy: int) -> torch.Generator:
    """A random generator that depends on nothing but its purpose and these non-negative integers, well mixed."""
    # The length tells (seed,) from (seed, 0), which SeedSequence fills up with zeros alike.
    words = (zlib.crc32(purpose.encode()), len(entropy), *entropy)
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


@dataclass(slots=True)
class Epoch:
    """The number of the epoch, kept where Lightning sets it: at `loader.batch_sampler.sampler`."""

    number: int = 0

    def set_epoch(self, number: int) -> None:
        """Called by Lightning before each epoch."""
        self.number = number


@dataclass(slots=True)
class _BatchSampler:
    sampler: Epoch = field(default_factory=Epoch)


class Block:
    """Consecutive batches, each made when it is its turn: all at once they would not fit a processor's cache."""

    def __init__(self, batch: Callable[[int], Batch], steps: Sequence[int]) -> None:
        self._batch = batch
        self._steps = steps

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Batch]:
        return map(self._batch, self._steps)

    def to(self, device: torch.device, **options: Any) -> "Block":
        """The same batches on a device: called by Lightning, which knows nothing of blocks."""

        def moved(step: int) -> Batch:
            inputs, targets = self._batch(step)
            return inputs.to(device, **options), targets.to(device, **options)

        return Block(moved, self._steps)


class TrainingBatches:
    """One epoch after another of shuffled batches, the same for the same seed.

    The order of epoch e depends on (seed, e) alone and a global batch is `batch_size × world_size` samples of it, of
    which each rank takes an equal, consecutive part. So W ranks with batch B see the samples that one process sees with
    batch W·B. Where the last batch does not divide by W, at most W − 1 samples are left out of that epoch: ranks with
    unequal parts would average their gradients wrongly.

    Given the lengths (N,) of the samples, on the CPU, a global batch holds samples of about one length.

    transform(inputs, epoch, step, shard) makes the batch's inputs from the stored ones. Where steps_per_execution is
    above 1, that many batches are handed out together, as a Block; the last one of an epoch holds the rest. The state
    holds the epoch and the number of batches handed out, the same on every rank.
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        seed: int,
        transform: Callable[[Tensor, int, int, Shard], Tensor],
        shard: Shard = Shard(),
        drop_last: bool = False,
        steps_per_execution: int = 1,
        lengths: Tensor | None = None,
    ) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.transform = transform
        self.shard = shard
        self.drop_last = drop_last
        self.steps_per_execution = steps_per_execution
        self.lengths = lengths
        self.batch_sampler = _BatchSampler()
        self._handed_out = 0
        self._resume: dict[str, int] = {}

    @property
    def batches(self) -> int:
        """The number of batches in an epoch."""
        full, rest = divmod(len(self.samples), self.batch_size * self.shard.world_size)
        return full + (not self.drop_last and rest >= self.shard.world_size)

    def smallest(self, limit: int | None = None) -> int:
        """Samples of all processes in the smallest batch of an epoch, or of its first `limit` batches."""
        whole = self.batch_size * self.shard.world_size
        last = min(self.batches, limit or self.batches) - 1
        return min(whole, len(self.samples) - last * whole)

    def batches_in(self, executions: int) -> int:
        """Batches in an epoch's first so many executions."""
        return min(executions * self.steps_per_execution, self.batches)

    def __len__(self) -> int:
        return -(-self.batches // self.steps_per_execution)

    def __iter__(self) -> Iterator[Batch | Block]:
        # A generator's body runs at the first next(): Lightning calls iter() before set_epoch().
        epoch = self.batch_sampler.sampler.number
        order = torch.randperm(len(self.samples), generator=generator("order", self.seed, epoch))
        if self.lengths is not None:
            global_batch = self.batch_size * self.shard.world_size
            order = bucketed(order, self.lengths, global_batch, generator("buckets", self.seed, epoch))
        batch = partial(self._batch, order.to(self.samples.targets.device), epoch)
        for step in range(self._first_step(epoch), self.batches, self.steps_per_execution):
            self._handed_out = min(step + self.steps_per_execution, self.batches)
            yield batch(step) if self.steps_per_execution == 1 else Block(batch, range(step, self._handed_out))

    def _first_step(self, epoch: int) -> int:
        """Where the epoch starts: inside it only if a checkpoint was taken inside this very epoch."""
        resume, self._resume = self._resume, {}
        inside = resume.get("epoch") == epoch and resume["handed_out"] < self.batches
        return resume["handed_out"] if inside else 0

    def _batch(self, order: Tensor, epoch: int, step: int) -> Batch:
        whole = order[step * self.batch_size * self.shard.world_size :][: self.batch_size * self.shard.world_size]
        part = len(whole) // self.shard.world_size
        mine = whole[self.shard.rank * part :][:part]
        inputs = self.samples.inputs.index_select(0, mine)
        return self.transform(inputs, epoch, step, self.shard), self.samples.targets.index_select(0, mine)

    def state_dict(self) -> dict[str, int]:
        """The epoch and how many of its batches were handed out."""
        return {"epoch": self.batch_sampler.sampler.number, "handed_out": self._handed_out}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where state was taken."""
        self.batch_sampler.sampler.number = state["epoch"]
        self._handed_out = state["handed_out"]
        self._resume = dict(state)


class EvaluationBatches:
    """Every sample exactly once over all ranks, in order, in the same number of batches on each rank, none empty.

    The number is the same because Lightning and DDP count on it; a padded sampler would count some samples twice.
    """

    def __init__(
        self, samples: Samples, batch_size: int, transform: Callable[[Tensor], Tensor], shard: Shard = Shard()
    ) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.transform = transform
        self.shard = shard

    def __len__(self) -> int:
        largest_part = -(-len(self.samples) // self.shard.world_size)
        # No more than the smallest part has: batches of one sample would leave a rank with an empty one.
        return min(-(-largest_part // self.batch_size), len(self.samples) // self.shard.world_size)

    def __iter__(self) -> Iterator[Batch]:
        first = self.shard.rank * len(self.samples) // self.shard.world_size
        last = (self.shard.rank + 1) * len(self.samples) // self.shard.world_size
        # A part may be a sample short of another rank's: each batch leaves at least one sample to each that follows.
        starts = [min(first + step * self.batch_size, last - len(self) + step) for step in range(len(self))]
        for start, end in pairwise([*starts, last]):
            yield self.transform(self.samples.inputs[start:end]), self.samples.targets[start:end]
