"""The metrics of an epoch: sums in tensors for training, torchmetrics for evaluation."""

import math
from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric
from torchmetrics.utilities import dim_zero_cat
from torchmetrics.utilities.distributed import gather_all_tensors

from dlproj.config.checks import MOST_CLASSES_IN_ROWS, ConfigurationError
from dlproj.config.metrics import METRICS
from dlproj.config.targets import make
from dlproj.models.losses import scores

_TOGETHER = 20  # batches added up at a time: adding up each would take a thirtieth of a small network's step


class TrainingSums:
    """Loss and hits of the epoch so far, with changing weights and active dropout, as Keras reports them.

    The sums are tensors on the device, so that a step never waits for it, and in float64, so that thousands of small
    batches add up without visible error. Batches are added up many at a time.
    """

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)  # data loss, penalty, hits, samples
        self._steps = torch.tensor(
            [0, math.inf], dtype=torch.float64, device=device
        )  # steps so far; index of the first whose loss is not finite
        self._on_host = torch.zeros(4, dtype=torch.float64, pin_memory=device.type == "cuda")
        self._pending: list[tuple[Tensor, Tensor, Tensor, Tensor | None]] = []

    def reset(self) -> None:
        self.forget()
        self._sums.zero_()
        self._steps[0], self._steps[1] = 0, math.inf

    def state(self) -> list[Tensor]:
        """Return the sums so far as CPU tensors, for a checkpoint."""
        self.flush()
        return [self._sums.cpu().clone(), self._steps.cpu().clone()]

    def resume(self, state: list[Tensor]) -> None:
        """Restore the result of state()."""
        self.reset()
        self._sums.copy_(state[0])
        self._steps.copy_(state[1])

    def add(self, logits: Tensor, targets: Tensor, data_loss: Tensor, penalty: Tensor | None) -> None:
        """Add a batch: logits (B, outputs), targets (B,), its mean data loss and the penalty, if any.

        Of mixed samples, targets are shares of the classes (B, classes): a hit counts as the share of the guess.
        """
        if self._pending and len(self._pending[0][1]) != len(targets):
            self.flush()
        self._pending.append(
            (logits.detach(), targets, data_loss.detach(), None if penalty is None else penalty.detach())
        )
        if len(self._pending) == _TOGETHER:
            self.flush()

    @torch.no_grad()
    def flush(self) -> None:
        """Add up the pending batches, which are all of the same size."""
        if not self._pending:
            return
        logits, targets, losses, penalties = zip(*self._pending, strict=True)
        size = len(targets[0])
        stacked = torch.stack(losses)
        self._sums[0].add_(stacked.double().sum(), alpha=size)
        if penalties[0] is not None:
            self._sums[1].add_(torch.stack(penalties).double().sum(), alpha=size)
        self._note_steps(stacked)
        guesses, truths = scores(torch.cat(logits)).argmax(1), torch.cat(targets)
        hits = guesses == truths if truths.dim() == 1 else truths.gather(1, guesses[:, None]).double()
        self._sums[2].add_(hits.sum())
        self._sums[3].add_(size * len(targets))
        self.forget()

    def _note_steps(self, losses: Tensor) -> None:
        steps = self._steps[0] + torch.arange(len(losses), dtype=torch.float64, device=losses.device)
        first = torch.where(losses.isfinite(), math.inf, steps).min()
        self._steps[1].copy_(torch.minimum(self._steps[1], first))
        self._steps[0].add_(len(losses))

    def first_not_finite(self) -> int | None:
        """Return the epoch's first step (from 1) with a NaN or infinite data loss in any process, or None."""
        self.flush()
        first = float(gathered(self._steps[1:]).min())
        return None if math.isinf(first) else int(first) + 1

    def forget(self) -> None:
        """Drop the batches that have not been added up."""
        self._pending.clear()

    def totals(self) -> Tensor:
        """Return this process's sums (data loss, penalty, hits, samples), float64 on the device."""
        self.flush()
        return self._sums.clone()

    def totals_without_waiting(self) -> Tensor:
        """Return totals() on the host; on a GPU those of the previous call, so that the host need not wait."""
        self.flush()
        previous = self._on_host.clone()
        self._on_host.copy_(self._sums, non_blocking=True)
        return previous if self._sums.is_cuda else self._on_host


def training_means(totals: Tensor, penalized: bool) -> dict[str, float]:
    """Return the epoch's metrics by name, from TrainingSums.totals(), which may be summed over processes."""
    data_loss, penalty, hits, samples = totals.tolist()
    samples = max(samples, 1)
    return _with_loss(data_loss / samples, penalty / samples, penalized) | {"accuracy": hits / samples}


def _with_loss(data_loss: float, penalty: float, penalized: bool) -> dict[str, float]:
    if penalized:
        return {"loss": data_loss + penalty, "data_loss": data_loss, "penalty": penalty}
    return {"loss": data_loss}


