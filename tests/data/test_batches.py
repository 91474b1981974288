import pytest
import torch

from dlproj.data.batches import EvaluationBatches, Samples, Shard, TrainingBatches, generator

ALONE = Shard()


def numbered(count):
    return Samples(torch.arange(count)[:, None], torch.arange(count))


def training(
    count=23, batch_size=4, seed=0, shard=ALONE, drop_last=False, transform=lambda inputs, *_: inputs, lengths=None
):
    return TrainingBatches(numbered(count), batch_size, seed, transform, shard, drop_last, lengths=lengths)


def lengths(count):
    return torch.randint(1, 40, (count,), generator=generator("lengths"))


def epoch(loader, number=0):
    loader.batch_sampler.sampler.set_epoch(number)
    return [targets.tolist() for _, targets in loader]


def evaluation(count, batch_size, shard=ALONE):
    return EvaluationBatches(numbered(count), batch_size, lambda inputs: inputs, shard)


def flat(batches):
    return [number for batch in batches for number in batch]


def test_an_epoch_holds_every_sample_once_and_ends_with_the_rest():
    batches = epoch(training(23, 4))
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 3]
    assert sorted(flat(batches)) == list(range(23))
    assert len(training(23, 4)) == 6


def test_inputs_and_targets_stay_together():
    for inputs, targets in training():
        assert torch.equal(inputs[:, 0], targets)


def test_the_order_depends_on_seed_and_epoch_alone():
    loader = training(seed=5)
    first, second = epoch(loader, 0), epoch(loader, 1)
    torch.rand(3)
    assert epoch(training(seed=5), 1) == second
    assert epoch(training(seed=5), 0) == first
    assert first != second
    assert epoch(training(seed=6), 0) != first
    assert flat(first) != list(range(23))


def test_drop_last_leaves_out_the_short_batch_only():
    assert [len(batch) for batch in epoch(training(23, 4, drop_last=True))] == [4] * 5
    assert [len(batch) for batch in epoch(training(24, 4, drop_last=True))] == [4] * 6
    assert len(training(3, 4, drop_last=True)) == 0


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_share_the_batches_of_one_process(world_size, drop_last):
    whole = epoch(training(50, 3 * world_size, drop_last=drop_last), 2)
    ranks = [epoch(training(50, 3, shard=Shard(r, world_size), drop_last=drop_last), 2) for r in range(world_size)]
    assert len({tuple(map(len, batches)) for batches in ranks}) == 1, "ranks must have equal batches"
    shared = [flat(parts) for parts in zip(*ranks, strict=True)]
    for ours, one in zip(shared, whole, strict=False):
        assert ours == one[: len(ours)]
        assert len(one) - len(ours) < world_size
    assert sum(map(len, whole)) - sum(map(len, shared)) < world_size
    assert len(ranks[0]) == len(training(50, 3, shard=Shard(0, world_size), drop_last=drop_last))


def test_a_rest_smaller_than_the_ranks_is_no_batch():
    loaders = [training(9, 4, shard=Shard(rank, 2)) for rank in range(2)]
    assert [epoch(loader) and len(loader) for loader in loaders] == [1, 1]


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_share_the_bucketed_batches_of_one_process(world_size, drop_last):
    settings = {"count": 4001, "drop_last": drop_last, "lengths": lengths(4001)}
    whole = epoch(training(batch_size=4 * world_size, **settings), 2)
    ranks = [epoch(training(batch_size=4, shard=Shard(r, world_size), **settings), 2) for r in range(world_size)]
    shared = [flat(parts) for parts in zip(*ranks, strict=True)]
    full = 4001 // (4 * world_size)
    assert shared[:full] == whole[:full]
    assert [len(batch) for batch in whole[:full]] == [4 * world_size] * full


