"""Training steps captured as a CUDA graph: launching a small network's kernels takes longer than running them."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.optim import SGD, Optimizer

from dlproj.data.batches import Batch

_log = logging.getLogger(__name__)


def cuda_graph(function: Callable[[], None]) -> Callable[[], None]:
    """Capture `function` as a CUDA graph and return its replay."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        function()
    return graph.replay


class CapturedSteps:
    """The steps of a block, captured once and replayed with other samples and learning rates.

    train(batches) takes an optimizer step per batch. The first block's steps must be taken without capture, which
    creates the optimizer's state; the second block's are captured. record(function) returns the function's replay.
    """

    def __init__(
        self,
        train: Callable[[Iterable[Batch]], None],
        optimizer: Optimizer,
        record: Callable[[Callable[[], None]], Callable[[], None]] = cuda_graph,
    ) -> None:
        self._train = train
        self._optimizer = optimizer
        self._record = record
        self._shapes: list[tuple[torch.Size, torch.Size]] = []
        self._replay: Callable[[], None] | None = None
        self._failed = False

    def ready(self, batches: Sequence[Batch]) -> bool:
        """True if replay() can take these batches: not the first block, and none of another shape."""
        shapes = [(inputs.shape, targets.shape) for inputs, targets in batches]
        if not self._shapes and len(set(shapes)) == 1:
            self._shapes = shapes
            return False
        if shapes != self._shapes or self._failed:
            return False
        if self._replay is None:
            self._capture(batches)
        return self._replay is not None

    def replay(self, batches: Sequence[Batch], learning_rates: Sequence[Sequence[float]]) -> None:
        """Take the steps, each with its learning rate of each parameter group. The host does not wait for the GPU."""
        for i, (inputs, targets) in enumerate(batches):
            self._inputs[i].copy_(inputs)
            self._targets[i].copy_(targets)
        self._rates.copy_(torch.tensor(learning_rates), non_blocking=True)
        assert self._replay is not None
        self._replay()

    def _capture(self, batches: Sequence[Batch]) -> None:
        self._inputs, self._targets = (torch.stack(parts) for parts in zip(*batches, strict=True))
        self._rates = torch.zeros(len(batches), len(self._optimizer.param_groups), device=self._targets.device)
        self._optimizer.zero_grad()  # the gradients must be allocated in the graph's own memory
        try:
            with _capturable(self._optimizer, self._rates.device):
                self._replay = self._record(lambda: self._train(self._static_batches()))
        except Exception as error:  # optimizers and networks of the user's own can raise any
            self._failed = True
            self._optimizer.zero_grad()
            _log.warning("no CUDA graph: %s", str(error).partition("\n")[0])

    def _static_batches(self) -> Iterator[Batch]:
        for rates, batch in zip(self._rates, zip(self._inputs, self._targets, strict=True), strict=True):
            for group, rate in zip(self._optimizer.param_groups, rates, strict=True):
                group["lr"] = rate  # a view of self._rates, read at each replay
            yield batch


@contextmanager
def _capturable(optimizer: Optimizer, device: torch.device) -> Iterator[None]:
    """Make the optimizer keep everything that a step reads on the device."""
    before = [dict(group) for group in optimizer.param_groups]
    for state in optimizer.state.values():
        tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
        state.update({name: value.to(device) for name, value in tensors.items()})  # "step", NAdam's "mu_product", …
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
        if isinstance(optimizer, SGD):
            group["fused"] = True  # the only implementation that reads the learning rate on the device
    try:
        yield
    finally:
        for group, old in zip(optimizer.param_groups, before, strict=True):
            group.update(old)


def why_not_capturable(optimizer: Optimizer) -> str | None:
    """Return why this optimizer's steps cannot be captured, or None if they can."""
    if not type(optimizer).__module__.startswith("torch.optim"):
        return f"{type(optimizer).__name__} is no optimizer of torch's own"
    if isinstance(optimizer, SGD) or "capturable" in optimizer.param_groups[0]:
        return None
    return f"{type(optimizer).__name__} reads its state on the host"
