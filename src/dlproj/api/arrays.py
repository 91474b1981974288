"""The user's arrays as data: written to a file once, under a name that their content gives, and read from there."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from dlproj.api.composing import composed
from dlproj.config.checks import DataError
from dlproj.config.data import Kind
from dlproj.config.rnn import RNNConfig
from dlproj.data.arrays import NAMES, Arrays, checked_arrays
from dlproj.runs.choosing import LOGS

_GROUPS = {Kind.image: "image_arrays", Kind.features: "feature_arrays", Kind.sequence: "sequence_arrays"}

_CHOOSE_MODEL = ("model", "experiment", "+experiment")


def stored_arrays(data: Sequence[Any], typed: Sequence[str], folder: Path = LOGS / "arrays") -> tuple[str, Path]:
    """Choice of the group data for (x_train, y_train, x_test, y_test), and the file in `folder` that holds them.

    typed: the other overrides, since whole numbers (n, k) are ids for a recurrent model and features for others. Raises
    DataError.
    """
    if len(data) != len(NAMES):
        raise DataError(f"data has {len(data)} parts: give {len(NAMES)}, ({', '.join(NAMES)})")
    parts = [_as_numpy(part) for part in data]
    kind = _kind(parts[0], typed)
    return _GROUPS[kind], _stored(checked_arrays(kind, *parts), folder)


def _as_numpy(part: Any) -> np.ndarray:
    """An array, tensor, DataFrame or list as an array."""
    try:
        return np.asarray(part.detach().cpu() if hasattr(part, "detach") else part)
    except ValueError as error:  # rows of several lengths
        reason = " ".join(str(error).split())
        raise DataError(f"data cannot be made an array ({reason}): give rows of one length") from error


def _kind(x: np.ndarray, typed: Sequence[str]) -> Kind:
    if x.ndim != 2:
        return Kind.image
    is_whole = x.dtype.kind in "iu"
    return Kind.sequence if is_whole and _is_recurrent(typed) else Kind.features


def _is_recurrent(typed: Sequence[str]) -> bool:
    parts = (text.partition("=") for text in typed)
    chosen = [f"{group}={values.split(',')[0]}" for group, _, values in parts if group in _CHOOSE_MODEL]
    model, _ = composed([*chosen, "data=digits"], lambda settings: OmegaConf.get_type(settings.model))
    return issubclass(model, RNNConfig)


def _stored(arrays: Arrays, folder: Path) -> Path:
    """The file with these arrays, written if it is not there."""
    parts = {name: getattr(arrays, name) for name in NAMES}
    digest = hashlib.sha256()
    for name, part in parts.items():
        digest.update(f"{name} {part.dtype} {part.shape}".encode())
        digest.update(np.ascontiguousarray(part).view(np.uint8).data)
    path = (folder / f"{digest.hexdigest()[:16]}.npz").absolute()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as beside:  # no reader sees half a file
            np.savez(Path(beside, path.name), **parts)
            os.replace(Path(beside, path.name), path)
    return path