def test_bucketed_batches_are_of_about_one_length_and_depend_on_seed_and_epoch_alone():
    settings = {"count": 4001, "lengths": lengths(4001)}
    loader = training(seed=5, **settings)
    first, second = epoch(loader, 0), epoch(loader, 1)
    assert sorted(flat(first)) == list(range(4001))
    spreads = [settings["lengths"][batch].max() - settings["lengths"][batch].min() for batch in first[:-1]]
    assert max(spreads) <= 4
    torch.rand(3)
    assert epoch(training(seed=5, **settings), 1) == second != first
    assert epoch(training(seed=6, **settings), 0) != first


def test_the_epoch_may_be_set_after_iter():
    loader = training()
    iterator = iter(loader)
    loader.batch_sampler.sampler.set_epoch(3)
    assert [targets.tolist() for _, targets in iterator] == epoch(training(), 3)


def test_transform_is_told_epoch_step_and_shard():
    seen = []
    loader = training(8, 2, shard=Shard(1, 2), transform=lambda inputs, *rest: seen.append(rest) or inputs)
    epoch(loader, 4)
    assert seen == [(4, 0, Shard(1, 2)), (4, 1, Shard(1, 2))]


def test_an_epoch_goes_on_where_the_state_was_taken():
    loader = training()
    loader.batch_sampler.sampler.set_epoch(1)
    iterator = iter(loader)
    handed_out = [next(iterator)[1].tolist() for _ in range(2)]
    resumed = training()
    resumed.load_state_dict(loader.state_dict())
    assert handed_out + epoch(resumed, 1) == epoch(training(), 1)
    assert epoch(resumed, 2) == epoch(training(), 2), "the next epoch must be a whole one"


def test_a_state_from_the_end_of_an_epoch_starts_a_whole_one():
    loader = training()
    epoch(loader, 1)
    for number in (1, 2):
        resumed = training()
        resumed.load_state_dict(loader.state_dict())
        assert epoch(resumed, number) == epoch(training(), number)


def test_the_state_is_the_same_on_every_rank():
    states = []
    for rank in range(2):
        loader = training(shard=Shard(rank, 2))
        next(iter(loader))
        states.append(loader.state_dict())
    assert states == [{"epoch": 0, "handed_out": 1}] * 2


@pytest.mark.parametrize("count", [4, 7, 10, 11, 100])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_evaluation_sees_every_sample_once_in_order(count, batch_size, world_size):
    loaders = [evaluation(count, batch_size, Shard(rank, world_size)) for rank in range(world_size)]
    batches = [[targets.tolist() for _, targets in loader] for loader in loaders]
    assert flat(flat(batches)) == list(range(count))
    assert [len(rank) for rank in batches] == [len(loader) for loader in loaders]
    assert len({len(rank) for rank in batches}) == 1
    sizes = [len(batch) for rank in batches for batch in rank]
    assert min(sizes) >= 1, "the mean of an empty batch is NaN"
    assert max(sizes) <= max(batch_size, 2), "two where one rank has one sample more than there are batches"


def test_evaluation_batches_are_as_large_as_asked_for_but_for_the_last():
    assert [len(targets) for _, targets in evaluation(10, 4)] == [4, 4, 2]


def blocks(steps, **settings):
    loader = training(**settings)
    loader.steps_per_execution = steps
    return loader


def test_blocks_hold_the_batches_that_single_ones_are_and_the_last_holds_the_rest():
    loader = blocks(4, count=23, batch_size=4)
    found = list(loader)
    assert [len(block) for block in found] == [4, 2]
    assert len(loader) == 2
    assert [targets.tolist() for block in found for _, targets in block] == epoch(training(23, 4))
    assert [loader.batches_in(executions) for executions in (0, 1, 2, 3)] == [0, 4, 6, 6]


def test_a_block_makes_each_batch_when_its_turn_comes():
    made = []
    (block,) = blocks(6, transform=lambda inputs, _, step, __: made.append(step) or inputs)
    batches = iter(block)
    next(batches)
    next(batches)
    assert made == [0, 1]


def test_a_block_moves_its_batches_where_lightning_wants_them():
    (block,) = blocks(6)
    for inputs, targets in block.to(torch.device("meta")):
        assert inputs.device.type == targets.device.type == "meta"


