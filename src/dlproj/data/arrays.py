"""Samples and their labels as arrays, x_train, y_train and perhaps x_test, y_test: checked, in the layout of dlproj."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dlproj.config.checks import DataError, one_line
from dlproj.config.data import DataSpec, Kind, Side
from dlproj.config.images import image_spec
from dlproj.data.data_files import brief
from dlproj.file_systems import why

NAMES = ("x_train", "y_train", "x_test", "y_test")  # as in the files that Keras's mnist.load_data() reads
_SHAPES = {
    Kind.image: "images (n, height, width), (n, height, width, 1 or 3) or (n, 1 or 3, height, width)",
    Kind.features: "features (n, features)",
    Kind.sequence: "ids (n, length)",
}


class Arrays(NamedTuple):
    """Training and test samples; the latter are None if the data has no test set.

    x: uint8 or float32 images (n, channels, height, width), float32 features (n, features), int32 ids (n, length). y:
    labels (n,), whole numbers or names.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray | None
    y_test: np.ndarray | None
    classes: tuple[str, ...]  # of y_train: numbers in their order, names by the alphabet
    columns: tuple[str, ...] = ()  # names of the features, if they came from a DataFrame

    def spec(self, kind: Kind, padding: Side | None = None) -> DataSpec:
        """Kind, shape and classes; of sequences also where they are padded, and ids up to the largest."""
        if kind is Kind.image:
            channels, height, width = self.x_train.shape[1:]
            return image_spec((channels, height, width), self.classes)
        if kind is Kind.features or padding is None:
            return DataSpec(kind, self.x_train.shape[1:], self.classes)
        return DataSpec(kind, self.x_train.shape[1:], self.classes, 1 + self.largest_id(), padding.value)

    def largest_id(self) -> int:
        """The largest number in x_train and x_test."""
        return int(max(x.max() for x in (self.x_train, self.x_test) if x is not None))


def read_arrays(file: str, kind: Kind) -> Arrays:
    """Read an .npz file. Raises DataError."""
    advice = "set data.file to an .npz file with " + ", ".join(NAMES)
    if not file:
        raise DataError(f"data.file is empty: {advice}")
    try:
        with zipfile.ZipFile(Path(file).expanduser()) as members:
            held = members.namelist()
        with np.load(Path(file).expanduser()) as content:
            parts = {name: content[name] for name in (*NAMES, "columns") if f"{name}.npy" in held}
    except OSError as error:
        raise DataError(f"data.file={file} cannot be read ({why(error)}): {advice}") from error
    except (EOFError, NotImplementedError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"data.file={file} cannot be read ({brief(error)}): {advice}") from error
    wanted = NAMES if {"x_test", "y_test"} & parts.keys() else NAMES[:2]
    if lacking := [name for name in wanted if name not in parts]:
        raise DataError(f"data.file={file} has no {' and no '.join(lacking)}: write them with numpy.savez")
    return checked_arrays(kind, **parts)


def checked_arrays(
    kind: Kind, x_train: Any, y_train: Any, x_test: Any = None, y_test: Any = None, columns: Sequence[str] = ()
) -> Arrays:
    """Check the arrays against each other and put them in dlproj's layout. Raises DataError."""
    parts: dict[str, Any] = {"x_test": None, "y_test": None}
    given = [("train", x_train, y_train), ("test", x_test, y_test)]
    for split, x, y in given if x_test is not None else given[:1]:
        parts[f"x_{split}"] = samples = _as_samples(kind, x, f"x_{split}")
        parts[f"y_{split}"] = labels = _labels(y, f"y_{split}")
        if len(samples) != len(labels):
            have = f"x_{split} has the shape {np.shape(x)}, y_{split} {np.shape(y)}"
            raise DataError(f"{have}: give each of the {len(samples)} samples one label, ({len(samples)},)")
    if x_test is not None:
        _check_equal_samples(parts["x_train"], parts["x_test"])
    names = tuple(map(str, columns)) if len(columns) == parts["x_train"].shape[1] else ()
    return Arrays(**parts, classes=_classes(parts["y_train"], parts["y_test"]), columns=names)


