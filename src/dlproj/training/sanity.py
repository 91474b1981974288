"""Checks before a run: can the model learn one batch by heart (trainer=overfit), does everything run (fast_dev_run)?"""

import math
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from dlproj import formats
from dlproj.config.checks import UserError
from dlproj.config.root import Config
from dlproj.data.base import DataModule
from dlproj.data.batches import Batch, generator
from dlproj.models.classifier import Classifier
from dlproj.models.layers import BATCH_NORMS
from dlproj.models.losses import scores
from dlproj.training.building import build_from_seed
from dlproj.training.run import run
from dlproj.training.trainer import prepare_process

_LOCAL_LOGGERS = ("tensorboard", "csv")
ENOUGH = 0.01  # a cross-entropy of a hundredth: the true classes have a probability of 99 %
_IN_TRAINING_MODE = nn.RNNBase | BATCH_NORMS  # other modules' training mode is dropout


@dataclass(frozen=True, slots=True)
class Overfit:
    """How far a model has learned one batch by heart: its loss before and after `steps` steps, and its accuracy."""

    samples: int
    steps: int
    first_loss: float
    loss: float
    accuracy: float
    contradictions: int  # samples whose inputs equal another's with another class

    @property
    def learned(self) -> bool:
        """True if the loss came below ENOUGH."""
        return self.loss < ENOUGH

    def words(self) -> str:
        """The verdict in one sentence, and what to look at if the model did not learn."""
        reached = f"the loss of one batch of {self.samples} samples went from {self.first_loss:.4g} to {self.loss:.4g}"
        after = f"{reached} in {self.steps} steps (accuracy {formats.metric('train/accuracy', self.accuracy)})"
        return f"the model can learn: {after}" if self.learned else f"{after}, not below {ENOUGH}: {self._advice()}"

    def _advice(self) -> str:
        if not self.loss < 2 * self.first_loss:  # also NaN
            return "training diverges; set optim.learning_rate lower"
        if self.contradictions:
            return f"{self.contradictions} samples equal others of another class; look at the labels"
        if self.loss < 0.8 * self.first_loss:
            return "it learns, but slowly; set optim.learning_rate or trainer.max_steps higher"
        rates = "try optim.learning_rate ten times higher and lower"
        return f"the model does not learn; {rates}, another activation, and look at the data's scaling and labels"


def overfit(config: Config) -> str:
    """Train on the first batch of the first epoch and return the verdict. Raises UserError if the loss stays high.

    What keeps a loss above 0 is left out: dropout, penalties, weight decay, augmentation and the schedule. Computed on
    one device in float32; nothing is written.
    """
    prepare_process(config.trainer)
    data, model, _ = build_from_seed(config)
    data.prepare_data()
    data.setup()
    model.configure_model()  # freezes layers
    device = torch.device("cuda" if config.trainer.uses_gpu() else "cpu")
    inputs, targets = (part.to(device) for part in _first_batch(data))
    verdict = learn(model.to(device), (inputs, targets), config)
    if not verdict.learned:
        raise UserError(verdict.words())
    return verdict.words()


def _first_batch(data: DataModule) -> Batch:
    order = torch.randperm(len(data.train), generator=generator("order", data.seed, 0))
    samples = data.train[order[: data.config.batch_size]]
    return data.transform(samples.inputs), samples.targets


def learn(model: Classifier, batch: Batch, config: Config) -> Overfit:
    """Train the model on the batch, inputs (B, …) and targets (B,), until its loss is below ENOUGH."""
    inputs, targets = batch
    for module in model.train().modules():
        module.training &= isinstance(module, _IN_TRAINING_MODE)
    optimizer = replace(config.optim, weight_decay=0.0).build(model.execution.trained_parameters())
    losses: list[float] = []
    for _ in range(1 + (config.trainer.max_steps or 1000)):
        logits = model(inputs)
        loss = model.loss(logits, targets)
        losses.append(loss.item())
        if losses[-1] < ENOUGH or not math.isfinite(losses[-1]):
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    accuracy = float((scores(logits).argmax(1) == targets).float().mean())
    contradictions = _contradictions(inputs, targets)
    return Overfit(len(targets), len(losses) - 1, losses[0], losses[-1], accuracy, contradictions)


def _contradictions(inputs: Tensor, targets: Tensor) -> int:
    """Number of samples whose inputs equal another's with another class."""
    _, same = torch.unique(inputs.flatten(1), dim=0, return_inverse=True)
    pairs = torch.unique(torch.stack([same, targets], 1), dim=0)[:, 0]  # input and class, each combination once
    contradicted = torch.bincount(pairs, minlength=len(same)) > 1
    return int(contradicted[same].sum())


def fast_dev_run(config: Config) -> str:
    """Train one step, validate and test on a batch each and record the run in a folder that is removed; say so.

    Like Lightning's setting of this name, but with checkpoints, figures and the report. Loggers to a server are off.
    """
    config = copy(config)
    config.logger = {name: node for name, node in config.logger.items() if name in _LOCAL_LOGGERS}
    config.scheduler = replace(config.scheduler, warmup_epochs=0.0)  # it would take the only step
    limits: dict[str, Any] = {
        "max_steps": 1,
        "limit_val_batches": 1,
        "limit_test_batches": 1,
        "val_check_interval": None,
    }
    config.trainer = replace(config.trainer, fast_dev_run=False, **limits)
    with TemporaryDirectory(prefix="dlproj-") as folder:
        result = run(config, Path(folder) / "run")
    what = f"a training step of {result.parameters:,} parameters, a batch of validation and one of the test"
    return f"everything ran: {what}, checkpoints, figures and the report; nothing was kept"