def test_blocks_go_on_where_the_state_was_taken():
    loader = blocks(2)
    batches = iter(loader)
    next(batches)
    assert loader.state_dict() == {"epoch": 0, "handed_out": 2}
    resumed = blocks(3)
    resumed.load_state_dict(loader.state_dict())
    assert [targets.tolist() for block in resumed for _, targets in block] == epoch(training())[2:]


def test_random_generators_of_different_entropy_differ():
    entropies = [(), (0,), (5,), (5, 0), (5, 0, 0), (5, 1), (5, 1, 0), (0, 5), (2**32 + 5,), (5, 2**32)]
    draws = {float(torch.rand((), generator=generator("a", *entropy), dtype=torch.float64)) for entropy in entropies}
    assert len(draws) == len(entropies)
    again, other = generator("a", 5, 1), generator("b", 5, 1)
    drawn = torch.rand((), generator=generator("a", 5, 1))
    assert drawn == torch.rand((), generator=again)
    assert drawn != torch.rand((), generator=other)


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize(("samples", "batch_size", "processes"), [(13, 4, 1), (13, 6, 2), (13, 3, 2), (12, 4, 1)])
def test_the_smallest_batch_is_that_of_an_epoch_over_all_processes(samples, batch_size, processes, drop_last, limit):
    shards = [Shard(rank, processes) for rank in range(processes)]
    loaders = [training(samples, batch_size, shard=shard, drop_last=drop_last) for shard in shards]
    together = [sum(map(len, batches)) for batches in zip(*map(epoch, loaders), strict=True)]
    found = loaders[0].smallest(limit)
    assert found - found % processes == min(together[:limit])


def balanced(counts, batch_size=50, seed=0, shard=ALONE, **settings):
    targets = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    samples = Samples(torch.arange(len(targets))[:, None], targets)
    transform = lambda inputs, *_: inputs
    return TrainingBatches(samples, batch_size, seed, transform, shard, balanced=True, **settings)


def drawn(loader, number=0):
    loader.batch_sampler.sampler.set_epoch(number)
    return [inputs[:, 0].tolist() for inputs, _ in loader]


def test_balanced_sampling_draws_every_class_and_every_sample_of_a_class_equally_often():
    counts = [4000, 90, 0, 10]  # nobody is of class 2
    draws = torch.tensor([index for epoch in range(10) for index in flat(drawn(balanced(counts), epoch))])
    assert len(draws) == 10 * 4100
    times = draws.bincount(minlength=4100)
    classes = [int(part.sum()) for part in times.split(counts)]
    # Counts of a binomial distribution lie within 5 deviations but for one in 1.7 million.
    assert classes == pytest.approx([41000 / 3] * 2 + [0, 41000 / 3], abs=5 * (41000 * 2 / 9) ** 0.5)
    assert times[4090:].tolist() == pytest.approx([41000 / 30] * 10, abs=5 * (41000 / 30) ** 0.5)
    assert times[:4000].max() <= 20  # 3.4 on average


def test_balanced_sampling_depends_on_seed_and_epoch_alone_and_is_shared_by_ranks():
    first, second = drawn(balanced([30, 9]), 0), drawn(balanced([30, 9]), 1)
    torch.rand(3)
    assert drawn(balanced([30, 9]), 0) == first != second
    assert drawn(balanced([30, 9], seed=1), 0) != first
    whole = drawn(balanced([30, 9], 6), 4)
    ranks = [drawn(balanced([30, 9], 3, shard=Shard(rank, 2)), 4) for rank in range(2)]
    assert [a + b for a, b in zip(*ranks, strict=True)][:-1] == whole[:-1]


def test_balanced_samples_are_bucketed_like_shuffled_ones():
    sizes = lengths(4001)
    batches = drawn(balanced([4000, 1], 8, lengths=sizes))
    spreads = [sizes[batch].max() - sizes[batch].min() for batch in batches[:-1]]
    assert max(spreads) <= 39
    assert sum(map(float, spreads)) / len(spreads) < 4
