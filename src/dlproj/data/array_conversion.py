"""Whatever a user hands in as samples and labels, as arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from dlproj.config.checks import DataError
from dlproj.config.data import Kind
from dlproj.data.arrays import NAMES, Arrays, checked_arrays


def arrays_of(kind: Kind, data: Sequence[Any]) -> Arrays:
    """Arrays, tensors, DataFrames or lists (x_train, y_train) or (x_train, y_train, x_test, y_test), checked.

    Raises DataError.
    """
    check_parts(data)
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
    return checked_arrays(kind, inputs[0], labels[0], inputs[1], labels[1], columns)


def check_parts(data: Sequence[Any]) -> None:
    """Raise DataError unless there are four, or two without a test set."""
    if len(data) not in (2, len(NAMES)):
        named = f"give {len(NAMES)}, ({', '.join(NAMES)}), or 2 without a test set"
        raise DataError(f"data has {len(data)} parts: {named}")


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
