"""What a training step of an MLP costs each process, by strategy: arithmetic, bytes sent, bytes kept.

Collectives are counted as rings run them (Thakur et al. 2005): of S bytes, each of n processes sends 2 (n - 1)/n S in
an all-reduce, (n - 1)/n S in an all-gather or a reduce-scatter. Only products of matrices count as arithmetic.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dlproj.config.checks import require
from dlproj.distributed.layer_split import spread

NUMBER = 4  # bytes of a float32
_FIRST_BUCKET, _BUCKET = 2**20, 25 * 2**20  # bytes that DDP waits for before it starts an all-reduce


@dataclass(frozen=True, slots=True)
class Job:
    """A step to be shared: of an MLP of these widths, inputs and outputs among them, on so many samples."""

    widths: tuple[int, ...]
    batch: int
    states: int = 2  # numbers that the optimizer keeps for each weight: Adam 2, momentum 1, SGD 0

    def layers(self) -> list[int]:
        """Parameters of each layer."""
        return [(inputs + 1) * outputs for inputs, outputs in pairwise(self.widths)]

    def parameters(self) -> int:
        """Parameters of all layers."""
        return sum(self.layers())

    def flops(self) -> list[int]:
        """Of each layer: forward, for the weights, and but for the first layer for its inputs, 2 B m n each."""
        products = [2 * self.batch * inputs * outputs for inputs, outputs in pairwise(self.widths)]
        return [product * (3 if layer else 2) for layer, product in enumerate(products)]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a step is shared: ways = data_parallel · tensor_parallel · stages processes."""

    strategy: str
    data_parallel: int = 1
    tensor_parallel: int = 1
    stages: int = 1
    micro_batches: int = 1

    def ways(self) -> int:
        """Processes; of layer_split devices."""
        return self.data_parallel * self.tensor_parallel * self.stages


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one step, for the busiest process; sent_bytes are the mean."""

    flops: float
    sent_bytes: float = 0
    inside_bytes: float = 0  # of these, what goes to the processes that split a layer, beside others that shard it
    messages: float = 0  # one after another
    kept_bytes: float = 0  # weights, gradients, the optimizer's numbers, activations
    updated_bytes: float = 0  # that the optimizer reads and writes
    busy: float = 1  # the part of its time that the process computes, where it has to wait for others


@dataclass(frozen=True, slots=True)
class Rates:
    """What a process can do beside as many others as there are."""

    flops_per_s: float
    memory_bytes_per_s: float
    link_bytes_per_s: float  # that a process sends
    inside_bytes_per_s: float  # to the processes that split a layer, beside others that shard it
    message_s: float  # before the first byte arrives


def seconds(cost: Cost, rates: Rates) -> float:
    """The time of a step in which nothing overlaps."""
    computing = cost.flops / rates.flops_per_s / cost.busy
    updating = cost.updated_bytes / rates.memory_bytes_per_s
    sending = (cost.sent_bytes - cost.inside_bytes) / rates.link_bytes_per_s
    sending += cost.inside_bytes / rates.inside_bytes_per_s + cost.messages * rates.message_s
    return computing + updating + sending


def cost(job: Job, layout: Layout, scatter_by_reduce: bool = False) -> Cost:
    """The cost of a step. Raises ConfigurationError where the layout cannot share it.

    scatter_by_reduce: reduce-scatter sends as much as an all-reduce, as gloo's does.
    """
    share = layout.data_parallel
    message = f"a batch of {job.batch} samples does not divide by {share} processes: set data.batch_size to a multiple"
    require(job.batch % share == 0, message)
    mine = replace(job, batch=job.batch // share)
    return _STRATEGIES[layout.strategy](mine, layout, 2 if scatter_by_reduce else 1)


def _single(job: Job, layout: Layout, scatter: int) -> Cost:
    return _alone(job, job.parameters(), sum(job.flops()))


def _alone(job: Job, parameters: float, flops: float, activations: float | None = None) -> Cost:
    """Without what is sent: `parameters` are kept with a gradient and the optimizer's numbers.

    activations: numbers a sample that the backward pass reads; None: what each layer reads, and the outputs.
    """
    read = sum(job.widths) if activations is None else activations
    kept = NUMBER * ((2 + job.states) * parameters + job.batch * read)
    # It reads weight, gradient and its own numbers, and writes weight and numbers.
    return Cost(flops, kept_bytes=kept, updated_bytes=NUMBER * (3 + 2 * job.states) * parameters)


def _ddp(job: Job, layout: Layout, scatter: int) -> Cost:
    n, size, alone = layout.data_parallel, NUMBER * job.parameters(), _single(job, layout, scatter)
    kept = alone.kept_bytes + size  # the buckets are a second copy of the gradients
    return replace(alone, kept_bytes=kept, sent_bytes=2 * _others(n) * size, messages=buckets(job) * 2 * (n - 1))


def buckets(job: Job) -> int:
    """All-reduces of DDP: gradients as they come, last layer first, until there is enough for a message."""
    gradients = [size for inputs, outputs in pairwise(job.widths) for size in (inputs * outputs, outputs)]
    count, held, enough = 0, 0, _FIRST_BUCKET
    for size in reversed(gradients):
        held += NUMBER * size
        if held >= enough:
            count, held, enough = count + 1, 0, _BUCKET
    return count + (held > 0)


def _fsdp(job: Job, layout: Layout, scatter: int) -> Cost:
    return _sharded(job, layout, scatter, _alone(job, job.parameters() / layout.data_parallel, sum(job.flops())), 1)


def _sharded(job: Job, layout: Layout, scatter: int, alone: Cost, split: int) -> Cost:
    """Each layer is gathered for the forward and for the backward pass, and its gradients are scattered.

    What is sharded is 1/split of each layer.
    """
    n, layers = layout.data_parallel, job.layers()
    sent = (2 + scatter) * _others(n) * NUMBER * sum(layers) / split
    gathered = 4 * NUMBER * max(layers) / split  # a layer's weights and gradients, and the buffers of their messages
    messages = alone.messages + (2 + scatter) * len(layers) * (n - 1)
    return replace(alone, sent_bytes=alone.sent_bytes + sent, kept_bytes=alone.kept_bytes + gathered, messages=messages)


def _tensor_parallel(job: Job, layout: Layout, scatter: int) -> Cost:
    """Columns and rows in turn: after each pair and, but for the first one, before it in the backward pass a reduction.

    A last layer without a pair is gathered.
    """
    n, maps = layout.tensor_parallel, list(pairwise(job.widths))
    odd = [units for units in job.widths[1:-1:2] if units % n]
    require(not odd, f"{next(iter(odd), 0)} units do not divide by {n} processes: set model.hidden to multiples")
    alone_at_end = len(maps) % 2 == 1
    reduced = sum(outputs for _, outputs in maps[1::2]) + sum(inputs for inputs, _ in maps[2::2])
    collectives = len(maps) // 2 + (len(maps) - 1) // 2
    gathered = job.widths[-1] if alone_at_end else 0
    sent = NUMBER * job.batch * _others(n) * (2 * reduced + gathered)
    last = len(maps)
    activations = sum(units if i % 2 == 0 or i == last else units / n for i, units in enumerate(job.widths))
    alone = _alone(job, job.parameters() / n, sum(job.flops()) / n, activations)
    return replace(alone, sent_bytes=sent, messages=(n - 1) * (2 * collectives + alone_at_end))


def _both(job: Job, layout: Layout, scatter: int) -> Cost:
    split = _tensor_parallel(job, layout, scatter)
    kept = (2 + job.states) * NUMBER * job.parameters() / layout.tensor_parallel
    alone = replace(
        split,
        kept_bytes=split.kept_bytes - kept * _others(layout.data_parallel),
        updated_bytes=split.updated_bytes / layout.data_parallel,
        inside_bytes=split.sent_bytes,
    )
    return _sharded(job, layout, scatter, alone, layout.tensor_parallel)


def _pipeline(job: Job, layout: Layout, scatter: int) -> Cost:
    """Activations go on and their gradients come back; the last stage tells all of its outputs and the loss.

    While the pipeline fills and empties, stages - 1 micro-batches' time is lost (Huang et al. 2019). By 1F1B a stage
    keeps the activations of at most as many micro-batches as there are stages.
    """
    n, parts, stages = layout.stages, layout.micro_batches, _stages(job, layout.stages)
    told = NUMBER * (job.batch * job.widths[-1] + 1) * (n - 1)
    sent = (2 * NUMBER * job.batch * stages.handed_on + told) / n
    rounds = parts + n - 1
    alone = _alone(job, stages.parameters, stages.flops, stages.activations * min(1, n / parts))
    return replace(alone, sent_bytes=sent, messages=2 * rounds + n - 1, busy=parts / rounds)


def _layer_split(job: Job, layout: Layout, scatter: int) -> Cost:
    """One process, whose devices compute one after another; kept_bytes are those of the fullest."""
    stages = _stages(job, layout.stages)
    alone = _alone(job, stages.parameters, sum(job.flops()), stages.activations)
    updated = _single(job, layout, scatter).updated_bytes
    sent = 2 * NUMBER * job.batch * stages.handed_on
    return replace(alone, sent_bytes=sent, messages=2 * (layout.stages - 1), updated_bytes=updated)


@dataclass(frozen=True, slots=True)
class _Stages:
    handed_on: int  # numbers a sample that go from stage to stage
    flops: int  # the most of a stage, as the rest
    parameters: int
    activations: int  # numbers a sample


def _stages(job: Job, count: int) -> _Stages:
    layers = job.layers()
    message = f"{len(layers)} layers are too few for {count} stages: set model.hidden to more"
    require(len(layers) >= count, message)
    owners = spread(range(count), len(layers))
    handed_on = sum(job.widths[i] for i in range(1, len(layers)) if owners[i] != owners[i - 1])
    # What each layer reads; the last one's outputs are kept, too.
    read = [*job.widths[:-2], job.widths[-2] + job.widths[-1]]
    return _Stages(handed_on, *(_largest(values, owners) for values in (job.flops(), layers, read)))


def _largest(values: Sequence[int], owners: Sequence[int]) -> int:
    return max(sum(value for value, of in zip(values, owners, strict=True) if of == owner) for owner in set(owners))


def _others(n: int) -> float:
    return (n - 1) / n


_STRATEGIES: dict[str, Callable[[Job, Layout, int], Cost]] = {
    "single": _single,
    "ddp": _ddp,
    "fsdp": _fsdp,
    "tensor_parallel": _tensor_parallel,
    "fsdp_tensor_parallel": _both,
    "pipeline": _pipeline,
    "layer_split": _layer_split,
}
STRATEGIES = tuple(_STRATEGIES)
