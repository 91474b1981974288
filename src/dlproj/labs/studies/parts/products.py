"""Products of matrices and their time, on every device there is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from timeit import repeat, timeit
from typing import Any

import torch
from torch import Tensor

from dlproj.clock import CPU, Clock, memory_bytes_per_s, processor_clock
from dlproj.labs.studies.parts.timing import Timings

_REPORTED = {1024: 35.40e-3, 1025: 36.42e-3, 1026: 34.62e-3, 1028: 36.99e-3, 1032: 33.55e-3}  # seconds, on a CPU
_TYPES = (torch.float32, torch.bfloat16)
_LEAST_SECONDS = 5e-3  # of a timing: as many products in a row as it takes
PEAK_SIZES = (2048, 8192)  # N that keeps a core busy, and an accelerator
_PEAK_TIMINGS = 3
Product = Callable[[Tensor, Tensor, Tensor], Tensor]  # of two matrices, into a third
LAYOUTS: Mapping[str, Product] = {
    "NN": lambda a, b, out: torch.mm(a, b, out=out),
    "NT": lambda a, b, out: torch.mm(a, b.T, out=out),
    "TN": lambda a, b, out: torch.mm(a.T, b, out=out),
}


@dataclass(slots=True)
class Case:
    """Products of one kind, and their timings so far."""

    device: torch.device
    dtype: torch.dtype
    layout: str
    matrices: tuple[Tensor, Tensor, Tensor]
    calls: int = 1  # in a row, a timing
    run: Callable[[], Any] = lambda: None  # so many calls
    seconds: list[float] = field(default_factory=list)  # of a product, turn by turn

    def prepare(self) -> float:
        """Choose how many products to time together, and return the seconds of a timing."""
        work = partial(LAYOUTS[self.layout], *self.matrices)
        self.calls, seconds = enough_calls(work, processor_clock(self.device))
        self.run = in_a_row(work, self.calls, self.device)
        return seconds

    def time(self) -> None:
        """Note the seconds of a product."""
        self.seconds.append(timeit(self.run, timer=processor_clock(self.device), number=1) / self.calls)

    def kind(self) -> tuple[str, str, str]:
        """Device, type and layout, by their names."""
        return str(self.device), str(self.dtype).removeprefix("torch."), self.layout

    def size(self) -> int:
        """The side N of the square matrices."""
        return len(self.matrices[0])

    def row(self) -> dict[str, Any]:
        """What was measured of the case, by the names of the CSV file."""
        device, dtype, layout = self.kind()
        timings = Timings(self.seconds)
        reported = _REPORTED.get(self.size()) if self.kind() == ("cpu", "float32", "NN") else None
        return {
            "device": device,
            "type": dtype,
            "layout": layout,
            "size": self.size(),
            "repetitions": len(self.seconds),
            **timings.row(),
            "gflops": flops(self.size()) / timings.median() / 1e9,
            "reported_seconds": reported,
        }


def enough_calls(work: Callable[[], Any], clock: Clock) -> tuple[int, float]:
    """How many in a row fill a timing, and its seconds; after a first one, in which torch prepares the others."""
    work()
    calls = 1
    while (seconds := timeit(work, timer=clock, number=calls)) < _LEAST_SECONDS:
        calls *= 2
    return calls, seconds


def in_a_row(work: Callable[[], Any], calls: int, device: torch.device) -> Callable[[], Any]:
    """So many calls; on CUDA recorded as one graph, for to launch a small product takes longer than to compute it."""

    def run() -> None:
        for _ in range(calls):
            work()

    return captured(run, work, device) if device.type == "cuda" else run


def captured(run: Callable[[], Any], work: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """Replays what run() launches; work, a part of it, is first done once on the stream that is recorded from.

    There cuBLAS makes what it keeps for a stream, which must not happen while it is recorded.
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        work()
    torch.cuda.synchronize(device)
    with torch.cuda.graph(graph, stream=stream):
        run()
    graph.replay()  # the first time takes longer
    return graph.replay


def flops(size: int) -> int:
    """Floating-point operations of a product."""
    return 2 * size**3


def devices() -> list[torch.device]:
    """The CPU, and each accelerator."""
    kind = torch.accelerator.current_accelerator(check_available=True)
    others = [] if kind is None else [torch.device(kind.type, n) for n in range(torch.accelerator.device_count())]
    return [CPU, *others]


def cases_of(sizes: Sequence[int], generator: torch.Generator) -> list[Case]:
    """Of every device, type, size and layout, with random matrices."""
    drawn = {size: [torch.randn(size, size, generator=generator) for _ in range(3)] for size in sizes}
    cases = []
    for device, dtype, size in product(devices(), _TYPES, sizes):
        a, b, out = (matrix.to(device, dtype) for matrix in drawn[size])
        cases += [Case(device, dtype, layout, (a, b, out)) for layout in LAYOUTS]
    return cases


def peak_flops_per_s(device: torch.device, dtype: torch.dtype, size: int, clock: Clock) -> float:
    """Of the fastest of a few products."""
    a, b, out = (torch.rand(size, size, dtype=dtype, device=device) for _ in range(3))
    work = partial(LAYOUTS["NN"], a, b, out)
    calls, _ = enough_calls(work, clock)
    return flops(size) * calls / min(repeat(work, timer=clock, repeat=_PEAK_TIMINGS, number=calls))


def rates_of(device: torch.device, smallest: int) -> list[dict[str, Any]]:
    """What a device can do at best in each type, and what a product of the smallest N waits for."""
    clock, peak_size = processor_clock(device), PEAK_SIZES[device.type != "cpu"]
    memory = memory_bytes_per_s(device, clock)
    peaks = {dtype: peak_flops_per_s(device, dtype, peak_size, clock) for dtype in _TYPES}
    return [
        {
            "device": str(device),
            "type": str(dtype).removeprefix("torch."),
            "memory_gigabytes_a_second": memory / 1e9,
            "peak_size": peak_size,
            "peak_gflops": peak / 1e9,
            "product_size": smallest,
            **balance(peak / memory, 2 * smallest / (3 * dtype.itemsize)),
        }
        for dtype, peak in peaks.items()
    ]


def balance(machine: float, product: float) -> dict[str, Any]:
    """Operations a byte that the machine can do, that a product needs, and so what the product waits for."""
    waits_for = "arithmetic" if product > machine else "memory"
    return {"balance_flop_a_byte": machine, "product_flop_a_byte": product, "waits_for": waits_for}
