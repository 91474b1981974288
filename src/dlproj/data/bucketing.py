"""Batches of samples of about one length, which a model that skips padding reads in fewer time steps."""

import torch
from torch import Tensor

POOL = 50  # batches that are sorted together: more save little more work, and each batch would tell more of its lengths


def bucketed(order: Tensor, lengths: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """A shuffled order of samples (N,), rearranged so that those of a whole batch are of about one length.

    lengths (N,) is by sample. Pools of 50 batches of the order are sorted by length, each by itself, and cut into
    batches, which the generator then shuffles. What is left over after the last whole batch stays last and as it was:
    a random choice, so that leaving it out favours no length.
    """
    whole = len(order) // batch_size * batch_size
    pools = [_by_length(pool, lengths) for pool in order[:whole].split(POOL * batch_size)]
    batches = torch.cat(pools).reshape(-1, batch_size)
    shuffled = batches[torch.randperm(len(batches), generator=generator)]
    return torch.cat([shuffled.flatten(), order[whole:]])


def _by_length(pool: Tensor, lengths: Tensor) -> Tensor:
    return pool[lengths[pool].argsort(stable=True)]
