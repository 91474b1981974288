"""Which runs the experiments need, where they stand, and which of them are done."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from dlproj.config import Config
from dlproj.data.cifar10 import CIFAR10Config
from dlproj.data.image_folder import ImageFolderConfig
from dlproj.data.imdb import IMDBConfig
from dlproj.reproduce.experiments import Point
from dlproj.results.comparison import flat
from dlproj.results.record import read_result, read_settings
from dlproj.settings import UserError

FIXED = ("figures=none", "trainer.threads=1", "trainer.progress_bar=false")  # an experiment's own figures stay
_QUICK_EPOCHS = 2
_QUICK_BATCHES = 100  # an epoch
_QUICK_REVIEW_BATCHES = 4  # a step of an LSTM over 200 words takes half a second
_WITHOUT_EFFECT = ("name", "data.root", "trainer.progress_bar", "reference.")


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A point of an experiment with a seed. Equal settings share a folder: that of the first who has them."""

    point: Point
    config: Config
    identity: str
    folder: Path

    def is_done(self) -> bool:
        """Whether the folder holds a completed run of these very settings."""
        try:
            completed = read_result(self.folder).status == "completed"
            return completed and identity(read_settings(self.folder)) == self.identity
        except UserError:
            return False


def identity(settings: dict[str, Any]) -> str:
    """The settings that decide what a run leaves, as text."""
    deciding = {key: value for key, value in flat(settings).items() if not key.startswith(_WITHOUT_EFFECT)}
    return json.dumps(deciding, sort_keys=True)


def plan(points: Sequence[Point], seeds: int, folder: Path) -> list[PlannedRun]:
    """The runs of all points, seed by seed, so that each row has a figure early."""
    planned, folders = [], dict[str, Path]()
    for seed in range(seeds):
        for point in points:
            config = replace(point.config, seed=seed)
            key = identity(config.settings())
            own = folder / point.experiment / _as_folder(point.label) / f"seed-{seed}"
            planned.append(PlannedRun(point, config, key, folders.setdefault(key, own)))
    return planned


def _as_folder(label: str) -> str:
    kept = "".join(character if character.isalnum() or character in "-._," else "_" for character in label)
    return kept.strip("_")


def shortened(point: Point) -> Point:
    """The point with so few epochs and batches that it takes seconds: to see that it trains, not what comes of it."""
    trainer = replace(point.config.trainer, max_epochs=min(point.config.trainer.max_epochs, _QUICK_EPOCHS))
    reviews = isinstance(point.config.data, IMDBConfig)
    batches = _QUICK_REVIEW_BATCHES if reviews else _QUICK_BATCHES
    trainer.limit_train_batches = min(batches, trainer.limit_train_batches or batches)
    if reviews:
        trainer.limit_val_batches = trainer.limit_test_batches = 1
    return replace(point, config=replace(point.config, trainer=trainer))


def on_images(point: Point, folder: Path) -> Point:
    """The point with CIFAR-10 read from a tree of images, train/CLASS/* and test/CLASS/*; others as they are."""
    data = point.config.data
    if not isinstance(data, CIFAR10Config):
        return point
    shared = {field.name: getattr(data, field.name) for field in fields(data)}
    images = ImageFolderConfig(**shared | {"root": str(folder)})
    return replace(point, config=replace(point.config, data=images))
