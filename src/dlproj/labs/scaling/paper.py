"""The formulas carried on to more GPUs than are at hand."""

from dataclasses import dataclass

from dlproj.config.checks import ConfigurationError
from dlproj.labs.scaling.cases import layouts
from dlproj.labs.scaling.cost import Cost, Job, Layout, Rates, cost, seconds

# NVIDIA H100 SXM5, data sheet of 2023: 67 TFLOP/s in float32, 3.35 TB/s, NVLink 900 GB/s to both sides together;
# between machines of eight, 400 Gb/s a GPU (ConnectX-7). The time of a message is assumed.
_FLOPS_PER_S, _MEMORY_BYTES_PER_S, _MESSAGE_S = 67e12, 3.35e12, 10e-6
_NVLINK_BYTES_PER_S, _NETWORK_BYTES_PER_S = 450e9, 50e9
_A_MACHINE = 8
ASSUMED = (
    "H100 SXM5 by its data sheet: 67 TFLOP/s in float32, 3.35 TB/s of memory, 450 GB/s to the others of a machine of "
    "eight, 50 GB/s a GPU between machines; rings over whole machines use all eight of these links, 400 GB/s. 10 µs a "
    "message (assumed). All at their peak, and nothing overlaps: no promise of a time. Eight split a layer where "
    "others shard it; a pipeline has as many micro-batches as stages."
)
LARGE = Job((16384,) * 9, 16384)  # a model that is worth 64 GPUs: 2.1 billion parameters, in eight layers
GPUS = (1, 8, 64)


@dataclass(frozen=True, slots=True)
class Carried:
    """A strategy on as many GPUs as its layout has."""

    job: Job
    layout: Layout
    cost: Cost | None  # None: it cannot be
    why_not: str = ""

    def seconds(self) -> float | None:
        """The time of a step; None where the layout cannot share it."""
        return None if self.cost is None else seconds(self.cost, rates(self.layout))

    def efficiency(self) -> float | None:
        """The part of the GPUs' time that one GPU with all the work would have needed."""
        single = Layout("single")
        shared, alone = self.seconds(), seconds(cost(self.job, single), rates(single))
        return alone / shared / self.layout.ways() if shared else None


def rates(layout: Layout) -> Rates:
    """What each of the layout's GPUs can do."""
    if layout.ways() <= _A_MACHINE:
        link = _NVLINK_BYTES_PER_S
    elif layout.strategy in ("ddp", "fsdp", "tensor_parallel"):  # one ring over all
        link = min(_NVLINK_BYTES_PER_S, _A_MACHINE * _NETWORK_BYTES_PER_S)
    else:
        link = _NETWORK_BYTES_PER_S
    return Rates(_FLOPS_PER_S, _MEMORY_BYTES_PER_S, link, _NVLINK_BYTES_PER_S, _MESSAGE_S)


def carried(job: Job) -> list[Carried]:
    """Every strategy on 1, 8 and 64 GPUs; layers split over devices within one machine alone."""
    split = [Layout("layer_split", stages=_A_MACHINE)]
    shared = [layout for gpus in GPUS for layout in layouts(gpus, tensor_parallel=_A_MACHINE)]
    return [_carried(job, layout) for layout in sorted(shared + split, key=Layout.ways)]


def _carried(job: Job, layout: Layout) -> Carried:
    try:
        return Carried(job, layout, cost(job, layout))
    except ConfigurationError as error:
        return Carried(job, layout, None, str(error).partition(":")[0])