def _as_samples(kind: Kind, x: Any, name: str) -> np.ndarray:
    """The samples in dlproj's layout and type; `name` is what messages call them. Raises DataError."""
    values = np.asarray(x)
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {values.dtype} of the shape {values.shape}: give numbers, {_SHAPES[kind]}")
    laid_out = _images(values) if kind is Kind.image else values if values.ndim == 2 else None
    if laid_out is None or 0 in values.shape:
        empty = " and holds nothing" if 0 in values.shape else ""
        raise DataError(f"{name} has the shape {values.shape}{empty}: give {_SHAPES[kind]}")
    _check_finite(values, name)
    return np.ascontiguousarray(_of_type(kind, laid_out, name))


def _images(values: np.ndarray) -> np.ndarray | None:
    """Images as (n, channels, height, width); None if they have another shape."""
    if values.ndim == 3:
        return values[:, None]
    if values.ndim == 4 and values.shape[-1] in (1, 3):
        return np.moveaxis(values, -1, 1)
    return values if values.ndim == 4 and values.shape[1] in (1, 3) else None


def _check_finite(values: np.ndarray, name: str) -> None:
    largest = np.finfo(np.float32).max
    odd = ~(np.abs(values) <= largest) if values.dtype.kind == "f" else np.zeros(1, bool)
    if odd.any():
        first = tuple(map(int, np.argwhere(odd)[0]))
        found = f"{name} has {odd.sum():,} values that are not finite in float32, the first at {first}"
        raise DataError(f"{found}: fill them in, or leave those samples out")


def _of_type(kind: Kind, values: np.ndarray, name: str) -> np.ndarray:
    if kind is Kind.features or (kind is Kind.image and values.dtype.kind == "f"):
        return values.astype(np.float32, copy=False)
    low, high = values.min(), values.max()
    last = 255 if kind is Kind.image else 2**31 - 2
    whole = values.dtype.kind != "f" or bool((values == np.floor(values)).all())
    if not (whole and low >= 0 and high <= last):
        needed = f"{'pixels' if kind is Kind.image else 'ids'}, whole numbers from 0 to {last}"
        raise DataError(f"{name} holds {values.dtype} from {low:g} to {high:g}: give {needed}")
    return values.astype(np.uint8 if kind is Kind.image else np.int32, copy=False)


def _labels(y: Any, name: str) -> np.ndarray:
    """Labels (n,): whole numbers or names, of one type. Raises DataError."""
    mixed = isinstance(y, list | tuple) and any(
        isinstance(label, str) for label in y
    )  # NumPy would make all of them text
    values = np.asarray(y, object) if mixed else np.asarray(y)
    labels = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values  # a column, as Keras loads CIFAR-10
    if labels.ndim != 1:
        advice = "give one label a sample, (n,); for one-hot labels that is y.argmax(1)"
        raise DataError(f"{name} has the shape {values.shape}: {advice}")
    if labels.dtype.kind == "O":
        if not all(isinstance(label, str) for label in labels.tolist()):
            raise DataError(f"{name} holds labels of mixed types, or missing ones: give whole numbers or names")
        labels = labels.astype(str)
    if labels.dtype.kind == "f" and (np.abs(labels) < 2**63).all() and (labels == np.floor(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "biuU":
        raise DataError(f"{name} holds {values.dtype} labels: give whole numbers or names")
    return labels


def _check_equal_samples(train: np.ndarray, test: np.ndarray) -> None:
    if train.shape[1:] != test.shape[1:]:
        needed = f"(n, {', '.join(map(str, train.shape[1:]))}) as x_train"
        raise DataError(f"the samples of x_test have the shape {test.shape[1:]}: x_test needs {needed}")
    if train.dtype != test.dtype:
        raise DataError(f"x_train is {train.dtype} and x_test {test.dtype}: give both as one of these")


def _classes(y_train: np.ndarray, y_test: np.ndarray | None) -> tuple[str, ...]:
    """Names of the classes. Raises DataError for labels that only the test has, and for one class."""
    classes = tuple(map(str, np.unique(y_train).tolist()))
    if len(classes) < 2:
        raise DataError(f"y_train has one class only, {one_line(classes[0])}: give samples of two or more")
    if unusable := next((name for name in classes if one_line(name) != name or not name.strip()), None):
        raise DataError(f"y_train has a class {unusable!a}, which cannot be written on a page: rename it")
    tested = [] if y_test is None else np.unique(y_test).tolist()
    if unseen := sorted(set(map(str, tested)) - set(classes)):
        named = one_line(", ".join(unseen[:5]))
        raise DataError(f"y_test has labels that y_train lacks, {named}: its classes are {', '.join(classes[:10])}")
    return classes