class Guesses(Metric):
    """Each sample's true class · classes + predicted class, and the number of hits among the top two classes.

    One integer per sample takes less memory than the sample itself. A confusion matrix would take classes² counts; with
    deterministic algorithms torchmetrics takes batch size · classes² to count them.
    """

    full_state_update = False
    pairs: list[Tensor] | Tensor
    top2_hits: Tensor

    def __init__(self, classes: int, **options: Any) -> None:
        super().__init__(**options)
        self.classes = classes
        self.add_state("pairs", [], dist_reduce_fx="cat")
        self.add_state("top2_hits", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, scores: Tensor, targets: Tensor) -> None:
        """Add a batch: scores (B, classes) and targets (B,)."""
        assert isinstance(self.pairs, list)
        self.pairs.append(targets * self.classes + scores.argmax(1))
        self.top2_hits += (scores.topk(2).indices == targets[:, None]).sum()

    def compute(self) -> tuple[Tensor, Tensor]:
        """Return each sample's true and predicted class (2, N) and the number of top-two hits, on the CPU."""
        pairs = dim_zero_cat(self.pairs).cpu()
        return torch.stack([pairs // self.classes, pairs % self.classes]), self.top2_hits.cpu()


class Guessed(NamedTuple):
    """The counts of an evaluation, on the CPU, from which accuracy() and the other metrics below are computed."""

    truths: Tensor  # (N,), each sample's true class
    guesses: Tensor  # (N,), each sample's predicted class
    top2_hits: Tensor  # number of samples whose true class is among the two most likely
    classes: int


class Evaluation:
    """Loss and classification metrics of one pass through a split, exact for any number of processes."""

    def __init__(
        self, classes: int, device: torch.device, group: Any = None, further: Mapping[str, Metric] | None = None
    ) -> None:
        """Start empty. group: the processes whose samples count (None: all). further: metrics besides METRICS."""
        options = {"compute_with_cache": False, "process_group": group}  # merge() may follow compute()
        # A NaN stays NaN: the default leaves it out of the mean, and nan_strategy="disable" ignores weights.
        self._loss = MeanMetric(nan_strategy=float("nan"), **options).to(device)
        self._guesses = Guesses(classes, **options).to(device)
        self._further = {name: metric.clone().to(device) for name, metric in (further or {}).items()}
        for metric in self._further.values():
            metric.process_group, metric.compute_with_cache = group, False

    def add(self, logits: Tensor, targets: Tensor, data_loss: Tensor) -> None:
        """Add a batch: logits (B, outputs), targets (B,) and its mean data loss."""
        self._loss.update(data_loss, len(targets))
        values = scores(logits)
        self._guesses.update(values, targets)
        for metric in self._further.values():
            metric.update(values, targets)

    def merge(self, other: "Evaluation") -> None:
        """Add another process's samples, as torchmetrics does between processes."""
        self._loss.merge_state(other._loss)
        self._guesses.merge_state(other._guesses)
        for name, metric in self._further.items():
            metric.merge_state(other._further[name])

    def compute(self, penalty: float, penalized: bool) -> dict[str, float]:
        """Return the metrics by name, over all processes."""
        (truths, guesses), top2_hits = self._guesses.compute()
        guessed = Guessed(truths, guesses, top2_hits, self._guesses.classes)
        values = {name: resolve_name(one.factory)(guessed) for name, one in METRICS.items() if one.factory}
        values |= {name: metric.compute() for name, metric in self._further.items()}
        values = {name: float(value) for name, value in values.items()}
        return _with_loss(float(self._loss.compute()), penalty, penalized) | values

    def confusion_matrix(self) -> list[list[int]]:
        """Return the counts: rows are true classes, columns predicted classes.

        With more than MOST_CLASSES_IN_ROWS classes, only entries above 0, as [true class, predicted class, count] each.
        """
        (truths, guesses), _ = self._guesses.compute()
        classes = self._guesses.classes
        pairs = truths * classes + guesses
        if classes <= MOST_CLASSES_IN_ROWS:
            return pairs.bincount(minlength=classes**2).view(classes, classes).tolist()
        pairs, counts = pairs.unique(return_counts=True)
        return torch.stack([pairs // classes, pairs % classes, counts], dim=1).tolist()


def accuracy(of: Guessed) -> Tensor:
    """The share of samples that are classified correctly."""
    return (of.truths == of.guesses).sum() / len(of.truths)


def top2_accuracy(of: Guessed) -> Tensor:
    """The share of samples whose true class is among the two most likely."""
    return of.top2_hits / len(of.truths)


def macro_f1(of: Guessed) -> Tensor:
    """The mean F1 of all classes that occur as true or predicted class."""
    hits = of.truths[of.truths == of.guesses].bincount(minlength=of.classes)
    total = of.truths.bincount(minlength=of.classes) + of.guesses.bincount(minlength=of.classes)
    return (2 * hits / total.clamp(min=1) / (total > 0).sum()).sum()


def further_metrics(nodes: Mapping[str, Mapping[str, Any]], classes: int) -> dict[str, Metric]:
    """Build the torchmetrics in the settings `metrics` for `classes` classes, and try them on a sample of each.

    Raises ConfigurationError if a metric cannot be made, or gives no scalar for scores (N, classes) and targets (N,).
    """
    made = {}
    for name, node in nodes.items():
        key, target = f"metrics.{name}", node["_target_"]
        arguments = {key: value for key, value in node.items() if key != "direction"}
        made[name] = make(key, arguments, Metric, num_classes=classes)
        try:
            trial = made[name].clone()
            trial.update(torch.eye(classes), torch.arange(classes))
            float(trial.compute())
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ConfigurationError(f"{key}._target_={target} makes no number of class scores: {reason}") from error
    return made


def gathered(values: Tensor, group: Any = None) -> Tensor:
    """All-gather values (n, …) along dim 0 over the group, to (N, …); n may differ between processes."""
    if not torch.distributed.is_initialized():
        return values
    return torch.cat(gather_all_tensors(values, group))
