"""The base of all data modules: the train/val/test split, fitted preprocessing and batches."""

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
from dlproj.config.data import DataConfig, DataSpec, Kind, Sampling, ValidationSplit
from dlproj.data.batches import EvaluationBatches, Samples, Shard, TrainingBatches, generator
from dlproj.data.decoding import Decoded
from dlproj.data.holding_out import Strata, hold_out_fold, hold_out_share
from dlproj.data.mixup import Mixup

if TYPE_CHECKING:
    from dlproj.data.tokenized import TokenizedTexts

_log = logging.getLogger(__name__)


class DataModule(pl.LightningDataModule, ABC):
    """A data set held in memory, split into train, val and test and served as whole batches.

    A subclass downloads the data in prepare_data(), which runs on one process per machine, and reads it in load().
    After setup(), train, val and test are Samples.

    State fitted to the training data is saved in every checkpoint (state_dict). If it is restored before setup(), other
    data and user inputs are transformed exactly as in training.
    """

    train: Samples
    val: Samples
    test: Samples
    steps_per_execution = 1  # training batches yielded together
    evaluate_train = False  # True if validation also reads the training samples
    official_sizes: tuple[int, int] | None = None  # samples in the official training and test sets, if known
    largest_pixel: float = 255  # of stored images
    pixel_dtype = torch.uint8  # of stored images; the user's own arrays may be float32
    restored = False  # True if the fitted state came from a checkpoint
    test_indices: Tensor | None = None  # (N,) of the test samples among the official training samples they come from
    _train_groups: Tensor | None = None  # of what is split into train and val

    def __init__(self, config: DataConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        self.seed = seed

    @cached_property
    def spec(self) -> DataSpec:
        """The samples' kind, shape and classes: restored from a checkpoint, else taken from the settings."""
        return self.config.spec()

    @abstractmethod
    def load(self) -> tuple[Samples, Samples | None]:
        """Return the official training and test sets, None without one; targets are indices into spec.classes."""

    def groups(self) -> Tensor | None:
        """Groups int64 (N,) of the official training samples, which no split divides; None without groups."""
        return None

    def prefetch(self) -> None:
        """Do the part of load() whose result other runs on the same files can reuse."""
        self.prepare_data()
        self.load()

    def setup(self, stage: str | None = None) -> None:
        """Load and split the data on the first call; later calls, for any stage, do nothing."""
        if hasattr(self, "train"):
            return
        train, official_test = self.load()
        sizes = (len(train), len(official_test or ()))
        if self.official_sizes and sizes != self.official_sizes:
            _log.warning("the data has %d + %d samples, not %d + %d: is it complete?", *sizes, *self.official_sizes)
        train, self.test = self.with_test_set(train, official_test)
        self.train, self.val = self.split(train, self.test)
        self._check_sizes()
        if not self.restored:
            self.fit()
        if self.trainer is not None:
            self.place(self.trainer.strategy.root_device)

    def with_test_set(self, train: Samples, test: Samples | None) -> tuple[Samples, Samples]:
        """Make the training and test sets from the official sets, as data.test_fraction and data.folds say.

        Raises DataError.
        """
        config, groups = self.config, self.groups()
        config.check_test_set(test is not None)
        self._train_groups, strata = groups, Strata(train.targets, self.spec.classes, groups)
        if config.folds is not None:
            rest, self.test_indices = hold_out_fold(strata, config.folds, config.fold, config.split_seed)
        elif config.test_fraction is not None:
            rest, self.test_indices = hold_out_share(
                strata, config.test_fraction, config.split_seed, "data.test_fraction"
            )
        else:
            assert test is not None
            return train, test
        self._train_groups = None if groups is None else groups[rest]
        return self.take(train, rest), self.take(train, self.test_indices)

    def split(self, train: Samples, test: Samples) -> tuple[Samples, Samples]:
        """Make the training and validation sets from what with_test_set() returned, as data.val says."""
        config, groups = self.config, self._train_groups
        if config.val is ValidationSplit.test:
            return train, test
        kept = int(len(train) * (1 - config.val_fraction))  # rounded as Keras does
        if config.val is ValidationSplit.last:
            if groups is not None:
                raise DataError("data.val=last may divide a group of samples: set data.val=random or stratified")
            return train[:kept], train[kept:]
        if config.val is ValidationSplit.stratified or groups is not None:
            by_class = config.val is ValidationSplit.stratified
            targets = train.targets if by_class else torch.zeros_like(train.targets)
            strata = Strata(targets, self.spec.classes, groups)
            rest, val = hold_out_share(strata, config.val_fraction, self.seed, "data.val_fraction")
            return self.take(train, rest), self.take(train, val)
        order = torch.randperm(len(train), generator=generator("split", self.seed))
        return self.take(train, order[:kept]), self.take(train, order[kept:])

    def take(self, samples: Samples, index: Tensor) -> Samples:
        """Copy samples by their indices (M,)."""
        return samples[index]

    def _check_sizes(self) -> None:
        shard = self.shard()
        test_setting = "data.test_fraction higher" if self.config.folds is None else "data.folds lower"
        for name, samples, setting in (
            ("val", self.val, "data.val_fraction higher"),
            ("test", self.test, test_setting),
        ):
            if len(samples) < shard.world_size:
                raise DataError(
                    f"the {name} set has {len(samples)} samples for {shard.world_size} processes: "
                    f"set {setting} or trainer.devices lower"
                )
        if len(self.train_dataloader()) == 0:
            needed = self.config.batch_size * shard.world_size if self.config.drop_last else shard.world_size
            raise DataError(
                f"the training set has {len(self.train)} samples, a batch of all processes takes {needed}: "
                "set data.batch_size or data.val_fraction lower, or data.drop_last=false"
            )

    def place(self, device: torch.device) -> None:
        """Move all samples to the device, where a batch is one index operation, if they fit in half its free memory."""
        splits = (self.train, self.val, self.test)
        size = sum(samples.nbytes() for samples in splits)
        if device.type == "cuda" and size > torch.cuda.mem_get_info(device)[0] / 2:
            _log.warning("%.1f GB of data stay in main memory: the GPU has too little free memory", size / 1e9)
            return
        self.train, self.val, self.test = (samples.to(device) for samples in splits)

    def fit(self) -> None:
        """Compute from the training samples what transform() needs."""

    def state_dict(self) -> dict[str, Any]:
        """The state that a checkpoint needs to predict without the data set, as plain containers and tensors."""
        return {"spec": asdict(self.spec) | {"kind": self.spec.kind.name}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state. After setup() this does nothing: the same data has given the same state."""
        if not hasattr(self, "train"):
            if not isinstance(state["spec"], dict):
                raise DataError("the checkpoint does not describe its data: choose another")
            self.spec = DataSpec(**state["spec"] | {"kind": Kind[state["spec"]["kind"]]})
            self.restored = True
            self.restore(state)

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what fit() and load() compute. Raises DataError if the state belongs to other data."""

    def decode(self, paths: Sequence[Path]) -> Decoded:
        """Decode image files to stored inputs (N, …). Raises DataError if the model reads no images."""
        raise DataError(f"the model reads {self.spec.kind.name}, no image files: pass texts")

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode texts as stored inputs (N, …). Raises DataError for an invalid text or if the model reads no texts."""
        raise DataError(f"the model reads an {self.spec.kind.name}, no text: name image files or folders")

    def transform(self, inputs: Tensor) -> Tensor:
        """Turn stored inputs (B, …) of any split into the model's inputs."""
        return inputs

    def transform_training(self, inputs: Tensor, epoch: int, step: int, shard: Shard) -> Tensor:
        """Transform one training batch; override this for augmentation."""
        return self.transform(inputs)

    def shown(self, inputs: Tensor) -> np.ndarray | str:
        """Convert one stored sample for display: to a uint8 image (H, W) or (H, W, 3), or to text."""
        return " ".join(f"{value:.3g}" for value in inputs.flatten().tolist())

    def feature_columns(self, inputs: Tensor) -> dict[str, Tensor]:
        """Name and values (n,) of each feature of stored inputs (N, …), for the survey; missing ones are left out."""
        return {str(i): column for i, column in enumerate(inputs.flatten(1).unbind(1))}

    def roles(self) -> list[tuple[str, str, str]]:
        """Name, role and details of each column of a table, for the run's page; empty for other data."""
        return []

    def uncut(self) -> "TokenizedTexts | None":
        """Return the official sets' texts before truncation, or None if the data is not text."""
        return None

    def bucketing_lengths(self) -> Tensor | None:
        """Lengths (N,) of the training samples on the CPU, to batch similar lengths; None batches at random."""
        return None

    def shard(self) -> Shard:
        """This process's share of every batch under the trainer's strategy."""
        if self.trainer is None:
            return Shard()
        kwargs: dict[str, Any] = self.trainer.distributed_sampler_kwargs or {"rank": 0, "num_replicas": 1}
        return Shard(kwargs["rank"], kwargs["num_replicas"])

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
            self.config.sampling is Sampling.balanced,
            Mixup(self.config.mixup, len(self.spec.classes), self.seed) if self.config.mixup else None,
        )

    def val_dataloader(self) -> EvaluationBatches | list[EvaluationBatches]:
        """Batches of all validation samples; with evaluate_train, also a loader of all unaugmented training samples."""
        val = self._evaluation(self.val)
        return [val, self._evaluation(self.train)] if self.evaluate_train else val

    def test_dataloader(self) -> EvaluationBatches:
        """Batches of all test samples, in order."""
        return self._evaluation(self.test)

    def fingerprint(self) -> str:
        """A hash of the stored train, val and test samples: 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for samples in (self.train, self.val, self.test):
            for tensor in (samples.inputs, samples.targets):
                digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
                digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]

    def _evaluation(self, samples: Samples) -> EvaluationBatches:
        return EvaluationBatches(samples, self.config.eval_batch_size, self.transform, self.shard())
