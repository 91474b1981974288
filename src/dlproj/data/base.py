"""What all data sets share: settings, the split into train, val and test, scaling, and the batches of each."""

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from dlproj.config.checks import DataError
from dlproj.config.data import DataConfig, DataSpec, Kind, ValidationSplit
from dlproj.data.batches import EvaluationBatches, Samples, Shard, TrainingBatches, generator
from dlproj.data.decoding import Decoded

if TYPE_CHECKING:
    from dlproj.data.reviews import Reviews

_log = logging.getLogger(__name__)


class DataModule(pl.LightningDataModule, ABC):
    """A data set in memory, split and handed out as whole batches.

    A subclass says how to bring the data into its folder (prepare_data, on one process a machine) and how to read it
    (load). After setup(), train, val and test are Samples.

    What it has learnt of the training data goes into every checkpoint (state_dict). Restored from there before setup(),
    it turns other data, and what a user hands in, into a model's inputs just as in training.
    """

    train: Samples
    val: Samples
    test: Samples
    steps_per_execution = 1  # training batches handed out together
    evaluate_train = False  # whether validation reads the training samples, too
    official_sizes: tuple[int, int] | None = None  # samples in the training and the test set, where they are known
    largest_pixel = 255  # of images as they are stored
    restored = False  # whether what training has taught came from a checkpoint

    def __init__(self, config: DataConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        self.seed = seed

    @cached_property
    def spec(self) -> DataSpec:
        """What the samples look like: as in training where that was restored, else as the settings say."""
        return self.config.spec()

    @abstractmethod
    def load(self) -> tuple[Samples, Samples]:
        """The official training set and the official test set; targets are places in spec.classes."""

    def prefetch(self) -> None:
        """Do what load() does that other runs on the same files can use."""
        self.prepare_data()
        self.load()

    def setup(self, stage: str | None = None) -> None:
        """Read and split once, whatever the stage."""
        if hasattr(self, "train"):
            return
        train, self.test = self.load()
        sizes = (len(train), len(self.test))
        if self.official_sizes and sizes != self.official_sizes:
            _log.warning("the data has %d + %d samples, not %d + %d: is its copy whole?", *sizes, *self.official_sizes)
        self.train, self.val = self.split(train, self.test)
        self._check_sizes()
        if not self.restored:
            self.fit()
        if self.trainer is not None:
            self.place(self.trainer.strategy.root_device)

    def split(self, train: Samples, test: Samples) -> tuple[Samples, Samples]:
        """What is trained on and what validates, made from the official sets as the settings say."""
        if self.config.val is ValidationSplit.test:
            return train, test
        kept = int(len(train) * (1 - self.config.val_fraction))  # rounded as Keras does
        if self.config.val is ValidationSplit.last:
            return train[:kept], train[kept:]
        order = torch.randperm(len(train), generator=generator("split", self.seed))
        return train[order[:kept]], train[order[kept:]]

    def _check_sizes(self) -> None:
        shard = self.shard()
        for name, samples in (("val", self.val), ("test", self.test)):
            if len(samples) < shard.world_size:
                raise DataError(
                    f"the {name} set has {len(samples)} samples for {shard.world_size} processes: "
                    "set data.val_fraction higher or trainer.devices lower"
                )
        if len(self.train_dataloader()) == 0:
            needed = self.config.batch_size * shard.world_size if self.config.drop_last else shard.world_size
            raise DataError(
                f"the training set has {len(self.train)} samples, a batch of all processes takes {needed}: "
                "set data.batch_size or data.val_fraction lower, or data.drop_last=false"
            )

    def place(self, device: torch.device) -> None:
        """Keep all samples on the device, where a batch is one index operation, if they leave half of it free."""
        splits = (self.train, self.val, self.test)
        size = sum(samples.nbytes() for samples in splits)
        if device.type == "cuda" and size > torch.cuda.mem_get_info(device)[0] / 2:
            _log.warning("%.1f GB of data stay in main memory: the GPU has too little room", size / 1e9)
            return
        self.train, self.val, self.test = (samples.to(device) for samples in splits)

    def fit(self) -> None:
        """Learn from the training samples what transform() needs."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data, in plain containers and tensors: enough to predict without it."""
        return {"spec": asdict(self.spec) | {"kind": self.spec.kind.name}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it. After setup(), which has learnt the same from the same data, there is nothing to do."""
        if not hasattr(self, "train"):
            if not isinstance(state["spec"], dict):
                raise DataError("what the data was like is not in the checkpoint: choose another")
            self.spec = DataSpec(**state["spec"] | {"kind": Kind[state["spec"]["kind"]]})
            self.restored = True
            self.restore(state)

    def restore(self, state: dict[str, Any]) -> None:
        """Take from a checkpoint what fit() and load() learn. Raises DataError if it is of other data."""

    def decode(self, paths: Sequence[Path]) -> Decoded:
        """Image files as stored inputs (N, …), and what is wrong with each. Raises DataError where none are read."""
        raise DataError(f"the model reads {self.spec.kind.name}, no image files: hand in texts")

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Texts as stored inputs (N, …). Raises DataError, quoting the text, or where none are read."""
        raise DataError(f"the model reads an {self.spec.kind.name}, no text: name image files or folders")

    def transform(self, inputs: Tensor) -> Tensor:
        """What the model reads, made from stored inputs (B, …) of any split."""
        return inputs

    def transform_training(self, inputs: Tensor, epoch: int, step: int, shard: Shard) -> Tensor:
        """The same for one training batch: the place for augmentation."""
        return self.transform(inputs)

    def shown(self, inputs: Tensor) -> np.ndarray | str:
        """One stored sample for people: a uint8 image (H, W) or (H, W, 3), else text."""
        return " ".join(f"{value:.3g}" for value in inputs.flatten().tolist())

    def uncut(self) -> "Reviews | None":
        """The official sets' texts before they are cut; None of data that is no text."""
        return None

    def bucketing_lengths(self) -> Tensor | None:
        """Lengths (N,) of the training samples, on the CPU, for batches of about one length; None: for any batches."""
        return None

    def shard(self) -> Shard:
        """This process's part of every batch, as the trainer's strategy has it."""
        if self.trainer is None:
            return Shard()
        numbers: dict[str, Any] = self.trainer.distributed_sampler_kwargs or {"rank": 0, "num_replicas": 1}
        return Shard(numbers["rank"], numbers["num_replicas"])

    def train_dataloader(self) -> TrainingBatches:
        """Shuffled batches of the training samples."""
        return TrainingBatches(
            self.train,
            self.config.batch_size,
            self.seed,
            self.transform_training,
            self.shard(),
            self.config.drop_last,
            self.steps_per_execution,
            self.bucketing_lengths(),
        )

    def val_dataloader(self) -> EvaluationBatches | list[EvaluationBatches]:
        """Every validation sample once; with evaluate_train in a second loader every training sample, not augmented."""
        val = self._evaluation(self.val)
        return [val, self._evaluation(self.train)] if self.evaluate_train else val

    def test_dataloader(self) -> EvaluationBatches:
        """Batches with every test sample once, in order."""
        return self._evaluation(self.test)

    def fingerprint(self) -> str:
        """A hash of the samples of train, val and test, as they are stored: 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for samples in (self.train, self.val, self.test):
            for tensor in (samples.inputs, samples.targets):
                digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
                digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]

    def _evaluation(self, samples: Samples) -> EvaluationBatches:
        return EvaluationBatches(samples, self.config.eval_batch_size, self.transform, self.shard())
