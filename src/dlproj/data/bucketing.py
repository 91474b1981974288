"""Batches of samples of similar length, which a model that skips padding reads in fewer time steps."""

import torch
from torch import Tensor

POOL = 50  # batches sorted together: larger pools save little more time and make batches less random


def bucketed(order: Tensor, lengths: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """Rearrange a shuffled order of samples (N,) so that each full batch holds samples of similar length.

    `lengths` (N,) is indexed by sample. Pools of 50 batches are sorted by length separately and cut into batches, which
    the generator then shuffles. The samples after the last full batch stay last, in their order: they are a random
    choice, so leaving them out favours no length.
    """
    full = len(order) // batch_size * batch_size
    pools = [_by_length(pool, lengths) for pool in order[:full].split(POOL * batch_size)]
    batches = torch.cat(pools).reshape(-1, batch_size)
    shuffled = batches[torch.randperm(len(batches), generator=generator)]
    return torch.cat([shuffled.flatten(), order[full:]])


def _by_length(pool: Tensor, lengths: Tensor) -> Tensor:
    return pool[lengths[pool].argsort(stable=True)]
