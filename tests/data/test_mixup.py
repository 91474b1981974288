"""Mixed batches: combinations of the samples, the same for any number of processes."""

import numpy as np
import pytest
import torch
from scipy import stats

from dlproj.data.batches import Samples, Shard, TrainingBatches
from dlproj.data.mixup import Mixup

ALONE = Shard()


def batches(size, shard=ALONE, count=23, steps=1, seed=3):
    samples = Samples(torch.arange(count, dtype=torch.float32)[:, None], torch.arange(count) % 4)
    transform = lambda inputs, epoch, step, shard: inputs + 100 * shard.world_size
    return TrainingBatches(samples, size, seed, transform, shard, steps_per_execution=steps, mix=Mixup(0.4, 4, seed))


def test_inputs_and_targets_are_mixed_alike():
    mixup = Mixup(0.4, 3, 7)
    targets = torch.tensor([0, 1, 2, 1])
    inputs = 10.0 * torch.nn.functional.one_hot(targets, 3)
    for step in range(20):
        mixed, shares = mixup(inputs, targets, 0, step)
        assert torch.allclose(mixed, 10 * shares)
        assert torch.allclose(shares.sum(1), torch.ones(4))
        assert torch.allclose(shares.sum(0), torch.tensor([1.0, 2.0, 1.0]))  # the partners are a permutation


def test_the_share_is_drawn_from_the_beta_distribution():
    inputs, targets = torch.arange(2.0)[:, None], torch.arange(2)
    mixed = [Mixup(0.4, 2, 1)(inputs, targets, epoch, step) for epoch in range(5) for step in range(400)]
    shares = np.array([float(values[1, 0]) for values, _ in mixed if not torch.equal(values, inputs)])
    assert 900 < len(shares) < 1100  # of 2000: where the permutation swaps the two
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > 0.01


def test_mixtures_depend_on_seed_epoch_and_step_alone():
    inputs, targets = torch.rand(8, 3), torch.arange(8)
    draws = [Mixup(1.0, 8, seed)(inputs, targets, epoch, step)[0] for seed, epoch, step in np.ndindex(2, 2, 2)]
    torch.rand(3)
    again = [Mixup(1.0, 8, seed)(inputs, targets, epoch, step)[0] for seed, epoch, step in np.ndindex(2, 2, 2)]
    assert all(map(torch.equal, draws, again))
    assert len({draw.numpy().tobytes() for draw in draws}) == 8


@pytest.mark.parametrize("alpha", [1e-4, 1e6])
def test_extreme_settings_mix_too(alpha):
    inputs, targets = torch.rand(8, 3), torch.arange(8)
    mixed, shares = Mixup(alpha, 8, 0)(inputs, targets, 0, 0)
    assert mixed.isfinite().all()
    assert torch.allclose(shares.sum(1), torch.ones(8))


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_the_mixed_batches_of_one(world_size):
    whole = list(batches(4 * world_size))
    ranks = [list(batches(4, Shard(rank, world_size))) for rank in range(world_size)]
    for (inputs, shares), *parts in list(zip(whole, *ranks, strict=True))[:-1]:  # the last one leaves samples out
        assert torch.equal(torch.cat([inputs for inputs, _ in parts]), inputs)
        assert torch.equal(torch.cat([shares for _, shares in parts]), shares)


def test_blocks_hold_the_mixed_batches_of_single_calls():
    single = list(batches(4))
    blocks = [batch for block in batches(4, steps=4) for batch in block]
    for one, other in zip(single, blocks, strict=True):
        assert all(map(torch.equal, one, other))
