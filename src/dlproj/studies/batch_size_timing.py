"""What the batch size does to the time of a step and to what ten epochs learn."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import fmean, median
from typing import Annotated, Any, cast

import numpy as np
import torch
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from dlproj.clock import CPU, processor_clock
from dlproj.config import Config
from dlproj.data.batches import Batch
from dlproj.experiments import composing, points
from dlproj.machine import machine
from dlproj.models.classifier import Classifier
from dlproj.models.losses import scores
from dlproj.results import formats
from dlproj.results.article import Article, Section, Table
from dlproj.results.style import COLORS, GREY, INK, new_figure, plain_log, styled
from dlproj.settings import LARGEST_SEED, require, whole_numbers
from dlproj.studies.parts.networks import stepper
from dlproj.studies.parts.progress import progress
from dlproj.studies.parts.timing import ON_CLOCK, QUARTILES, Timings, error_bars, in_turns

_EXPERIMENT = "mlp/batch_size"
_EPOCHS, _SAMPLES = 10, 8000  # of the document
_SEARCH = "PYTORCH_NVML_BASED_CUDA_CHECK"


def batch_size_timing(
    sizes: Annotated[str, typer.Option(help="samples a batch")] = "16,32,64,128,256,512,1024",
    epochs: Annotated[int, typer.Option(min=1, max=1_000_000, help="of training")] = _EPOCHS,
    samples: Annotated[int, typer.Option(min=1, max=1_000_000, help="to train on")] = _SAMPLES,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="of the weights and the order of the samples")] = 0,
) -> Article:
    """Time a batch, a sample and an epoch, and test accuracy, as the batch grows.

    The experiment mlp/batch_size: is the sum of 20 uniform numbers above 10? 8,000 samples train 64 units and a sigmoid
    on the binary cross-entropy by Adam at 0.001 for 10 epochs, 2,000 test them (mlp document). A step does the same few
    dozen calls for any batch, and arithmetic for each sample: t(B) = a + b B. A sample costs t / B, which falls until
    b B outweighs a. An epoch has N / B steps, so that a larger batch ends it sooner, but moves the weights less often:
    at the same rate it may learn less in as many epochs (Goodfellow, Bengio & Courville 2016, 8.1.3).
    """
    chosen = sorted(set(whole_numbers("--sizes", sizes)))
    require(max(chosen) <= samples, f"--sizes={sizes} has a batch above --samples={samples:,}: set smaller ones")
    with composing():
        overrides = [f"seed={seed}", f"trainer.max_epochs={epochs}", f"data.train_samples={samples}"]
        (point,) = points(_EXPERIMENT, [*overrides, "hydra.sweeper.params=null"])
    found = measure([Training(with_batch(point.config, size)) for size in chosen])
    fits = fit_rows(found)
    return Article(
        "batch_size_timing",
        "Batch size: time and accuracy",
        f"{machine()}, one thread, {samples:,} samples, {epochs} epochs, seed {seed}",
        [
            Section("Time by batch size", _ON_TIME, {"time": figure(found, fits)}, time_table(found)),
            Section("Accuracy", _ON_ACCURACY, table=accuracy_table(found)),
            *([Section("What a step is made of", _ON_FIT, table=fit_table(fits))] if fits else []),
        ],
    )


_ON_TIME = (
    f"Of a plain loop: take a batch from memory, forward, backward, step. {ON_CLOCK} A turn is an epoch. Left out are "
    "incomplete batches and the first one of each epoch, in which the samples are shuffled. Reported is the mean on "
    "another machine; a whole batch takes as long for any number of samples and epochs."
)
_ON_ACCURACY = (
    "Of the test samples after the last epoch, of one seed. Reported is one run, too, and shown beside as many epochs "
    f"and samples alone: {_EPOCHS} and {_SAMPLES:,}. How far seeds are apart stands with the experiment, "
    "conf/experiment/mlp/batch_size.yaml."
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


def with_batch(config: Config, size: int) -> Config:
    """The same experiment with batches of another size."""
    return replace(config, data=replace(config.data, batch_size=size))


class Training:
    """A network that learns with batches of one size, and what that takes."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.data = config.data.build(config.seed)
        self.data.setup()
        self.loader = self.data.train_dataloader()
        self.model = build(config)
        self.step = stepper(self.model)
        self.batch_seconds: list[float] = []  # of whole batches but each epoch's first, which draws the order of all
        self.epoch_seconds: list[float] = []

    def train_epoch(self) -> None:
        """The next one."""
        self.loader.batch_sampler.sampler.set_epoch(len(self.epoch_seconds))
        clock, seconds = processor_clock(CPU), list[float]()
        began = last = clock()
        for inputs, targets in cast(Iterable[Batch], self.loader):
            self.step(inputs, targets)
            before, last = last, clock()
            if len(targets) == self.loader.batch_size:
                seconds.append(last - before)
        self.batch_seconds += seconds[1:] or seconds
        self.epoch_seconds.append(last - began)

    def row(self) -> dict[str, Any]:
        """Times, accuracy and what the document reports."""
        size, timings = self.config.data.batch_size, Timings(self.batch_seconds)
        return {
            "batch_size": size, "steps": len(self.epoch_seconds) * len(self.loader), **timings.row(),
            "mean_seconds": fmean(self.batch_seconds), "seconds_a_sample": timings.median() / size,
            "seconds_an_epoch": median(self.epoch_seconds),
            "accuracy": accuracy(self.model, self.data.test_dataloader()), **self.reported(),
        }  # fmt: skip

    def reported(self) -> dict[str, float | None]:
        """The time of a batch of this size; the accuracy only after as many epochs on as many samples."""
        figures = self.config.reference.figures(self.config.settings())
        milliseconds = figures.get("milliseconds_a_batch")
        same = (self.config.trainer.max_epochs, len(self.loader.samples)) == (_EPOCHS, _SAMPLES)
        return {
            "reported_mean_seconds": None if milliseconds is None else milliseconds / 1e3,
            "reported_accuracy": figures.get("test/accuracy") if same else None,
        }


