"""Bucketing by length: a case worked out by hand, and what holds for every order."""

from itertools import pairwise

import pytest
import torch

from dlproj.data import bucketing
from dlproj.data.batches import generator
from dlproj.data.bucketing import POOL, bucketed


def cut(order, batch_size):
    return [batch.tolist() for batch in order.split(batch_size)]


def example(count=10_007, batch_size=16, seed=0):
    """An order, lengths as those of reviews (many alike), and the order bucketed."""
    order = torch.randperm(count, generator=generator("order", seed))
    lengths = torch.randint(1, 40, (count,), generator=generator("lengths"))
    return order, lengths, bucketed(order, lengths, batch_size, generator("buckets", seed))


def test_a_case_worked_out_by_hand(monkeypatch):
    monkeypatch.setattr(bucketing, "POOL", 2)
    #                       sample 0  1  2  3  4  5  6  7  8
    lengths = torch.tensor([5, 3, 9, 1, 7, 2, 9, 4, 6])
    order = torch.tensor([4, 0, 3, 1, 6, 2, 5, 7, 8])
    # Pools 4 0 3 1 and 6 2 5 7, of lengths 7 5 1 3 and 9 9 2 4, become 3 1 0 4 and 5 7 6 2; 8 is left over.
    batches = cut(bucketed(order, lengths, 2, generator("buckets")), 2)
    assert sorted(batches[:-1]) == [[0, 4], [3, 1], [5, 7], [6, 2]]
    assert batches[-1] == [8]


@pytest.mark.parametrize(("count", "batch_size"), [(10_007, 16), (800, 16), (33, 16), (16, 16), (15, 16), (100, 1)])
def test_every_sample_is_there_once_and_the_rest_is_last_as_it_was(count, batch_size):
    order, _, found = example(count, batch_size)
    whole = count // batch_size * batch_size
    assert torch.equal(found.sort().values, torch.arange(count))
    assert torch.equal(found[whole:], order[whole:])


def test_each_batch_is_of_one_pool_and_the_batches_of_a_pool_do_not_overlap_in_length():
    order, lengths, found = example()
    for start in range(0, 10_000, POOL * 16):
        pool = set(order[:10_000][start : start + POOL * 16].tolist())
        batches = [batch for batch in cut(found[:10_000], 16) if pool.issuperset(batch)]
        assert len(batches) == len(pool) // 16
        ranges = sorted((int(lengths[batch].min()), int(lengths[batch].max())) for batch in batches)
        assert all(longest <= shortest for (_, longest), (shortest, _) in pairwise(ranges))


def test_samples_of_one_length_stay_in_their_shuffled_order():
    order, _, _ = example()
    found = bucketed(order, torch.ones(len(order), dtype=torch.int64), 16, generator("buckets"))
    assert sorted(cut(found[:10_000], 16)) == sorted(cut(order[:10_000], 16))


def test_batches_come_in_no_order_of_length_and_each_epoch_makes_others():
    _, lengths, found = example()
    means = torch.stack([lengths[batch].double().mean() for batch in found[:10_000].split(16)])
    assert abs(torch.corrcoef(torch.stack([means[:-1], means[1:]]))[0, 1]) < 0.2  # five deviations
    _, _, other = example(seed=1)
    together = [set(map(frozenset, cut(one[:10_000], 16))) for one in (found, other)]
    assert together[0].isdisjoint(together[1])


def test_what_is_left_over_is_of_no_special_length():
    """Left out by drop_last, it would otherwise take the longest from every epoch."""
    lengths = torch.arange(31)
    rests = torch.stack(
        [
            bucketed(torch.randperm(31, generator=generator("order", seed)), lengths, 16, generator("buckets"))[16:]
            for seed in range(200)
        ]
    )
    assert lengths[rests].double().mean().item() == pytest.approx(15, abs=0.6)  # five deviations
