"""The floor: what eager torch takes with nothing around it.

Tensors in memory (images as uint8, a quarter of the memory and about as fast as float32), one shuffled order an epoch,
one index_select a batch, fused Adam, no metrics.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam

from benchmarks.cases import EVALUATION_BATCH, FLOOR, LEARNING_RATE, Job
from benchmarks.pacer import Pacer
from benchmarks.variants.networks import network, readable, samples


def run(job: Job, pacer: Pacer) -> None:
    """Train as the pacer says."""
    torch.set_num_threads(job.threads)
    # Also for the MLP, where Adam's running means of units that are never active shrink below 1e-38.
    torch.set_flush_denormal(job.variant == FLOOR)
    inputs, targets = samples(job, "train")
    held_out = samples(job, "val") if job.case.validation else None
    model = network(job.case).to(job.device)
    optimizer = Adam(model.parameters(), LEARNING_RATE, fused=True)
    while pacer.next_chunk():
        order = torch.randperm(len(targets), device=targets.device)[: job.steps * job.case.batch_size]
        for batch in order.split(job.case.batch_size):
            logits = model(readable(inputs.index_select(0, batch)))
            cross_entropy(logits, targets.index_select(0, batch)).backward()
            optimizer.step()
            optimizer.zero_grad()
        if held_out:
            validate(model, *held_out)


@torch.no_grad()
def validate(model: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[float, float]:
    """Mean loss and accuracy."""
    loss, hits = torch.zeros((), device=targets.device), torch.zeros((), device=targets.device)
    for some, wanted in zip(inputs.split(EVALUATION_BATCH), targets.split(EVALUATION_BATCH), strict=True):
        logits = model(readable(some))
        loss += cross_entropy(logits, wanted, reduction="sum")
        hits += (logits.argmax(1) == wanted).sum()
    return float(loss) / len(targets), float(hits) / len(targets)
