"""What surprises in batch normalisation: batches of one, company that changes outputs, and statistics that lag."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor, nn

from dlproj.labs.studies.parts.options import count, seed_option
from dlproj.reports.article import Article, Column, Section, Table
from dlproj.reports.style import COLORS, GREY, INK, drawing, log_axes

_EPS, _MOMENTUM = 1e-5, 0.1  # torch's
_SAMPLE = (1.0, 2.0, 3.0)  # mlp document: alone, and in two batches
_COMPANIES = {(10.0, 20.0, 30.0): "-0.99999975", (0.0, -1.0, -2.0): "0.99998"}  # with the digits that it prints
_BATCH = (1.0, 2.0, 3.0, 6.0)  # mean 3, squared deviations 14
_SAMPLES_AT = (0.0, 1.0, 2.0)  # x, in the population's standard deviations from its mean
_FIRST_ORDER = "√((1 + x²/2)/B)"
_POPULATION = (5.0, 3.0)  # mean and standard deviation where running statistics start at 0 and 1
_GAP_BATCH, _GAP_FEATURES = 256, 128
_FLOOR = 1.5  # the mean of 1 + x²/2 over x from N(0, 1)


def batch_norm_pitfalls(
    largest_batch: Annotated[int, count("batches of 2, 4, 8, … up to LARGEST_BATCH", 32, 65_536)] = 512,
    draws: Annotated[int, count("random batches of each size", 2, 100_000)] = 2000,
    steps: Annotated[int, count("training steps over which running statistics are followed", most=10_000)] = 60,
    seed: Annotated[int, seed_option("of the random batches")] = 0,
) -> Article:
    """Where batch normalisation does what one may not expect, by torch.nn.BatchNorm1d beside formulas.

    In training y = (x - μ)/√(σ² + ε) with the mean μ and the variance σ² = Σ(x - μ)²/B of the batch of B samples, then
    γy + β; in evaluation with running statistics r ← (1 - m) r + m s, s the batch's mean and its unbiased variance
    σ² B/(B - 1) (Ioffe & Szegedy 2015, algorithms 1 and 2; m = 0.1, ε = 1e-5, γ = 1 and β = 0 are torch's). To first
    order, a sample x deviations from the mean of a normal population has outputs of variance (1 + x²/2)/B over random
    batches, as the batch's mean has 1/B and its deviation 1/(2B). After n steps the start of the running
    statistics, 0 and 1, still has the weight (1 - m)ⁿ.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = [2**power for power in range(1, largest_batch.bit_length())]
    spreads = {x: [spread(x, size, draws, generator) for size in sizes] for x in _SAMPLES_AT}
    gaps = evaluation_gaps(steps, generator)
    return Article(
        "batch_norm_pitfalls",
        "Pitfalls of batch normalisation",
        f"batches up to {sizes[-1]}, {draws:,} of each, {steps} steps, seed {seed}",
        [
            Section(
                "A batch of one",
                "Less its own mean, any sample is 0, and the output is β whatever came in, as the mlp document has it. "
                "Of two, one gives 1 and the other -1 but for ε. By the formula: torch.nn.BatchNorm1d says to a batch "
                f"of one in training “{refusal()}”.",
                table=small_batches(),
            ),
            Section(
                "One sample in two batches",
                f"The mlp document's sample {_listed(_SAMPLE)}, three features, beside two others. In training mode "
                "the output depends on the company, in evaluation mode it does not. Reported is that of the first "
                "feature.",
                table=company(),
            ),
            Section(
                "Larger batches, steadier outputs",
                f"The standard deviation of a sample's output over random batches N(0, 1), beside {_FIRST_ORDER}. From "
                f"B = 16 on it falls as B to the power {', '.join(_slopes(sizes, spreads))} for x = "
                f"{', '.join(f'{x:g}' for x in _SAMPLES_AT)}; of 1/√B it is -0.5. In small batches the "
                "formula fails: no output is beyond √(B - 1) (Samuelson 1968), so that far samples vary less, and "
                "those near the mean more, as the deviation of few others may be small.",
                {"spread": spread_figure(sizes, spreads)},
                spread_table(sizes, spreads),
            ),
            Section(
                "Running statistics",
                f"One feature, the batch {', '.join(f'{x:g}' for x in _BATCH)} again and again. torch's momentum is "
                "the new batch's weight; what Keras calls momentum is the old value's, 1 less torch's. The variance "
                "that normalises is divided by B, the running one by B - 1: in the end, outputs in evaluation are "
                "√((B - 1)/B) of those in training.",
                table=running_statistics(),
            ),
            Section(
                "Evaluated after a few steps",
                f"The root mean square difference of outputs in evaluation and in training mode, over a fresh batch of "
                f"{_GAP_BATCH} by {_GAP_FEATURES} features from N({_POPULATION[0]:g}, {_POPULATION[1]:g}²), after n "
                "steps of training. Predicted from the weight 0.9ⁿ of the start alone; what stays is chance, that of a "
                "batch and of the last ones in the running statistics: "
                f"√(1.5/{_GAP_BATCH} · (1 + m/(2 - m))) = {floor():.4f}.",
                {"evaluation_gap": gap_figure(gaps)},
                gap_table(gaps),
            ),
        ],
    )


def normalised(batch: Tensor) -> Tensor:
    """The formula of the training mode, without γ and β, for a batch (B, features)."""
    centred = batch - batch.mean(0)
    return centred / (centred.square().mean(0) + _EPS).sqrt()


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def _batch_norm(features: int = 1) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(features, dtype=torch.float64).requires_grad_(False)


def refusal() -> str:
    """What torch says to a batch of one in training."""
    try:
        _batch_norm()(_column([7.0]))
    except ValueError as error:
        return str(error)
    return "nothing"


def small_batches() -> Table:
    """Batches of one and of two through the formula."""
    batches = ((7.0,), (-300.0,), (7.0, 7.5), (7.0, 900.0))
    rows = [(_listed(batch), _listed(normalised(_column(batch))[:, 0].tolist())) for batch in batches]
    return Table.of_values(rows, [Column("batch"), Column("outputs")], "small")


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def company() -> Table:
    """Outputs for the document's sample in two batches of two, in training and then in evaluation mode."""
    module = _batch_norm(len(_SAMPLE))
    batches = {other: torch.tensor([_SAMPLE, other], dtype=torch.float64) for other in _COMPANIES}
    trained = {other: module(batch)[0].tolist() for other, batch in batches.items()}
    module.eval()
    rows: list[tuple[Any, ...]] = []
    for other, batch in batches.items():
        outputs = (normalised(batch)[0].tolist(), trained[other], module(batch)[0].tolist())
        reported = (float(_COMPANIES[other]), None, None)
        rows += zip([_listed(other)] * 3, (1, 2, 3), *outputs, reported, strict=True)
    columns = [
        Column("beside"),
        Column("feature"),
        Column("by the formula", ".8f", "formula"),
        Column("in training", ".8f", "training"),
        Column("in evaluation", ".8f", "evaluation"),
        Column("reported", "{:.8g}…".format),
    ]
    return Table.of_values(rows, columns, "company")


def spread(x: float, size: int, draws: int, generator: torch.Generator) -> float:
    """The standard deviation of the output for the sample x, the others of its batch drawn from N(0, 1)."""
    batches = torch.randn(size, draws, generator=generator, dtype=torch.float64)  # a feature a draw
    batches[0] = x
    return float(nn.functional.batch_norm(batches, None, None, training=True, eps=_EPS)[0].std())


def predicted_spread(x: float, size: int) -> float:
    """The standard deviation of spread() to first order in 1/√B."""
    return math.sqrt((1 + x**2 / 2) / size)


def _slopes(sizes: Sequence[int], spreads: dict[float, list[float]]) -> list[str]:
    """The power of the batch size, from 16 on, that each spread goes by: a least-squares line through logarithms."""
    powers, _ = np.polyfit(np.log(sizes[3:]), np.log([values[3:] for values in spreads.values()]).T, 1)
    return [f"{power:.2f}" for power in powers]


def spread_table(sizes: Sequence[int], spreads: dict[float, list[float]]) -> Table:
    """Measured beside predicted, a batch size a row."""
    rows: list[dict[str, float]] = [{"batch_size": size} for size in sizes]
    for x, measured in spreads.items():
        for row, size, value in zip(rows, sizes, measured, strict=True):
            row |= {f"predicted_at_{x:g}": predicted_spread(x, size), f"measured_at_{x:g}": value}
    values = [
        Column(f"{kind}, x = {x:g}", ".4f", f"{kind}_at_{x:g}") for x in spreads for kind in ("predicted", "measured")
    ]
    return Table.of(rows, [Column("batch", value="batch_size"), *values], "spread")


def spread_figure(sizes: Sequence[int], spreads: dict[float, list[float]]) -> Figure:
    """Marks are measured, lines predicted, of each sample x."""
    with drawing(7, 4) as figure:
        axes = figure.add_subplot(xlabel="batch size B", ylabel="standard deviation")
        looks = zip(spreads.items(), "os^", COLORS, ("--", ":", "-."), strict=False)
        for (x, measured), marker, color, line in looks:
            predicted = [predicted_spread(x, size) for size in sizes]
            axes.plot(sizes, predicted, line, color=color, linewidth=1.5, label=f"{_FIRST_ORDER}, x = {x:g}")
            axes.plot(sizes, measured, marker, color=color, label=f"measured, x = {x:g}")
        log_axes(axes, sizes, steps=(1, 3))
        axes.legend()
        return figure


def running_statistics() -> Table:
    """By hand, by hand with the other of the two variances, and torch's, after one step and after ten."""
    batch, count = _column(_BATCH), len(_BATCH)
    mean = sum(_BATCH) / count
    squares = sum((x - mean) ** 2 for x in _BATCH)
    biased, unbiased = squares / count, squares / (count - 1)
    module = _batch_norm()
    output, other = [(_BATCH[0] - mean) / math.sqrt(variance + _EPS) for variance in (biased, unbiased)]
    rows: list[tuple[str, float, float | None, float]] = [
        ("output for 1 in training", output, other, float(module(batch)[0]))
    ]
    for step in (1, 10):
        while int(module.get_buffer("num_batches_tracked")) < step:
            module(batch)
        old = (1 - _MOMENTUM) ** step
        running, other = [old + (1 - old) * variance for variance in (unbiased, biased)]
        by_torch = [float(module.get_buffer(f"running_{name}")) for name in ("mean", "var")]
        rows.append((f"running mean, step {step}", (1 - old) * mean, None, by_torch[0]))
        rows.append((f"running variance, step {step}", running, other, by_torch[1]))
    values = [Column(heading, ".6f") for heading in ("by hand", "with the other variance", "torch")]
    return Table.of_values(rows, [Column("quantity"), *values], "running_statistics")


def evaluation_gaps(steps: int, generator: torch.Generator) -> list[float]:
    """Root mean square differences of outputs in evaluation and in training mode, after 0 to `steps` steps."""
    mean, deviation = _POPULATION
    module, gaps = _batch_norm(_GAP_FEATURES), []
    for _ in range(steps + 1):
        batch = mean + deviation * torch.randn(_GAP_BATCH, _GAP_FEATURES, generator=generator, dtype=torch.float64)
        evaluated = module.eval()(batch)
        trained = module.train()(batch)  # takes the batch into the running statistics, for the next one
        gaps.append(float((evaluated - trained).square().mean().sqrt()))
    return gaps


def predicted_gap(step: int) -> float:
    """The difference after `step` steps if batches are so large that their statistics are the population's."""
    mean, deviation = _POPULATION
    old = (1 - _MOMENTUM) ** step
    running = math.sqrt(old + (1 - old) * deviation**2)
    return math.hypot(deviation / running - 1, mean * old / running)


def floor() -> float:
    """The difference after many steps, which weigh the batches before by m (1 - m)ⁿ: Σ m² (1 - m)²ⁿ = m/(2 - m)."""
    return math.sqrt(_FLOOR / _GAP_BATCH * (1 + _MOMENTUM / (2 - _MOMENTUM)))


def gap_table(gaps: Sequence[float]) -> Table:
    """After 0, 1, 2, 5, 10, 20, … steps."""
    shown = [step for step in (0, 1, 2, 5, *range(10, len(gaps), 10)) if step < len(gaps)]
    columns = [Column("step"), Column("predicted", ".3f"), Column("measured", ".3f")]
    return Table.of_values([(step, predicted_gap(step), gaps[step]) for step in shown], columns, "evaluation_gap")


def gap_figure(gaps: Sequence[float]) -> Figure:
    """Marks are measured, the dashed line predicted, the dotted one what a single batch's statistics make."""
    with drawing(7, 3.8) as figure:
        axes = figure.add_subplot(yscale="log", xlabel="training steps", ylabel="root mean square difference")
        axes.plot(range(len(gaps)), gaps, "o", color=COLORS[0], markersize=4, label="measured")
        predicted = [predicted_gap(step) for step in range(len(gaps))]
        axes.plot(range(len(gaps)), predicted, "--", color=INK, label="predicted from the start's weight")
        axes.axhline(floor(), color=GREY, linestyle=":", linewidth=2, label=f"chance of batches of {_GAP_BATCH}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid()
        axes.legend()
        return figure
