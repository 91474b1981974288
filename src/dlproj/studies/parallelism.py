"""The same network by data parallelism and by model parallelism over two processes."""

import sys
from dataclasses import replace
from typing import Annotated

import typer

from dlproj.results.article import Article, Section
from dlproj.scaling.bench import measured, plan
from dlproj.scaling.report import figure, measured_table

_SHOWN = ("ddp", "fsdp", "tensor_parallel", "pipeline", "layer_split")


def parallelism(
    hidden: Annotated[str, typer.Option(help="widths of the hidden layers, at least one; even for two processes")] = (
        "512,512,512"
    ),
    batch: Annotated[int, typer.Option(min=8, help="samples a step, shared by both processes; a multiple of 8")] = 256,
    steps: Annotated[int, typer.Option(min=2, help="timed of each strategy")] = 20,
) -> Article:
    """The same steps by one process and by two: data parallel and model parallel.

    Data parallel (ddp): both hold the whole model and half of the batch; the mean of both gradients is that of the
    whole batch, as the loss is a mean over samples. FSDP does the same with half of the weights in each, gathered layer
    by layer. Model parallel: each holds half of every layer (tensor_parallel: y = [x A₁, x A₂], z = y₁ B₁ + y₂ B₂,
    Shoeybi et al. 2019), or some of the layers (pipeline, layer_split), and both work on all samples. The arithmetic is
    the same, so the weights end equal but for rounding; time, memory and traffic are not. Described by the mlp document
    (not measured there).
    """
    settings = [f"model.hidden=[{hidden}]", f"data.batch_size={batch}", "trainer.accelerator=cpu", "optim=sgd",
                "optim.learning_rate=0.1"]  # fmt: skip
    found = measured(plan(settings, [2], _SHOWN), steps, progress=sys.stderr.isatty())
    text = "Reported: described, not measured. Plain SGD on made data, one thread a process; sent: a step and process."
    return Article(
        "parallelism",
        "Data parallelism and model parallelism over two processes",
        f"MLP of [{hidden}], batches of {batch}",
        [
            Section(
                "Weights, time, memory, traffic",
                text,
                {"parallelism": figure(found)},
                replace(measured_table(found), name="parallelism"),
            )
        ],
    )
