"""The user's arrays as data: written to a file once, under a name that their content gives, and read from there."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from dlproj.api.composing import composed
from dlproj.config.data import Kind
from dlproj.config.rnn import RNNConfig
from dlproj.config.whole_files import write_whole
from dlproj.data.array_conversion import arrays_of, as_numpy, check_parts
from dlproj.data.arrays import NAMES, Arrays
from dlproj.runs.choosing import LOGS

GROUPS = {Kind.image: "image_arrays", Kind.features: "feature_arrays", Kind.sequence: "sequence_arrays"}

_CHOOSE_MODEL = ("model", "experiment", "+experiment")


def stored_arrays(data: Sequence[Any], typed: Sequence[str], folder: Path = LOGS / "arrays") -> tuple[str, Path]:
    """Choice of the group data for (x_train, y_train) or with x_test, y_test, and the file in `folder` that holds them.

    typed: the other overrides, since whole numbers (n, k) are ids for a recurrent model and features for others. Raises
    DataError.
    """
    check_parts(data)
    kind = _kind(as_numpy(data[0]), typed)
    return GROUPS[kind], stored_as(kind, data, folder)


def stored_as(kind: Kind, data: Sequence[Any], folder: Path = LOGS / "arrays") -> Path:
    """The file in `folder` that holds (x_train, y_train) or (x_train, y_train, x_test, y_test). Raises DataError."""
    return _stored(arrays_of(kind, data), folder)


def stored_table(frame: pd.DataFrame, folder: Path = LOGS / "arrays") -> Path:
    """The CSV file in `folder` that holds the table, without its index; written if it is not there."""
    content = frame.to_csv(index=False).encode()
    path = (folder / f"{hashlib.sha256(content).hexdigest()[:16]}.csv").absolute()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    return path


def _kind(x: np.ndarray, typed: Sequence[str]) -> Kind:
    if x.ndim > 2:
        return Kind.image
    is_whole = x.dtype.kind in "iu" or (x.dtype.kind == "f" and bool((x == np.floor(x)).all()))
    return Kind.sequence if x.ndim == 2 and is_whole and _is_recurrent(typed) else Kind.features


def _is_recurrent(typed: Sequence[str]) -> bool:
    parts = (text.partition("=") for text in typed)
    chosen = [f"{group}={values.split(',')[0]}" for group, _, values in parts if group in _CHOOSE_MODEL]
    model, _ = composed([*chosen, "data=digits"], lambda settings: OmegaConf.get_type(settings.model))
    return issubclass(model, RNNConfig)


def _stored(arrays: Arrays, folder: Path) -> Path:
    """The file with these arrays, written if it is not there."""
    parts = {name: part for name in NAMES if (part := getattr(arrays, name)) is not None}
    digest = hashlib.sha256(repr(arrays.columns).encode())
    for name, part in parts.items():
        digest.update(f"{name} {part.dtype} {part.shape}".encode())
        digest.update(np.ascontiguousarray(part).view(np.uint8).data)
    path = (folder / f"{digest.hexdigest()[:16]}.npz").absolute()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as beside:  # no reader sees half a file
            np.savez(Path(beside, path.name), **parts, columns=np.array(arrays.columns, str))
            os.replace(Path(beside, path.name), path)
    return path
