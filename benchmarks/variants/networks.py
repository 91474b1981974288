"""The networks in plain torch, and what the torch variants share."""

import torch
from torch import Tensor, nn

from benchmarks.cases import EMBEDDING_DIM, EMBEDDING_ROWS, Case, Job
from benchmarks.datasets import load

PIXELS = 28 * 28
LARGEST_PIXEL = 255


class ReviewLSTM(nn.Module):
    """Word ids (B, length) to logits (B, 2), read from the last output."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(EMBEDDING_ROWS, EMBEDDING_DIM)
        self.lstm = nn.LSTM(EMBEDDING_DIM, units, batch_first=True)
        self.output = nn.Linear(units, 2)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits."""
        outputs, _ = self.lstm(self.embedding(ids))
        return self.output(outputs[:, -1])


def network(case: Case) -> nn.Module:
    """The case's network: images as float32 (B, …) or ids (B, length) to logits."""
    if case.data == "imdb":
        return ReviewLSTM(case.hidden)
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, case.hidden), nn.ReLU(), nn.Linear(case.hidden, 10))


def classes(case: Case) -> int:
    """How many there are."""
    return 2 if case.data == "imdb" else 10


def samples(job: Job, split: str) -> tuple[Tensor, Tensor]:
    """Inputs as stored and int64 targets, on the job's device."""
    inputs, targets = load(job.case.data, split, job.arrays)
    return torch.from_numpy(inputs).to(job.device), torch.from_numpy(targets).to(job.device)


def readable(inputs: Tensor) -> Tensor:
    """What the network reads: uint8 pixels as float32 in [0, 1], word ids as they are."""
    return inputs.float().div_(LARGEST_PIXEL) if inputs.dtype == torch.uint8 else inputs


def prepare_torch(job: Job) -> None:
    """Set the threads, and flush denormal numbers to zero.

    dlproj does so by itself. Without it, gradients that vanish over 200 time steps, and Adam's running means of units
    that are never active, make these loops many times slower, which would say nothing of the loops themselves.
    """
    torch.set_num_threads(job.threads)
    torch.set_flush_denormal(True)
