"""Which runs the experiments need, where they stand, and which of them are done."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dlproj.config.root import Config
from dlproj.experiments import Point
from dlproj.runs.fingerprint import completed, config_fingerprint
from dlproj.runs.record import Run

FIXED = ("figures=none", "trainer.threads=1", "trainer.progress_bar=false")  # an experiment's own figures stay
QUICK_EPOCHS = 2
QUICK_BATCHES = 100  # an epoch
QUICK_REVIEW_BATCHES = 4  # a step of an LSTM over 200 words takes half a second


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A point of an experiment with a seed. Equal settings share a folder: that of the first who has them."""

    point: Point
    config: Config
    identity: str
    folder: Path

    def found(self) -> Run | None:
        """The completed run of these very settings that the folder holds, if it does."""
        return completed(self.folder, self.identity)


def plan(points: Sequence[Point], seeds: int, folder: Path) -> list[PlannedRun]:
    """The runs of all points, seed by seed, so that each row has a figure early."""
    planned = [_planned(point, seed, folder) for seed in range(seeds) for point in points]
    shared: dict[str, Path] = {}
    for one in sorted(planned, key=lambda one: not one.folder.exists()):  # where it stands already, it is found
        shared.setdefault(one.identity, one.folder)
    return [replace(one, folder=shared[one.identity]) for one in planned]


def _planned(point: Point, seed: int, folder: Path) -> PlannedRun:
    config = replace(point.config, seed=seed)
    own = folder / point.experiment / _as_folder(point) / f"seed-{seed}"
    return PlannedRun(point, config, config_fingerprint(config.settings()), own)


def _as_folder(point: Point) -> str:
    label = point.label + ("images" if point.config.data.own_files else "")
    kept = "".join(character if character.isalnum() or character in "-._," else "_" for character in label)
    return kept.strip("_")


def length(config: Config) -> float:
    """The relative duration of a run, by which the longest ones start first."""
    cost = 100 if config.model.is_recurrent else 1  # of a step
    return cost * config.trainer.max_epochs / config.data.batch_size


def shortened(point: Point) -> Point:
    """The point with so few epochs and batches that it takes seconds: to see that it trains, not what comes of it."""
    trainer = replace(point.config.trainer, max_epochs=min(point.config.trainer.max_epochs, QUICK_EPOCHS))
    recurrent = point.config.model.is_recurrent
    batches = QUICK_REVIEW_BATCHES if recurrent else QUICK_BATCHES
    trainer.limit_train_batches = min(batches, trainer.limit_train_batches or batches)
    changed = [f"trainer.max_epochs={trainer.max_epochs}", f"trainer.limit_train_batches={trainer.limit_train_batches}"]
    if recurrent:
        trainer.limit_val_batches = trainer.limit_test_batches = 1
        changed += ["trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]
    return replace(point, config=replace(point.config, trainer=trainer), overrides=(*point.overrides, *changed))


def on_images(point: Point, folder: Path) -> Point:
    """The point with CIFAR-10 read from a tree of images, train/CLASS/* and test/CLASS/*; others as they are."""
    images = point.config.data.in_image_folder(str(folder))
    if images is point.config.data:
        return point
    overrides = (*point.overrides, "data=image_folder", f"data.root={folder}")
    return replace(point, config=replace(point.config, data=images), overrides=overrides)
