"""What a step costs: against torch's own count of operations, and worked by hand."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dlproj.config.checks import ConfigurationError
from dlproj.labs.scaling.cost import STRATEGIES, Job, Layout, Rates, buckets, cost, seconds
from dlproj.labs.scaling.paper import LARGE, carried

JOB = Job((6, 8, 4, 2), batch=12)
PARAMETERS = 6 * 8 + 8 + 8 * 4 + 4 + 4 * 2 + 2


def test_arithmetic_is_what_torch_counts_of_a_step():
    layers = [nn.Linear(inputs, outputs) for inputs, outputs in pairwise(JOB.widths)]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    with FlopCounterMode(display=False) as counted:
        model(torch.rand(JOB.batch, 6)).sum().backward()
    assert cost(JOB, Layout("single")).flops == counted.get_total_flops()
    assert JOB.parameters() == sum(one.numel() for one in model.parameters()) == PARAMETERS


def test_one_process_keeps_weights_gradients_and_what_adam_and_the_backward_pass_need():
    alone = cost(JOB, Layout("single"))
    assert alone.kept_bytes == 4 * (4 * PARAMETERS + 12 * (6 + 8 + 4 + 2))
    assert alone.updated_bytes == 4 * 7 * PARAMETERS  # reads weight, gradient and two moments, writes but the gradient
    assert (alone.sent_bytes, alone.messages, alone.busy) == (0, 0, 1)


@pytest.mark.parametrize(
    ("layout", "sent"),
    [
        (Layout("ddp", data_parallel=4), 2 * 3 / 4 * 4 * PARAMETERS),
        (Layout("fsdp", data_parallel=4), 3 * 3 / 4 * 4 * PARAMETERS),
        # One reduction of what the second layer gives, one gathering of the outputs, one reduction before the third.
        (Layout("tensor_parallel", tensor_parallel=2), 4 * 12 * (2 / 2 * (4 + 4) + 1 / 2 * 2)),
        # Two layers, then one: 4 numbers a sample there and back, the outputs and the loss told; by each on average.
        (Layout("pipeline", stages=2, micro_batches=4), (2 * 4 * 12 * 4 + 4 * (12 * 2 + 1)) / 2),
        (Layout("layer_split", stages=3), 2 * 4 * 12 * (8 + 4)),
    ],
)
def test_bytes_sent_by_hand(layout, sent):
    assert cost(JOB, layout).sent_bytes == sent


def test_columns_and_shards_together_send_what_each_sends_of_its_part():
    both = cost(JOB, Layout("fsdp_tensor_parallel", data_parallel=2, tensor_parallel=2))
    half = Job(JOB.widths, JOB.batch // 2)
    columns = cost(half, Layout("tensor_parallel", tensor_parallel=2)).sent_bytes
    assert both.sent_bytes == columns + cost(JOB, Layout("fsdp", data_parallel=2)).sent_bytes / 2
    assert both.flops == sum(JOB.flops()) / 4
    assert both.updated_bytes == 4 * 7 * PARAMETERS / 4


def test_a_reduce_scatter_of_gloo_is_an_all_reduce():
    sharded = Layout("fsdp", data_parallel=2)
    assert cost(JOB, sharded, scatter_by_reduce=True).sent_bytes == 4 / 3 * cost(JOB, sharded).sent_bytes


def test_a_pipeline_waits_while_it_fills_and_empties():
    assert cost(JOB, Layout("pipeline", stages=3, micro_batches=4)).busy == 4 / 6


def test_a_step_takes_the_sum_of_its_parts():
    rates = Rates(100.0, 10.0, link_bytes_per_s=5.0, inside_bytes_per_s=8.0, message_s=0.5)
    found = cost(JOB, Layout("ddp", data_parallel=2))
    expected = found.flops / 100 + found.updated_bytes / 10 + found.sent_bytes / 5 + 2 * 0.5
    assert seconds(found, rates) == pytest.approx(expected)
    both = cost(JOB, Layout("fsdp_tensor_parallel", data_parallel=2, tensor_parallel=2))
    expected = both.flops / 100 + both.updated_bytes / 10 + both.inside_bytes / 8 + both.messages * 0.5
    assert seconds(both, rates) == pytest.approx(expected + (both.sent_bytes - both.inside_bytes) / 5)
    assert both.inside_bytes == cost(Job(JOB.widths, 6), Layout("tensor_parallel", tensor_parallel=2)).sent_bytes


@pytest.mark.parametrize("widths", [JOB.widths, (784, 1024, 1024, 1024, 2), (4096, 4096, 4096, 4096), (784, 20000, 10)])
def test_ddp_sends_as_many_messages_as_torch_makes_buckets(widths):
    sizes = [size for inputs, outputs in pairwise(widths) for size in (inputs * outputs, outputs)]
    gradients = [torch.empty(size, device="meta") for size in reversed(sizes)]
    assigned, _ = torch.distributed._compute_bucket_assignment_by_size(gradients, [2**20, 25 * 2**20])
    assert buckets(Job(widths, 8)) == len(assigned)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Layout("ddp", data_parallel=5), "a batch of 12 samples does not divide by 5 processes"),
        (Layout("tensor_parallel", tensor_parallel=3), "8 units do not divide by 3 processes"),
        (Layout("pipeline", stages=4, micro_batches=4), "3 layers are too few for 4 stages"),
    ],
)
def test_what_cannot_be_shared_is_refused(layout, message):
    with pytest.raises(ConfigurationError, match=message):
        cost(JOB, layout)


def test_on_paper_every_strategy_stands_beside_one_gpu():
    found = carried(LARGE)
    assert {one.layout.strategy for one in found} == set(STRATEGIES)
    alone = found[0]
    assert (alone.layout, alone.efficiency()) == (Layout("single"), 1.0)
    assert alone.seconds() == pytest.approx(alone.cost.flops / 67e12 + alone.cost.updated_bytes / 3.35e12)
    impossible = [one for one in found if one.cost is None]
    assert [(one.layout.strategy, one.why_not) for one in impossible] == [
        ("pipeline", "8 layers are too few for 64 stages")
    ]
    assert all(0 < one.efficiency() <= 1 for one in found if one.cost)
