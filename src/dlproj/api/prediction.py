"""Whatever a user hands in as samples, as stored inputs of a run's data; and what the run says of them."""

from collections.abc import Mapping
from numbers import Number
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from torch import Tensor

from dlproj.config.checks import DataError
from dlproj.config.data import Kind
from dlproj.data.array_conversion import as_numpy, in_order
from dlproj.data.array_modules import FeatureArraysDataModule
from dlproj.data.image import ImageDataModule
from dlproj.data.table import TableDataModule
from dlproj.inference.tables import Tabular, are_tables, class_table, read_stored
from dlproj.inference.trained import LoadedRun

_IN_PNG = ("1", "I", "I;16", "L", "LA", "P", "RGB", "RGBA")  # modes that a PNG file can hold


def predicted(run: LoadedRun, x: Any) -> pd.DataFrame:
    """A row a sample, by as_stored()'s index: its `class`, then the probability of each class."""
    return class_table(run, *as_stored(run, x))


def as_stored(run: LoadedRun, x: Any) -> tuple[Tensor, Any]:
    """Stored inputs (N, …) of the samples, and an index: a DataFrame's or Series', else files or texts by themselves.

    Raises DataError.
    """
    if isinstance(run.data, Tabular) and _is_table(run.data, x):
        return _of_table(run.data, x)
    if isinstance(x, pd.Series) and len(x) and isinstance(x.iloc[0], Number):
        x = x.to_frame().T  # a row of a table
    index = x.index if isinstance(x, pd.DataFrame | pd.Series) else None
    if isinstance(x, pd.DataFrame) and isinstance(run.data, FeatureArraysDataModule) and run.data.columns:
        x = in_order(x, run.data.columns)
    samples = x if isinstance(x, np.ndarray | Tensor | pd.DataFrame) else _listed(x)
    if isinstance(samples, list):
        if not samples:
            raise DataError("there are no samples: hand in at least one")
        if isinstance(samples[0], Image.Image):
            return torch.cat([_pixels(run, image) for image in samples]), index
        if isinstance(samples[0], str | Path):
            return _read(run, samples, index)
    stored = _fitting(run, _as_tensor(samples))
    if len(stored) == 0:
        raise DataError("there are no samples: hand in at least one")
    return stored, index


def _is_table(data: Tabular, x: Any) -> bool:
    """Whether x is a table to the run; to one on texts a DataFrame is, and the Path of a table file, but no str."""
    if isinstance(data, TableDataModule) or isinstance(x, pd.DataFrame):
        return True
    return isinstance(x, Path) and are_tables(data, [x])


def _of_table(data: Tabular, x: Any) -> tuple[Tensor, Any]:
    """Rows of a DataFrame, of a table file, or of mappings from columns to values; a Series is a row."""
    if isinstance(x, str | Path):
        frame, stored = read_stored(data, x)
        return stored, frame.index
    if isinstance(x, pd.Series):
        x = x.to_frame().T.infer_objects()
    elif isinstance(x, Mapping) or (isinstance(x, list) and x and isinstance(x[0], Mapping)):
        x = pd.DataFrame([x] if isinstance(x, Mapping) else x)
    if not isinstance(x, pd.DataFrame) or not len(x):
        raise DataError("the run reads rows of a table: hand in a DataFrame with at least one row, or a table file")
    return data.encode_frame(x.set_axis(x.columns.map(str), axis=1)), x.index


def _listed(x: Any) -> list[Any]:
    return list(x) if isinstance(x, list | tuple | pd.Series) else [x]


def _as_tensor(samples: Any) -> Tensor:
    """Numbers as a tensor. Raises DataError where they are none, or rows differ in length."""
    if isinstance(samples, Tensor):
        return samples
    values = as_numpy(samples)
    if values.dtype.kind not in "biuf":
        raise DataError(f"the samples are {values.dtype} of the shape {values.shape}: hand in numbers")
    return torch.from_numpy(values.astype(values.dtype.newbyteorder("="), copy=True))  # writable, of this machine


def _read(run: LoadedRun, samples: list[Any], index: Any) -> tuple[Tensor, Any]:
    """Image files by their paths; texts as they are, or from files that a Path names."""
    names = [str(sample) for sample in samples] if index is None else index
    if run.data.spec.kind is not Kind.image:
        texts = [sample.read_text(encoding="utf-8") if isinstance(sample, Path) else sample for sample in samples]
        return run.data.encode(texts), names
    decoded = run.data.decode([Path(sample) for sample in samples])
    if problem := next(filter(None, decoded.problems), None):
        raise DataError(problem)
    return decoded.pixels, names


def _pixels(run: LoadedRun, image: Image.Image) -> Tensor:
    """A PIL image as stored pixels (1, channels, height, width), read as its file would be."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode not in _IN_PNG:
        upright = upright.convert("RGB")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "image.png"
        upright.save(path)
        return _read(run, [path], None)[0]


def _fitting(run: LoadedRun, values: Tensor) -> Tensor:
    """Samples (N, …), or a single one (…), in the run's layout; images may have channels last, or none if grey."""
    shape = tuple(run.data.spec.shape)
    for samples in (values, values[None]) if values.dim() else ():
        for layout in _layouts(samples, run.data.spec.kind):
            if tuple(layout.shape[1:]) == shape:
                return _of_type(run, layout)
    needed = ", ".join(map(str, shape))
    message = f"the samples have the shape {tuple(values.shape)}, the run needs (n, {needed})"
    raise DataError(f"{message}, or one sample of the shape {shape}")


def _layouts(samples: Tensor, kind: Kind) -> list[Tensor]:
    if kind is not Kind.image:
        return [samples]
    channels_last = [samples.movedim(-1, 1)] if samples.dim() == 4 else []
    return [samples, *channels_last, samples[:, None]]


def _of_type(run: LoadedRun, values: Tensor) -> Tensor:
    kind = run.data.spec.kind
    has_floats = kind is Kind.image and run.data.pixel_dtype.is_floating_point
    if has_floats and not values.is_floating_point():
        raise DataError(f"the samples are {_type(values)}, the run was trained with float images: hand in such pixels")
    if kind is Kind.features or has_floats:
        if not values.isfinite().all():
            raise DataError("the samples have numbers that are not finite: fill them in, or leave those rows out")
        return values.float()
    values = _whole_numbers(run, values)
    return values.byte() if kind is Kind.image else values.long()


def _type(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")


def _whole_numbers(run: LoadedRun, values: Tensor) -> Tensor:
    """Pixels or ids of words, within the range that the run reads. Raises DataError."""
    spec = run.data.spec
    is_image = spec.kind is Kind.image
    last = run.data.highest_pixel if isinstance(run.data, ImageDataModule) else (spec.vocabulary_size or 0) - 1
    words = f"{'pixels' if is_image else 'ids of words'} from 0 to {last}, as whole numbers"
    if values.is_floating_point() and not bool((values.isfinite() & (values == values.floor())).all()):
        raise DataError(f"the samples are {_type(values)}, the run needs {words}")
    if values.numel() and not (int(values.min()) >= 0 and int(values.max()) <= last):
        raise DataError(f"the samples lie between {int(values.min())} and {int(values.max())}, the run needs {words}")
    return values
