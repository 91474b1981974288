"""What the batch size does to the time of a step and to what ten epochs learn."""

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from statistics import fmean, median
from typing import Annotated, Any

import numpy as np
import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from dlproj import formats
from dlproj.clock import CPU, processor_clock
from dlproj.config.checks import LARGEST_SEED, require, whole_numbers
from dlproj.config.root import Config
from dlproj.data.base import DataModule
from dlproj.data.batches import Batch, EvaluationBatches
from dlproj.experiments import composing, points
from dlproj.labs.studies.parts.networks import batches_of, stepper
from dlproj.labs.studies.parts.timing import ON_CLOCK, QUARTILES, Timings, error_bars, in_turns
from dlproj.loop_progress import progress
from dlproj.machine import machine
from dlproj.models.classifier import Classifier
from dlproj.models.losses import scores
from dlproj.reports.article import Article, Row, Section, Table
from dlproj.reports.style import COLORS, INK, SCALE, new_figure, plain_log, styled

_EXPERIMENT = "mlp/batch_size"
_EPOCHS, _SAMPLES = 10, 8000  # of the document
_SEARCH = "PYTORCH_NVML_BASED_CUDA_CHECK"


def batch_size_timing(
    sizes: Annotated[str, typer.Option(help="samples a batch")] = "16,32,64,128,256,512,1024",
    epochs: Annotated[int, typer.Option(min=1, max=1_000_000, help="of training")] = _EPOCHS,
    samples: Annotated[int, typer.Option(min=1, max=1_000_000, help="to train on")] = _SAMPLES,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="of the weights and the order of the samples")] = 0,
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
    found = [row_of(*pair) for pair in zip(ours, theirs, strict=True)]
    fits = fit_rows(found)
    return Article(
        "batch_size_timing",
        "Batch size: time and accuracy",
        f"{machine()}, one thread, {samples:,} samples, {epochs} epochs, seed {seed}",
        [
            Section("The whole training", _ON_WHOLE + conclusions(found), {"time": figure(found)}, whole_table(found)),
            Section("A step alone", _ON_STEP, table=step_table(found)),
            Section("What is learnt", _ON_CURVES, {"curves": curves(ours)}, accuracy_table(found, ours)),
            *([Section("What the time is made of", _ON_FIT, table=fit_table(fits))] if fits else []),
        ],
    )