def measure(trainings: Sequence[Training]) -> list[dict[str, Any]]:
    """Train them, an epoch each in turn."""
    config = trainings[0].config
    turns = in_turns(trainings, [config.trainer.max_epochs] * len(trainings), config.seed)
    with _no_search_for_gpus():
        for training in progress(turns, "epochs"):
            training.train_epoch()
    return [training.row() for training in trainings]


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


def time_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Time a batch, a sample and an epoch."""
    columns = ("batch", "median (ms)", "quartiles (ms)", "mean (ms)", "reported mean (ms)", "a sample (µs)",
               "reported (µs)", "an epoch (s)")  # fmt: skip
    return Table(columns, [_times(row) for row in rows], "batch_sizes", rows)


def _times(row: Mapping[str, Any]) -> list[str]:
    lower, middle, upper, mean = (1e3 * row[name] for name in (*QUARTILES, "mean_seconds"))
    reported, size = row["reported_mean_seconds"], row["batch_size"]
    return [
        f"{size:,}", f"{middle:.3f}", f"{lower:.3f} to {upper:.3f}", f"{mean:.3f}",
        formats.NONE if reported is None else f"{1e3 * reported:.2f}", f"{1e6 * row['seconds_a_sample']:.2f}",
        formats.NONE if reported is None else f"{1e6 * reported / size:.2f}", f"{row['seconds_an_epoch']:.3f}",
    ]  # fmt: skip


def accuracy_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Beside the steps that it took."""
    cells = [
        (f"{row['batch_size']:,}", f"{row['steps']:,}", formats.metric("accuracy", row["accuracy"]),
         formats.metric("accuracy", row["reported_accuracy"]))
        for row in rows
    ]  # fmt: skip
    return Table(("batch", "steps", "accuracy", "reported"), cells)


def fit(sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """a and b of t(B) = a + b B, in seconds, by least squares of relative errors."""
    times = np.array(seconds)
    (a, b), *_ = np.linalg.lstsq(np.stack([1 / times, np.array(sizes) / times], axis=1), np.ones(len(times)))
    return float(a), float(b)


def fit_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of the measured and of the reported times, where there are two or more."""
    found = []
    for name, key in (("measured", "median_seconds"), ("reported", "reported_mean_seconds")):
        known = [row for row in rows if row[key] is not None]
        if len(known) > 1:
            a, b = fit([row["batch_size"] for row in known], [row[key] for row in known])
            found.append({"times": name, "fixed_seconds_a_batch": a, "seconds_a_sample": b})
    return found


def fit_table(fits: Sequence[Mapping[str, Any]]) -> Table:
    """Both parts, and the batch of which they are equal."""
    cells = [
        (one["times"], f"{1e3 * one['fixed_seconds_a_batch']:.3f}", f"{1e6 * one['seconds_a_sample']:.3f}",
         _equal_at(one["fixed_seconds_a_batch"], one["seconds_a_sample"]))
        for one in fits
    ]  # fmt: skip
    return Table(("times", "a, a batch (ms)", "b, a sample (µs)", "equal at a batch of"), cells, "fit", fits)


def _equal_at(batch: float, sample: float) -> str:
    return f"{batch / sample:,.0f}" if min(batch, sample) > 0 else formats.NONE


def figure(rows: Sequence[Mapping[str, Any]], fits: Sequence[Mapping[str, Any]]) -> Figure:
    """Time a batch and a sample by batch size."""
    with styled():
        drawn = new_figure(10, 4.2)
        drawn.set_layout_engine("constrained")
        whole, single = drawn.subplots(1, 2)
        _panel(whole, rows, fits, [1e3 for _ in rows])
        _panel(single, rows, fits, [1e6 / row["batch_size"] for row in rows])
        whole.set_ylabel("Time a batch (ms)")
        single.set_ylabel("Time a sample (µs)")
        drawn.legend(*whole.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return drawn


def _panel(
    axes: Axes, rows: Sequence[Mapping[str, Any]], fits: Sequence[Mapping[str, Any]], units: Sequence[float]
) -> None:
    """The times of each batch size in units of their own."""
    sizes = [row["batch_size"] for row in rows]
    for one, color, line in zip(fits, (COLORS[0], GREY), ("-", "--"), strict=False):
        fitted = [one["fixed_seconds_a_batch"] + one["seconds_a_sample"] * size for size in sizes]
        axes.plot(sizes, _scaled(fitted, units), line, color=color, label=f"a + b B, {one['times']}")
    low, middle, high = (_scaled([row[name] for row in rows], units) for name in QUARTILES)
    bars = error_bars(low, middle, high)
    axes.errorbar(sizes, middle, bars, fmt="o", color=COLORS[0], capsize=3, label="median and quartiles, measured")
    reported = _scaled([row["reported_mean_seconds"] for row in rows], units)
    axes.plot(sizes, reported, "x", color=INK, label="mean, reported")
    _log_axes(axes, sizes)


def _scaled(seconds: Sequence[float | None], units: Sequence[float]) -> list[float]:
    return [np.nan if one is None else one * unit for one, unit in zip(seconds, units, strict=True)]


def _log_axes(axes: Axes, sizes: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, map(str, sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yscale("log")
    plain_log(axes.yaxis)
    axes.set_xlabel("Batch size")
    axes.grid()
