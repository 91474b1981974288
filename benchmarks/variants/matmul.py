"""The matrix products of an MLP's training step alone, into memory set aside beforehand."""

from itertools import pairwise

import torch

from benchmarks.cases import Job
from benchmarks.pacer import Pacer
from benchmarks.variants.networks import PIXELS, classes


def run(job: Job, pacer: Pacer) -> None:
    """Multiply as the pacer says: as many steps a chunk as the others train, all batches full."""
    torch.set_num_threads(job.threads)
    sizes = (PIXELS, job.case.hidden, classes(job.case))
    images, hidden, logits = (torch.rand(job.case.batch_size, size, device=job.device) for size in sizes)
    first, second = (torch.rand(a, b, device=job.device) for a, b in pairwise(sizes))
    first_gradient, second_gradient = torch.empty_like(first), torch.empty_like(second)
    hidden_gradient = torch.empty_like(hidden)
    while pacer.next_chunk():
        for _ in range(job.steps):
            torch.mm(images, first, out=hidden)
            torch.mm(hidden, second, out=logits)
            torch.mm(hidden.T, logits, out=second_gradient)
            torch.mm(logits, second.T, out=hidden_gradient)
            torch.mm(images.T, hidden_gradient, out=first_gradient)
