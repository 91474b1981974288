"""Whole batches from tensors in memory: shuffled, sharded, resumable, without a DataLoader's per-sample cost."""

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
    """This process's share of every global batch: part `rank` (from 0) of `world_size`."""

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
        """Return the samples on `device`."""
        return Samples(self.inputs.to(device), self.targets.to(device))

    def nbytes(self) -> int:
        """Return the memory of the samples in bytes."""
        return self.inputs.nbytes + self.targets.nbytes


def generator(purpose: str, *entropy: int) -> torch.Generator:
    """Return a random generator seeded by `purpose` and these non-negative integers alone, well mixed."""
    # The length distinguishes (seed,) from (seed, 0), both of which SeedSequence pads with zeros.
    words = (zlib.crc32(purpose.encode()), len(entropy), *entropy)
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


@dataclass(slots=True)
class Epoch:
    """The current epoch, stored where Lightning sets it: in `loader.batch_sampler.sampler`."""

    number: int = 0

    def set_epoch(self, number: int) -> None:
        """Set the epoch. Lightning calls this before each one."""
        self.number = number


@dataclass(slots=True)
class _BatchSampler:
    sampler: Epoch = field(default_factory=Epoch)


class Block:
    """Consecutive batches, each made when it is iterated: all at once would not fit in a processor's cache."""

    def __init__(self, batch: Callable[[int], Batch], steps: Sequence[int]) -> None:
        self._batch = batch
        self._steps = steps

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Batch]:
        return map(self._batch, self._steps)

    def to(self, device: torch.device, **options: Any) -> "Block":
        """Return a block whose batches lie on `device`. Lightning calls this as it does for a tensor."""

        def moved(step: int) -> Batch:
            inputs, targets = self._batch(step)
            return inputs.to(device, **options), targets.to(device, **options)

        return Block(moved, self._steps)


