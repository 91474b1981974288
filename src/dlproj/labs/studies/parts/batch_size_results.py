"""What the times and accuracies of batch sizes come to: conclusions, tables, a fit and figures.

A row is what was measured of a batch size: see batch_size_timing.row_of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dlproj import formats
from dlproj.labs.studies.parts.timing import QUARTILES
from dlproj.labs.studies.parts.timing_figures import QUARTILE_COLUMNS, plot_quartiles
from dlproj.reports.article import Column, Table
from dlproj.reports.style import COLORS, INK, SCALE, drawing, log_axes

Rows = Sequence[Mapping[str, Any]]


def conclusions(rows: Rows) -> str:
    """The verdicts on the document's two conclusions, measured in its way, from each batch size to the next."""
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


def total_table(rows: Rows) -> Table:
    """Total time and total time a batch: reported, in the document's way, and in the project's."""
    columns = [
        _BATCH,
        Column("batches", ",", "steps"),
        *(Column(f"{label} (s)", ".2f", f"{way}_total_seconds") for way, label in _WAYS.items()),
        *(Column(f"{label} (ms a batch)", ".2f", f"{way}_total_seconds_a_batch", 1e3) for way, label in _WAYS.items()),
    ]
    return Table.of(rows, columns, "batch_sizes")


_WAYS = {"reported": "reported", "torch": "torch's DataLoader", "dlproj": "dlproj's loaders"}
_BATCH = Column("batch", ",", "batch_size")


def step_table(rows: Rows) -> Table:
    """Time of a step, a sample and an epoch, without validation."""
    columns = [
        _BATCH,
        *QUARTILE_COLUMNS,
        Column("mean (ms)", ",.3f", "mean_seconds", 1e3),
        Column("a sample (µs)", ".2f", "seconds_a_sample", 1e6),
        Column("an epoch (s)", ".3f", "seconds_an_epoch"),
    ]
    return Table.of(rows, columns)


def accuracy_table(rows: Rows, epochs: Rows) -> Table:
    """What the last epoch ends with; the file has a row for every epoch."""
    last = {row["batch_size"]: row["training_loss"] for row in epochs}
    columns = [
        _BATCH,
        Column("steps", ","),
        Column("training loss", partial(formats.metric, "loss"), lambda row: last[row["batch_size"]]),
        Column("accuracy", ".2%"),
        Column("reported", ".2%", "reported_accuracy"),
    ]
    return replace(Table.of(rows, columns, "curves"), rows=epochs)


def fit(sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """a and b of t(B) = a + b B, in seconds, by least squares of relative errors."""
    times = np.array(seconds)
    (a, b), *_ = np.linalg.lstsq(np.stack([1 / times, np.array(sizes) / times], axis=1), np.ones(len(times)))
    return float(a), float(b)


def fit_rows(rows: Rows) -> list[dict[str, Any]]:
    """a and b of each kind of time that two or more batch sizes have."""
    fits = []
    for name, key in _FITTED.items():
        known = [row for row in rows if row[key] is not None]
        if len(known) > 1:
            a, b = fit([row["batch_size"] for row in known], [row[key] for row in known])
            fits.append({"times": name, "fixed_seconds_a_batch": a, "seconds_a_sample": b})
    return fits


_FITTED = {
    "a step alone": "median_seconds",
    "in all, dlproj's loaders": "dlproj_total_seconds_a_batch",
    "in all, torch's DataLoader": "torch_total_seconds_a_batch",
    "in all, reported": "reported_total_seconds_a_batch",
}


def fit_table(fits: Rows) -> Table:
    """Both parts, and the batch of which they are equal."""
    columns = [
        Column("times"),
        Column("a, a batch (ms)", ".3f", "fixed_seconds_a_batch", 1e3),
        Column("b, a sample (µs)", ".3f", "seconds_a_sample", 1e6),
        Column("equal at a batch of", ",.0f", _equal_at),
    ]
    return Table.of(fits, columns, "fit")


def _equal_at(row: Mapping[str, Any]) -> float | None:
    batch, sample = row["fixed_seconds_a_batch"], row["seconds_a_sample"]
    return batch / sample if min(batch, sample) > 0 else None


def time_figure(rows: Rows) -> Figure:
    """Total time, and time a batch, by batch size."""
    sizes = [row["batch_size"] for row in rows]
    with drawing(10, 4.2) as drawn:
        total, single = drawn.subplots(1, 2)
        for (name, label), color, style in zip(_WAYS.items(), (INK, *COLORS), ("x--", "o-", "s-"), strict=False):
            total.plot(sizes, _scaled(rows, f"{name}_total_seconds", 1), style, color=color, label=label)
            single.plot(sizes, _scaled(rows, f"{name}_total_seconds_a_batch", 1e3), style, color=color, label=label)
        quartiles = [[1e3 * row[name] for name in QUARTILES] for row in rows]
        plot_quartiles(single, sizes, quartiles, fmt="^:", color=COLORS[2], label="a step alone")
        total.set_ylabel("Whole training (s)")
        single.set_ylabel("Time a batch (ms)")
        for axes in (total, single):
            log_axes(axes, sizes, base=2)
            axes.set_xlabel("Batch size")
        drawn.legend(*single.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return drawn


def _scaled(rows: Rows, key: str, unit: float) -> list[float]:
    return [np.nan if row[key] is None else unit * row[key] for row in rows]


def curves(epochs: Rows) -> Figure:
    """Training loss and validation accuracy by epoch, a line a batch size."""
    sizes = list(dict.fromkeys(row["batch_size"] for row in epochs))
    with drawing(10, 4) as drawn:
        loss, hits = drawn.subplots(1, 2)
        for i, size in enumerate(sizes):
            style: dict[str, Any] = {"color": SCALE(i / max(1, len(sizes) - 1)), "marker": "os^Dv<>"[i % 7]}
            own = [row for row in epochs if row["batch_size"] == size]
            keys = ("epoch", "training_loss", "validation_accuracy")
            x, losses, accuracies = ([row[key] for row in own] for key in keys)
            loss.plot(x, losses, markersize=4, label=f"batch {size:,}", **style)
            hits.plot(x, accuracies, markersize=4, **style)
        loss.set_ylabel("Training loss")
        hits.set_ylabel("Validation accuracy")
        for axes in (loss, hits):
            axes.set_xlabel("Epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid()
        drawn.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return drawn