_ON_WHOLE = (
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
    """Those of the project, which take a batch by one index operation."""
    val = data.val_dataloader()
    assert isinstance(val, EvaluationBatches)  # without evaluate_train, which a Trainer sets
    return Loaders(partial(batches_of, data), val)


def one_by_one(data: DataModule) -> Loaders:
    """torch's DataLoader, which collects a batch sample by sample; as large ones in validation."""
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
    totals = {f"{name}_total_seconds": sum(one.whole_seconds) for name, one in (("torch", theirs), ("dlproj", ours))}
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
        model = config.model.build(config.data.spec(), config.optim, config.scheduler)
    assert isinstance(model, Classifier)
    return model


def accuracy(model: Classifier, batches: Iterable[Batch]) -> float:
    """The share of samples whose class is told."""
    with torch.no_grad():
        hits = torch.cat([scores(model(inputs)).argmax(1) == targets for inputs, targets in batches])
    return float(hits.double().mean())


def conclusions(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whether the document's two hold in its way to measure, from each batch size to the next."""
    totals, batches = ([row[f"torch_total_seconds{part}"] for row in rows] for part in ("", "_a_batch"))
    falls = all(later < earlier for earlier, later in pairwise(totals))
    rises = all(later > earlier for earlier, later in pairwise(batches))
    concludes = "The document concludes that the total falls and the time a batch rises with the batch size."
    if len(rows) < 2:
        return concludes
    return (
        f"{concludes} With torch's DataLoader the total {'falls' if falls else 'does not fall'} and the time a batch "
        f"{'rises' if rises else 'does not rise'} from each size to the next."
    )


def whole_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Total time and total time a batch: reported, in the document's way, and in the project's."""
    cells = [
        (
            f"{row['batch_size']:,}",
            f"{row['steps']:,}",
            *(_in(1, row[f"{name}_total_seconds"], 2) for name in _WAYS),
            *(_in(1e3, row[f"{name}_total_seconds_a_batch"], 2) for name in _WAYS),
        )
        for row in rows
    ]
    columns = ("batch", "batches", *(f"{label} ({unit})" for unit in ("s", "ms a batch") for label in _WAYS.values()))
    return Table(columns, cells, "batch_sizes", rows)


_WAYS = {"reported": "reported", "torch": "torch's DataLoader", "dlproj": "dlproj's loaders"}


def _in(unit: float, seconds: float | None, digits: int) -> str:
    return formats.NONE if seconds is None else f"{unit * seconds:.{digits}f}"


def step_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Time of a step, a sample and an epoch, without validation."""
    columns = ("batch", "median (ms)", "quartiles (ms)", "mean (ms)", "a sample (µs)", "an epoch (s)")
    return Table(columns, [_step(row) for row in rows])


def _step(row: Mapping[str, Any]) -> list[str]:
    lower, middle, upper, mean = (1e3 * row[name] for name in (*QUARTILES, "mean_seconds"))
    return [
        f"{row['batch_size']:,}",
        f"{middle:.3f}",
        f"{lower:.3f} to {upper:.3f}",
        f"{mean:.3f}",
        f"{1e6 * row['seconds_a_sample']:.2f}",
        f"{row['seconds_an_epoch']:.3f}",
    ]


def accuracy_table(rows: Sequence[Mapping[str, Any]], trainings: Sequence[Training]) -> Table:
    """What the last epoch ends with; the file has every epoch."""
    cells = [
        (
            f"{row['batch_size']:,}",
            f"{row['steps']:,}",
            formats.metric("loss", one.losses[-1]),
            formats.metric("accuracy", row["accuracy"]),
            formats.metric("accuracy", row["reported_accuracy"]),
        )
        for row, one in zip(rows, trainings, strict=True)
    ]
    epochs: list[Row] = [
        {"batch_size": row["batch_size"], "epoch": epoch, "training_loss": loss, "validation_accuracy": hits}
        for row, one in zip(rows, trainings, strict=True)
        for epoch, (loss, hits) in enumerate(zip(one.losses, one.accuracies, strict=True), 1)
    ]
    return Table(("batch", "steps", "training loss", "accuracy", "reported"), cells, "curves", epochs)


def fit(sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """a and b of t(B) = a + b B, in seconds, by least squares of relative errors."""
    times = np.array(seconds)
    (a, b), *_ = np.linalg.lstsq(np.stack([1 / times, np.array(sizes) / times], axis=1), np.ones(len(times)))
    return float(a), float(b)


def fit_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each kind of time, where there are two or more."""
    found = []
    for name, key in _FITTED.items():
        known = [row for row in rows if row[key] is not None]
        if len(known) > 1:
            a, b = fit([row["batch_size"] for row in known], [row[key] for row in known])
            found.append({"times": name, "fixed_seconds_a_batch": a, "seconds_a_sample": b})
    return found


_FITTED = {
    "a step alone": "median_seconds",
    "in all, dlproj's loaders": "dlproj_total_seconds_a_batch",
    "in all, torch's DataLoader": "torch_total_seconds_a_batch",
    "in all, reported": "reported_total_seconds_a_batch",
}


def fit_table(fits: Sequence[Mapping[str, Any]]) -> Table:
    """Both parts, and the batch of which they are equal."""
    cells = [
        (
            one["times"],
            f"{1e3 * one['fixed_seconds_a_batch']:.3f}",
            f"{1e6 * one['seconds_a_sample']:.3f}",
            _equal_at(one["fixed_seconds_a_batch"], one["seconds_a_sample"]),
        )
        for one in fits
    ]
    return Table(("times", "a, a batch (ms)", "b, a sample (µs)", "equal at a batch of"), cells, "fit", fits)


def _equal_at(batch: float, sample: float) -> str:
    return f"{batch / sample:,.0f}" if min(batch, sample) > 0 else formats.NONE


def figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Total time, and time a batch, by batch size."""
    sizes = [row["batch_size"] for row in rows]
    with styled():
        drawn = new_figure(10, 4.2)
        drawn.set_layout_engine("constrained")
        total, single = drawn.subplots(1, 2)
        for (name, label), color, style in zip(_WAYS.items(), (INK, *COLORS), ("x--", "o-", "s-"), strict=False):
            total.plot(sizes, _scaled(rows, f"{name}_total_seconds", 1), style, color=color, label=label)
            single.plot(sizes, _scaled(rows, f"{name}_total_seconds_a_batch", 1e3), style, color=color, label=label)
        low, middle, high = (_scaled(rows, name, 1e3) for name in QUARTILES)
        bars = error_bars(low, middle, high)
        single.errorbar(sizes, middle, bars, fmt="^:", color=COLORS[2], capsize=3, label="a step alone")
        total.set_ylabel("Whole training (s)")
        single.set_ylabel("Time a batch (ms)")
        for axes in (total, single):
            _log_axes(axes, sizes)
        drawn.legend(*single.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return drawn


def _scaled(rows: Sequence[Mapping[str, Any]], key: str, unit: float) -> list[float]:
    return [np.nan if row[key] is None else unit * row[key] for row in rows]


def curves(trainings: Sequence[Training]) -> Figure:
    """Training loss and validation accuracy by epoch, a line a batch size."""
    with styled():
        drawn = new_figure(10, 4)
        drawn.set_layout_engine("constrained")
        loss, hits = drawn.subplots(1, 2)
        for place, one in enumerate(trainings):
            style = {"color": SCALE(place / max(1, len(trainings) - 1)), "marker": "os^Dv<>"[place % 7]}
            epochs = range(1, len(one.losses) + 1)
            loss.plot(epochs, one.losses, markersize=4, label=f"batch {one.config.data.batch_size:,}", **style)
            hits.plot(epochs, one.accuracies, markersize=4, **style)
        loss.set_ylabel("Training loss")
        hits.set_ylabel("Validation accuracy")
        for axes in (loss, hits):
            axes.set_xlabel("Epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid()
        drawn.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return drawn


def _log_axes(axes: Axes, sizes: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, map(str, sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yscale("log")
    plain_log(axes.yaxis)
    axes.set_xlabel("Batch size")
    axes.grid()
