"""The user's arrays as data: written to a file once, under a name that their content gives, and read from there."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import OmegaConf

from dlproj.api.composing import composed
from dlproj.config.checks import DataError
from dlproj.config.data import Kind
from dlproj.config.rnn import RNNConfig
from dlproj.data.arrays import NAMES, Arrays, checked_arrays
from dlproj.runs.choosing import LOGS

GROUPS = {Kind.image: "image_arrays", Kind.features: "feature_arrays", Kind.sequence: "sequence_arrays"}

_CHOOSE_MODEL = ("model", "experiment", "+experiment")


def stored_arrays(data: Sequence[Any], typed: Sequence[str], folder: Path = LOGS / "arrays") -> tuple[str, Path]:
    """Choice of the group data for (x_train, y_train) or with x_test, y_test, and the file in `folder` that holds them.

    typed: the other overrides, since whole numbers (n, k) are ids for a recurrent model and features for others. Raises
    DataError.
    """
    _check_parts(data)
    kind = _kind(as_numpy(data[0]), typed)
    return GROUPS[kind], stored_as(kind, data, folder)


def _check_parts(data: Sequence[Any]) -> None:
    if len(data) not in (2, len(NAMES)):
        named = f"give {len(NAMES)}, ({', '.join(NAMES)}), or 2 without a test set"
        raise DataError(f"data has {len(data)} parts: {named}")


def stored_as(kind: Kind, data: Sequence[Any], folder: Path = LOGS / "arrays") -> Path:
    """The file in `folder` that holds (x_train, y_train) or (x_train, y_train, x_test, y_test). Raises DataError."""
    _check_parts(data)
    x_train, y_train, x_test, y_test = [*data, None, None][: len(NAMES)]
    columns = list(x_train.columns) if isinstance(x_train, pd.DataFrame) else []
    if isinstance(x_test, pd.DataFrame) and columns:
        x_test = in_order(x_test, columns)
    inputs = as_numpy(x_train), None if x_test is None else as_numpy(x_test)
    if np.ndim(y_train) > 1 and np.shape(y_train)[1:] == inputs[0].shape[1:] != (1,):
        raise DataError(
            f"y_train has the shape of samples, {np.shape(y_train)}: give ({', '.join(NAMES)}), in this order"
        )
    labels = _without_device(y_train), _without_device(y_test)
    return _stored(checked_arrays(kind, inputs[0], labels[0], inputs[1], labels[1], columns), folder)


def in_order(frame: pd.DataFrame, columns: Sequence[Any]) -> pd.DataFrame:
    """The columns of these names, in this order; others are left out. Raises DataError if one is missing."""
    named = frame.set_axis(frame.columns.map(str), axis=1)
    if missing := [str(name) for name in columns if str(name) not in named.columns]:
        raise DataError(f"the samples have no column {', '.join(missing[:5])}: the model reads {len(columns)} by name")
    return named[list(map(str, columns))]


def as_numpy(values: Any) -> np.ndarray:
    """An array, tensor, DataFrame, or list of them or of numbers, as an array. Raises DataError."""
    try:
        array = _converted(values)
    except (RuntimeError, TypeError, ValueError) as error:  # rows of several lengths, a sparse tensor
        reason = " ".join(str(error).split())
        message = f"the samples cannot be made an array ({reason}): give numbers, in rows of one length"
        raise DataError(message) from error
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.is_masked(array):
            raise DataError("the samples have masked values: fill them in, or leave those samples out")
        return array.data
    return array


def _converted(values: Any) -> np.ndarray:
    if isinstance(values, pd.DataFrame):
        return _of_columns(values)
    if isinstance(values, list | tuple) and any(hasattr(value, "detach") for value in values):
        return np.stack([_converted(value) for value in values])
    values = _without_device(values)
    return values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)


def _without_device(values: Any) -> Any:
    """A tensor as an array, bfloat16 as float32, which NumPy has; anything else as it is."""
    if not hasattr(values, "detach"):
        return values
    tensor = values.detach().cpu()
    return np.asarray(tensor.float() if tensor.dtype == torch.bfloat16 else tensor)


def _of_columns(frame: pd.DataFrame) -> np.ndarray:
    """Numbers of a table, whose columns may be of several types. Raises DataError, naming a column of another type."""
    array = frame.to_numpy()
    if array.dtype.kind in "biuf":
        return array
    for name, column in frame.items():
        if not pd.api.types.is_numeric_dtype(column):
            advice = "encode it as numbers, for example by pandas.get_dummies"
            raise DataError(f"the column {name} holds {column.dtype}, no numbers: {advice}")
    return frame.to_numpy(dtype=float, na_value=np.nan)


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
