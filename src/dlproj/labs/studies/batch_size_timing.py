"""What the batch size does to the time of a step and to what ten epochs learn."""

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, median
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from dlproj.clock import CPU, processor_clock
from dlproj.config.checks import require, whole_numbers
from dlproj.config.root import Config
from dlproj.data.base import DataModule
from dlproj.data.batches import Batch, EvaluationBatches
from dlproj.experiments import composing, points
from dlproj.labs.studies.parts.batch_size_results import (
    accuracy_table,
    conclusions,
    curves,
    fit_rows,
    fit_table,
    step_table,
    time_figure,
    total_table,
)
from dlproj.labs.studies.parts.networks import batches_of, stepper
from dlproj.labs.studies.parts.options import count, seed_option
from dlproj.labs.studies.parts.timing import ON_CLOCK, Timings, in_turns
from dlproj.loop_progress import progress
from dlproj.machine import machine
from dlproj.models.classifier import Classifier
from dlproj.models.losses import scores
from dlproj.reports.article import Article, Section

_EXPERIMENT = "mlp/batch_size"
_EPOCHS, _SAMPLES = 10, 8000  # of the document
_SEARCH = "PYTORCH_NVML_BASED_CUDA_CHECK"


def batch_size_timing(
    sizes: Annotated[str, typer.Option(help="samples a batch")] = "16,32,64,128,256,512,1024",
    epochs: Annotated[int, count("of training")] = _EPOCHS,
    samples: Annotated[int, count("to train on")] = _SAMPLES,
    seed: Annotated[int, seed_option("of the weights and the order of the samples")] = 0,
) -> Article:
    """Time of a whole training and of a step, and what is learnt, as the batch grows.

    The experiment mlp/batch_size: is the sum of 20 uniform numbers above 10? 8,000 samples train 64 units and a sigmoid
    on the binary cross-entropy by Adam at 0.001 for 10 epochs, 2,000 test them (mlp document). The document's time a
    batch is the whole training's, with its DataLoader and a validation after each epoch, by the number of batches; it
    concludes that the total falls and the time a batch rises with the batch size. A step alone does the same few dozen
    calls for any batch, and arithmetic for each sample: t(B) = a + b B. A loader adds its time a sample to b; a
    validation adds its time divided by the N / B batches of an epoch. A larger batch ends an epoch sooner, but moves
    the weights less often: at the same rate it may learn less in as many epochs
    (Goodfellow, Bengio & Courville 2016, 8.1.3).
    """
    chosen = sorted(set(whole_numbers("--sizes", sizes)))
    require(max(chosen) <= samples, f"--sizes={sizes} has a batch above --samples={samples:,}: set smaller ones")
    with composing():
        overrides = [f"seed={seed}", f"trainer.max_epochs={epochs}", f"data.train_samples={samples}"]
        (point,) = points(_EXPERIMENT, [*overrides, "hydra.sweeper.params=null"])
    ours, theirs = (
        [Training(with_batch(point.config, size), loaders) for size in chosen] for loaders in (in_memory, one_by_one)
    )
    train([*ours, *theirs])
    rows = [row_of(*pair) for pair in zip(ours, theirs, strict=True)]
    by_epoch = [row for training in ours for row in training.epochs()]
    fits = fit_rows(rows)
    return Article(
        "batch_size_timing",
        "Batch size: time and accuracy",
        f"{machine()}, one thread, {samples:,} samples, {epochs} epochs, seed {seed}",
        [
            Section(
                "The whole training", _ON_TOTAL + conclusions(rows), {"time": time_figure(rows)}, total_table(rows)
            ),
            Section("A step alone", _ON_STEP, table=step_table(rows)),
            Section("What is learnt", _ON_CURVES, {"curves": curves(by_epoch)}, accuracy_table(rows, by_epoch)),
            *([Section("What the time is made of", _ON_FIT, table=fit_table(fits))] if fits else []),
        ],
    )


_ON_TOTAL = (
    "Everything from the first batch to the last validation, in all and by the number of batches, in two ways: with "
    "torch's DataLoader for training and validation, which collects samples one by one, as the document does; and with "
    "dlproj's loaders, which index a batch in memory. The step is the same. Reported is another machine, beside as "
    f"many epochs and samples alone: {_EPOCHS} and {_SAMPLES:,}. {ON_CLOCK} A turn is an epoch. "
)
_ON_STEP = (
    "Of the same training with dlproj's loaders: take a batch from memory, forward, backward, step. Left out are "
    "validations, incomplete batches and the first one of each epoch, in which the samples are shuffled. The document "
    "does not report it."
)
_ON_CURVES = (
    "With dlproj's loaders, of one seed: the loss is the mean over an epoch's batches as they were trained on, the "
    "accuracy that of the test samples, by which the document validates; in the table, after the last epoch. Reported "
    f"is one run, too, beside as many epochs and samples alone: {_EPOCHS} and {_SAMPLES:,}. How far seeds are apart "
    "stands with the experiment, conf/experiment/mlp/batch_size.yaml."
)
_ON_FIT = "Least squares of relative errors, over the batch sizes: t(B) = a + b B."


@contextmanager
def _no_search_for_gpus() -> Iterator[None]:
    """Within it Adam looks for no GPU: once Lightning is imported it does so at each step, for a fifth of its time."""
    before = os.environ.get(_SEARCH)
    os.environ[_SEARCH] = "0"
    try:
        yield
    finally:
        os.environ.pop(_SEARCH)
        os.environ.update({_SEARCH: before} if before is not None else {})


