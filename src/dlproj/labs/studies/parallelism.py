"""The same network by data parallelism and by model parallelism over two processes."""

import sys
from dataclasses import replace
from typing import Annotated

import typer

from dlproj.config.checks import require, whole_numbers
from dlproj.labs.scaling.bench import measured, plan
from dlproj.labs.scaling.scaling_report import EXPLAINED, figure, measured_table
from dlproj.labs.studies.parts.options import count
from dlproj.machine import machine
from dlproj.reports.article import Article, Section

_SHOWN = ("ddp", "fsdp", "tensor_parallel", "pipeline")
_SHARES = 8  # that a batch has: two processes, four micro-batches of the pipeline


def parallelism(
    hidden: Annotated[str, typer.Option(help="units of each hidden layer, at least one; even for two processes")] = (
        "512,512,512"
    ),
    batch: Annotated[int, count("samples a step, shared by both processes; a multiple of 8", least=8)] = 256,
    steps: Annotated[int, count("timed of each strategy", least=2)] = 20,
) -> Article:
    """The same steps by one process and by two: data parallel and model parallel.

    Data parallel (ddp): both hold the whole model and half of the batch; the mean of both gradients is that of the
    whole batch, as the loss is a mean over samples. FSDP does the same with half of the weights in each, gathered layer
    by layer. Model parallel: each holds half of every layer (tensor_parallel: y = [x A₁, x A₂], z = y₁ B₁ + y₂ B₂,
    Shoeybi et al. 2019), or some of the layers (pipeline, Huang et al. 2019), and both work on all samples. The
    arithmetic is the same, so the weights end equal but for rounding; time, memory and traffic are not. The mlp
    document describes both ways and measures neither.
    """
    units = whole_numbers("--hidden", hidden, such_as="512,512")
    require(all(width % 2 == 0 for width in units), f"--hidden={hidden} does not split in halves: set even numbers")
    require(batch % _SHARES == 0, f"--batch={batch} is not a multiple of {_SHARES}: set such as 256")
    settings = [
        f"model.hidden={units}",
        f"data.batch_size={batch}",
        "trainer.accelerator=cpu",
        "optim=sgd",
        "optim.learning_rate=0.1",
    ]
    scaling = measured(plan(settings, [2], _SHOWN), steps, progress=sys.stderr.isatty())
    table = replace(measured_table(scaling), name="parallelism")
    return Article(
        "parallelism",
        "Data parallelism and model parallelism over two processes",
        f"{machine()}, MLP of {units}, batches of {batch}, {steps} steps of SGD on made data",
        [Section("Weights, time, memory, traffic", EXPLAINED, {"parallelism": figure(scaling)}, table)],
    )
