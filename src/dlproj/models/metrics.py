"""What one epoch adds up to: sums in tensors for training, torchmetrics for evaluation."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassF1Score

from dlproj.models.losses import scores


class TrainingSums:
    """Loss and hits of the epoch so far, while the weights move and dropout is on, as Keras reports them.

    Kept in tensors on the device, so that a step costs a few additions and never waits for the device; in float64, so
    that thousands of small batches add up to the digit.
    """

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)
        self._loss, self._penalty, self._hits, self._samples = self._sums  # views
        self._on_host = torch.zeros(4, dtype=torch.float64, pin_memory=device.type == "cuda")

    def reset(self) -> None:
        """Start an epoch."""
        self._sums.zero_()

    @torch.no_grad()
    def add(self, logits: Tensor, targets: Tensor, data_loss: Tensor, penalty: Tensor | None) -> None:
        """Add a batch: logits (B, outputs), targets (B,), its mean data loss and the penalty, if there is one."""
        size = len(targets)
        self._samples.add_(size)
        self._loss.add_(data_loss, alpha=size)
        if penalty is not None:
            self._penalty.add_(penalty, alpha=size)
        self._hits.add_((scores(logits).argmax(1) == targets).sum())

    def totals(self) -> Tensor:
        """(data loss, penalty, hits, samples) summed over this process's batches, in float64 on the device."""
        return self._sums.clone()

    def totals_without_waiting(self) -> Tensor:
        """The same on the host: on a GPU what the previous call asked for, since the host would wait for the newest."""
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

    def __init__(self, classes: int, device: torch.device) -> None:
        # A batch's NaN stays one: by default it is left out of the mean, and nan_strategy="disable" ignores weights.
        self._loss = MeanMetric(nan_strategy=float("nan")).to(device)
        options: dict[str, Any] = {"num_classes": classes, "validate_args": False}
        self._metrics = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(average="micro", **options),
                "top2_accuracy": MulticlassAccuracy(average="micro", top_k=2, **options),
                "macro_f1": MulticlassF1Score(average="macro", **options),
            }
        ).to(device)
        self._confusion = MulticlassConfusionMatrix(**options).to(device)

    def add(self, logits: Tensor, targets: Tensor, data_loss: Tensor) -> None:
        """Add a batch: logits (B, outputs), targets (B,) and its mean data loss."""
        self._loss.update(data_loss, len(targets))
        self._metrics.update(scores(logits), targets)
        self._confusion.update(scores(logits), targets)

    def means(self, penalty: float, penalized: bool) -> dict[str, float]:
        """The metrics by name, over all processes."""
        values = {name: float(value) for name, value in self._metrics.compute().items()}
        return _with_loss(float(self._loss.compute()), penalty, penalized) | values

    def confusion_matrix(self) -> list[list[int]]:
        """Counts: row = true class, column = predicted class."""
        return self._confusion.compute().tolist()
