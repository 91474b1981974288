"""What one epoch adds up to: sums in tensors for training, torchmetrics for evaluation."""

import math
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassF1Score
from torchmetrics.utilities.distributed import gather_all_tensors

from dlproj.models.losses import scores

_TOGETHER = 20  # batches: a sum a batch would take a thirtieth of a small network's step


class TrainingSums:
    """Loss and hits of the epoch so far, while the weights move and dropout is on, as Keras reports them.

    Kept in tensors on the device, so that a step never waits for it; in float64, so that thousands of small batches add
    up to the digit; and added up many batches at a time.
    """

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)  # data loss, penalty, hits, samples
        self._steps = torch.tensor(
            [0, math.inf], dtype=torch.float64, device=device
        )  # so far, before the first bad one
        self._on_host = torch.zeros(4, dtype=torch.float64, pin_memory=device.type == "cuda")
        self._pending: list[tuple[Tensor, Tensor, Tensor, Tensor | None]] = []

    def reset(self) -> None:
        """Start an epoch."""
        self.forget()
        self._sums.zero_()
        self._steps[0], self._steps[1] = 0, math.inf

    def state(self) -> list[Tensor]:
        """All there is, on the CPU."""
        self.flush()
        return [self._sums.cpu().clone(), self._steps.cpu().clone()]

    def resume(self, state: list[Tensor]) -> None:
        """Go on with what state() gave."""
        self.reset()
        self._sums.copy_(state[0])
        self._steps.copy_(state[1])

    def add(self, logits: Tensor, targets: Tensor, data_loss: Tensor, penalty: Tensor | None) -> None:
        """Add a batch: logits (B, outputs), targets (B,), its mean data loss and the penalty, if there is one."""
        if self._pending and len(self._pending[0][1]) != len(targets):
            self.flush()
        self._pending.append(
            (logits.detach(), targets, data_loss.detach(), None if penalty is None else penalty.detach())
        )
        if len(self._pending) == _TOGETHER:
            self.flush()

    @torch.no_grad()
    def flush(self) -> None:
        """Add up what is pending, batches of one size."""
        if not self._pending:
            return
        logits, targets, losses, penalties = zip(*self._pending, strict=True)
        size = len(targets[0])
        stacked = torch.stack(losses)
        self._sums[0].add_(stacked.double().sum(), alpha=size)
        if penalties[0] is not None:
            self._sums[1].add_(torch.stack(penalties).double().sum(), alpha=size)
        self._note_steps(stacked)
        self._sums[2].add_((scores(torch.cat(logits)).argmax(1) == torch.cat(targets)).sum())
        self._sums[3].add_(size * len(targets))
        self.forget()

    def _note_steps(self, losses: Tensor) -> None:
        numbers = self._steps[0] + torch.arange(len(losses), dtype=torch.float64, device=losses.device)
        first = torch.where(losses.isfinite(), math.inf, numbers).min()
        self._steps[1].copy_(torch.minimum(self._steps[1], first))
        self._steps[0].add_(len(losses))

    def first_not_finite(self) -> int | None:
        """The epoch's first step, from 1, whose data loss was NaN or infinite in some process; None: there is none."""
        self.flush()
        first = float(gathered(self._steps[1:]).min())
        return None if math.isinf(first) else int(first) + 1

    def forget(self) -> None:
        """Drop what is pending."""
        self._pending.clear()

    def totals(self) -> Tensor:
        """(data loss, penalty, hits, samples) summed over this process's batches, in float64 on the device."""
        self.flush()
        return self._sums.clone()

    def totals_without_waiting(self) -> Tensor:
        """The same on the host: on a GPU what the previous call asked for, since the host would wait for the newest."""
        self.flush()
        shown = self._on_host.clone()
        self._on_host.copy_(self._sums, non_blocking=True)
        return shown if self._sums.is_cuda else self._on_host


def training_means(totals: Tensor, penalized: bool) -> dict[str, float]:
    """The epoch's metrics by name, from totals that may be summed over processes."""
    data_loss, penalty, hits, samples = totals.tolist()
    samples = max(samples, 1)
    return _with_loss(data_loss / samples, penalty / samples, penalized) | {"accuracy": hits / samples}


def _with_loss(data_loss: float, penalty: float, penalized: bool) -> dict[str, float]:
    if penalized:
        return {"loss": data_loss + penalty, "data_loss": data_loss, "penalty": penalty}
    return {"loss": data_loss}


class Evaluation:
    """Loss and classification metrics over one pass through a split, exact over any number of processes."""

    def __init__(self, classes: int, device: torch.device, group: Any = None) -> None:
        """group: the processes whose samples are counted; None: all."""
        fresh = {"compute_with_cache": False, "process_group": group}  # merge() may follow a first look
        # A batch's NaN stays one: by default it is left out of the mean, and nan_strategy="disable" ignores weights.
        self._loss = MeanMetric(nan_strategy=float("nan"), **fresh).to(device)
        options: dict[str, Any] = {"num_classes": classes, "validate_args": False} | fresh
        self._metrics = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(average="micro", **options),
                "top2_accuracy": MulticlassAccuracy(average="micro", top_k=2, **options),
                "macro_f1": MulticlassF1Score(average="macro", **options),
            },
            compute_groups=False,  # those whose sums are alike after a first batch would be taken for one metric
        ).to(device)
        self._confusion = MulticlassConfusionMatrix(**options).to(device)

    def add(self, logits: Tensor, targets: Tensor, data_loss: Tensor) -> None:
        """Add a batch: logits (B, outputs), targets (B,) and its mean data loss."""
        self._loss.update(data_loss, len(targets))
        self._metrics.update(scores(logits), targets)
        self._confusion.update(scores(logits), targets)

    def merge(self, other: "Evaluation") -> None:
        """Add the pass of another process, as torchmetrics does between processes."""
        for mine, theirs in zip(self._all(), other._all(), strict=True):
            mine.merge_state(theirs)

    def _all(self) -> list[Metric]:
        return [self._loss, *self._metrics.values(), self._confusion]

    def means(self, penalty: float, penalized: bool) -> dict[str, float]:
        """The metrics by name, over all processes."""
        values = {name: float(value) for name, value in self._metrics.compute().items()}
        return _with_loss(float(self._loss.compute()), penalty, penalized) | values

    def confusion_matrix(self) -> list[list[int]]:
        """Counts: row = true class, column = predicted class."""
        return self._confusion.compute().tolist()


def gathered(values: Tensor, group: Any = None) -> Tensor:
    """Values (n, …) of every process of the group, one after another: (N, …), the same on all; n may differ."""
    if not torch.distributed.is_initialized():
        return values
    return torch.cat(gather_all_tensors(values, group))
