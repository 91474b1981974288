"""Samples held out of a set, stratified by class or by whole groups: the splits of scikit-learn.

Each function returns the sorted indices of the samples that are kept, and of those held out.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dlproj.config.checks import DataError


class Strata(NamedTuple):
    """What decides a split of N samples."""

    targets: Tensor  # int64 (N,): indices of the classes
    classes: Sequence[str]
    groups: Tensor | None = None  # int64 (N,): samples of one group stay together


def hold_out_fold(strata: Strata, folds: int, index: int, seed: int, share: str = "") -> tuple[Tensor, Tensor]:
    """Hold out one of the folds of StratifiedKFold, with groups of StratifiedGroupKFold. Raises DataError.

    share: the setting of the share that is held out, where it is not folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    targets, _, groups = strata
    wanted = f"{share} of the samples in whole groups needs" if share else f"{folds} folds need"
    advice = "set a larger share" if share else "set fewer folds"
    _check_classes(strata, folds, f"{wanted} {folds}")
    if groups is not None and (found := len(groups.unique())) < folds:
        raise DataError(f"{wanted} {folds} groups of samples, the data has {found}: {advice}")
    splitter: Any = StratifiedKFold if groups is None else StratifiedGroupKFold
    splits = splitter(folds, shuffle=True, random_state=seed).split(np.zeros(len(targets)), targets, groups)
    kept, held_out = list(splits)[index]
    return torch.from_numpy(kept), torch.from_numpy(held_out)


def hold_out_share(strata: Strata, share: float, seed: int, setting: str) -> tuple[Tensor, Tensor]:
    """Hold out a share of the samples of each class, by train_test_split. Raises DataError, naming the setting.

    With groups, one of about 1 / share folds.
    """
    typed = f"{setting}={share:g}"
    if strata.groups is not None:
        return hold_out_fold(strata, max(2, round(1 / share)), 0, seed, typed)
    from sklearn.model_selection import train_test_split

    _check_classes(strata, 2, "a stratified split needs 2")
    size, classes = len(strata.targets), len(strata.targets.unique())
    kept = int(size * (1 - share))  # rounded as Keras does
    if min(kept, size - kept) < classes:
        parts = f"{kept} + {size - kept} samples are too few to have {classes} classes in both"
        raise DataError(f"{typed}: {parts}: set another share")
    parts = train_test_split(
        np.arange(size), train_size=kept, test_size=size - kept, stratify=strata.targets, random_state=seed
    )
    return torch.from_numpy(np.sort(parts[0])), torch.from_numpy(np.sort(parts[1]))


def _check_classes(strata: Strata, least: int, need: str) -> None:
    classes, counts = strata.targets.unique(return_counts=True)
    if (fewest := int(counts.min())) < least:
        name = strata.classes[int(classes[counts.argmin()])]
        raise DataError(f"{need} samples of each class, {name} has {fewest}: add some, or leave the class out")