class TrainingBatches:
    """Shuffled training batches, determined by the seed; each iteration is one epoch.

    The order of epoch e depends on (seed, e) alone. Each global batch is the next `batch_size × world_size` samples of
    it, of which each rank takes an equal, consecutive part. So W ranks with batch size B see the same samples as one
    process with batch size W·B. If W does not divide the last global batch, at most W − 1 samples are left out of that
    epoch: with unequal parts, averaging gradients over ranks would be wrong.

    With `lengths` (N,) on the CPU, each global batch holds samples of similar length. If balanced, an epoch is N draws
    with replacement instead, from every class with the same probability.

    transform(inputs, epoch, step, shard) makes the batch's inputs from the stored ones. mix(inputs, targets, epoch,
    step) then makes inputs and shares of the classes (B, classes) of a whole global batch.

    If steps_per_execution is above 1, that many batches are yielded together as a Block; the last Block of an epoch
    holds the remainder. The state holds the epoch and the number of batches yielded, the same on every rank.
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
        balanced: bool = False,
        mix: Callable[[Tensor, Tensor, int, int], Batch] | None = None,
    ) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.seed = seed
        self.transform = transform
        self.shard = shard
        self.drop_last = drop_last
        self.steps_per_execution = steps_per_execution
        self.lengths = lengths
        self.balanced = balanced
        self.mix = mix
        self.batch_sampler = _BatchSampler()
        self._handed_out = 0
        self._resume: dict[str, int] = {}

    @property
    def batches(self) -> int:
        """Number of batches in an epoch."""
        full, rest = divmod(len(self.samples), self.batch_size * self.shard.world_size)
        return full + (not self.drop_last and rest >= self.shard.world_size)

    def smallest(self, limit: int | None = None) -> int:
        """Return the size of the smallest global batch in an epoch, or in its first `limit` batches."""
        full = self.batch_size * self.shard.world_size
        last = min(self.batches, limit or self.batches) - 1
        return min(full, len(self.samples) - last * full)

    def batches_in(self, executions: int) -> int:
        """Return the number of batches in an epoch's first `executions` executions."""
        return min(executions * self.steps_per_execution, self.batches)

    def __len__(self) -> int:
        return -(-self.batches // self.steps_per_execution)

    def __iter__(self) -> Iterator[Batch | Block]:
        # A generator's body runs at the first next(): Lightning calls iter() before set_epoch().
        epoch = self.batch_sampler.sampler.number
        order = self._order(generator("order", self.seed, epoch))
        if self.lengths is not None:
            global_batch = self.batch_size * self.shard.world_size
            order = bucketed(order, self.lengths, global_batch, generator("buckets", self.seed, epoch))
        batch = partial(self.batch, order.to(self.samples.targets.device), epoch)
        for step in range(self._first_step(epoch), self.batches, self.steps_per_execution):
            self._handed_out = min(step + self.steps_per_execution, self.batches)
            yield batch(step) if self.steps_per_execution == 1 else Block(batch, range(step, self._handed_out))

    def _order(self, random: torch.Generator) -> Tensor:
        if not self.balanced:
            return torch.randperm(len(self.samples), generator=random)
        targets = self.samples.targets.cpu()
        ends = (1 / targets.bincount().double())[targets].cumsum(0)  # each sample's part of the line from 0 to ends[-1]
        return torch.searchsorted(ends, ends[-1] * torch.rand(len(targets), dtype=torch.float64, generator=random))

    def _first_step(self, epoch: int) -> int:
        """The epoch's first step: above 0 only if resumed from a checkpoint taken during this epoch."""
        resume, self._resume = self._resume, {}
        inside = resume.get("epoch") == epoch and resume["handed_out"] < self.batches
        return resume["handed_out"] if inside else 0

    def batch(self, order: Tensor, epoch: int, step: int) -> Batch:
        """Return this process's share of a step's batch. order: the epoch's samples, on their device."""
        batch = order[step * self.batch_size * self.shard.world_size :][: self.batch_size * self.shard.world_size]
        part = len(batch) // self.shard.world_size
        mine = slice(self.shard.rank * part, (self.shard.rank + 1) * part)
        if self.mix is None:
            return self._samples(batch[mine], epoch, step, self.shard)
        # A partner may belong to another rank: each makes the whole batch.
        inputs, targets = self._samples(batch[: part * self.shard.world_size], epoch, step, Shard())
        inputs, targets = self.mix(inputs, targets, epoch, step)
        return inputs[mine], targets[mine]

    def _samples(self, indices: Tensor, epoch: int, step: int, shard: Shard) -> Batch:
        inputs = self.samples.inputs.index_select(0, indices)
        return self.transform(inputs, epoch, step, shard), self.samples.targets.index_select(0, indices)

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and the number of its batches yielded so far."""
        return {"epoch": self.batch_sampler.sampler.number, "handed_out": self._handed_out}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume where `state` was taken."""
        self.batch_sampler.sampler.number = state["epoch"]
        self._handed_out = state["handed_out"]
        self._resume = dict(state)


class EvaluationBatches:
    """Batches of all samples in order, each sample on exactly one rank; every rank has equally many, none empty.

    Lightning and DDP need equal batch counts; a padded sampler would count some samples twice.
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
        # At most one batch per sample of the smallest part: its rank would otherwise get an empty batch.
        return min(-(-largest_part // self.batch_size), len(self.samples) // self.shard.world_size)

    def __iter__(self) -> Iterator[Batch]:
        first = self.shard.rank * len(self.samples) // self.shard.world_size
        last = (self.shard.rank + 1) * len(self.samples) // self.shard.world_size
        # A part may be one sample shorter than another rank's: each batch leaves a sample for each later batch.
        starts = [min(first + step * self.batch_size, last - len(self) + step) for step in range(len(self))]
        for start, end in pairwise([*starts, last]):
            yield self.transform(self.samples.inputs[start:end]), self.samples.targets[start:end]