@contextmanager
def _without_older_garbage() -> Iterator[None]:
    """Within it Python's garbage collector passes over what was there before.

    A loader that collects samples one by one sets it off, and to go through all that dlproj has imported takes as long
    as some epochs.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def with_batch(config: Config, size: int) -> Config:
    """The same experiment with batches of another size."""
    return replace(config, data=replace(config.data, batch_size=size))


@dataclass(frozen=True, slots=True)
class Loaders:
    """Batches of training, by the epoch from 0, and of validation."""

    train: Callable[[int], Iterable[Batch]]
    val: Iterable[Batch]


def in_memory(data: DataModule) -> Loaders:
    """The project's loaders, which take a batch by one index operation."""
    return Loaders(partial(batches_of, data), EvaluationBatches(data.val, data.config.eval_batch_size, data.transform))


def one_by_one(data: DataModule) -> Loaders:
    """torch's DataLoader, which collects a batch sample by sample, in training and in validation."""
    train, val = (TensorDataset(data.transform(part.inputs), part.targets) for part in (data.train, data.val))
    size, source = data.config.batch_size, torch.Generator().manual_seed(data.seed)
    shuffled: DataLoader[Any] = DataLoader(train, size, shuffle=True, generator=source)
    return Loaders(lambda _: shuffled, DataLoader(val, size))


class Training:
    """A network that learns with batches of one size, and what that takes."""

    def __init__(self, config: Config, loaders: Callable[[DataModule], Loaders] = in_memory) -> None:
        self.config = config
        self.data = config.data.build(config.seed)
        self.data.setup()
        self.loaders = loaders(self.data)
        self.model = build(config)
        self.step = stepper(self.model)
        self.steps = 0
        self.batch_seconds: list[float] = []  # of whole batches but each epoch's first, which draws the order of all
        self.epoch_seconds: list[float] = []  # without validation
        self.whole_seconds: list[float] = []  # an epoch, with its validation
        self.losses: list[float] = []  # an epoch, the mean over its samples
        self.accuracies: list[float] = []  # after each epoch

    def train_epoch(self) -> None:
        """The next one, and a validation."""
        clock, ends, losses = processor_clock(CPU), list[float](), list[Tensor]()
        sizes: list[int] = []
        began = clock()
        for inputs, targets in self.loaders.train(len(self.losses)):
            losses.append(self.step(inputs, targets))
            sizes.append(len(targets))
            ends.append(clock())
        self.accuracies.append(accuracy(self.model, self.loaders.val))
        self.whole_seconds.append(clock() - began)
        self.epoch_seconds.append(ends[-1] - began)
        seconds = [
            end - last
            for last, end, size in zip([began, *ends], ends, sizes, strict=False)
            if size == self.config.data.batch_size
        ]
        self.batch_seconds += seconds[1:] or seconds
        self.losses.append(float(np.average(torch.stack(losses).numpy(), weights=sizes)))
        self.steps += len(sizes)

    def epochs(self) -> Iterator[dict[str, float]]:
        """A row an epoch: what it was trained to."""
        for epoch, (loss, hits) in enumerate(zip(self.losses, self.accuracies, strict=True), 1):
            size = self.config.data.batch_size
            yield {"batch_size": size, "epoch": epoch, "training_loss": loss, "validation_accuracy": hits}

    def reported(self) -> dict[str, float | None]:
        """The document's figures of this size, if the training is as long as the document's."""
        same = (self.config.trainer.max_epochs, len(self.data.train)) == (_EPOCHS, _SAMPLES)
        figures = self.config.reference.figures(self.config.settings()) if same else {}
        milliseconds = figures.get("total_milliseconds_a_batch")
        return {
            "reported_total_seconds": figures.get("seconds"),
            "reported_total_seconds_a_batch": None if milliseconds is None else milliseconds / 1e3,
            "reported_accuracy": figures.get("test/accuracy"),
        }


def train(trainings: Sequence[Training]) -> None:
    """All of them, an epoch each in turn."""
    config = trainings[0].config
    turns = in_turns(trainings, [config.trainer.max_epochs] * len(trainings), config.seed)
    with _no_search_for_gpus(), _without_older_garbage():
        for training in progress(turns, "epochs"):
            training.train_epoch()


def row_of(ours: Training, theirs: Training) -> dict[str, Any]:
    """Times with the project's loaders and with torch's, accuracy and what the document reports."""
    size, timings = ours.config.data.batch_size, Timings(ours.batch_seconds)
    ways = {"torch": theirs, "dlproj": ours}
    totals = {f"{way}_total_seconds": sum(training.whole_seconds) for way, training in ways.items()}
    return {
        "batch_size": size,
        "steps": ours.steps,
        **totals,
        **{f"{name}_a_batch": seconds / ours.steps for name, seconds in totals.items()},
        **timings.row(),
        "mean_seconds": fmean(ours.batch_seconds),
        "seconds_a_sample": timings.median() / size,
        "seconds_an_epoch": median(ours.epoch_seconds),
        "accuracy": ours.accuracies[-1],
        **ours.reported(),
    }


def build(config: Config) -> Classifier:
    """The network, with the weights that a run of this seed begins with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return config.model.build(config.data.spec(), config.optim, config.scheduler)


def accuracy(model: Classifier, batches: Iterable[Batch]) -> float:
    """The share of samples whose class is predicted."""
    with torch.no_grad():
        hits = torch.cat([scores(model(inputs)).argmax(1) == targets for inputs, targets in batches])
    return float(hits.double().mean())
