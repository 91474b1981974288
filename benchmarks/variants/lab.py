"""The loop of the lab documents: a Dataset of pairs, DataLoader, Adam as it comes, loss.item() at every step."""

from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader, Dataset

from benchmarks.cases import EVALUATION_BATCH, LEARNING_RATE, Job
from benchmarks.pacer import Pacer
from benchmarks.variants.networks import network, prepare_torch, readable, samples


class Pairs(Dataset[tuple[Tensor, int]]):
    """(tensor, label) pairs from memory; images as float32."""

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.inputs = readable(inputs)
        self.labels = targets.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.inputs[index], self.labels[index]


def pairs(job: Job, split: str) -> Pairs:
    """The split as pairs, in the main memory: a DataLoader's place for them."""
    return Pairs(*(tensor.cpu() for tensor in samples(job, split)))


def run(job: Job, pacer: Pacer) -> None:
    """Train as the pacer says."""
    prepare_torch(job)
    loader = DataLoader(pairs(job, "train"), job.case.batch_size, shuffle=True)
    held_out = DataLoader(pairs(job, "val"), EVALUATION_BATCH) if job.case.validation else None
    model = network(job.case).to(job.device)
    criterion = nn.CrossEntropyLoss()
    optimizer = Adam(model.parameters(), lr=LEARNING_RATE)
    while pacer.next_chunk():
        running = 0.0
        for inputs, targets in _moved(islice(loader, job.steps), job.device):
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            running += loss.item()
        if held_out:
            validate(model, criterion, _moved(held_out, job.device))


def _moved(batches: Iterable[list[Tensor]], device: str) -> Iterator[tuple[Tensor, Tensor]]:
    for inputs, targets in batches:
        yield inputs.to(device), targets.to(device)


def validate(model: nn.Module, criterion: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[float, int]:
    """Sum of the batches' losses, and hits."""
    running, hits = 0.0, 0
    model.eval()
    with torch.no_grad():
        for inputs, targets in batches:
            logits = model(inputs)
            running += criterion(logits, targets).item()
            hits += int((logits.argmax(1) == targets).sum().item())
    model.train()
    return running, hits
