"""Data sets read by the package `datasets` of Hugging Face: of its hub by name, or a local folder or file."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dlproj.config.checks import ConfigurationError, DataError, UserError, one_line
from dlproj.config.data import Kind
from dlproj.data.arrays import Arrays, checked_arrays
from dlproj.data.data_files import Stamp, brief, refuse_problems, stamp
from dlproj.data.labelled_rows import LabelledRows, classes_of, labelled_rows

_log = logging.getLogger(__name__)
_BUILDERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet", ".arrow": "arrow"}
_LABELS = ("label", "labels", "target", "class")  # common names of the column of classes
_INDICES = ("id", "idx", "index", "__index_level_0__")  # numbers beside a text that make it no table
_NAMED = 10  # columns or splits that a message names
Roles = tuple[str, str | None, str]  # kind, input column and label column


@dataclass(frozen=True, slots=True)
class HubData:
    """A data set's training split and, where there is one, its test split: datasets.Dataset."""

    path: str
    train: Any
    test: Any

    def roles(self, kind: str | None, inputs: str | None, label: str | None) -> Roles:
        """What the columns are for, as told or else by their types, which is logged. Raises ConfigurationError."""
        told = (kind, inputs, label)
        for setting, name in (("input_column", inputs), ("label_column", label)):
            if name is not None and name not in self.train.features:
                message = f"data.path={self.path} has no column {name}: set data.{setting} to one of {self._names()}"
                raise ConfigurationError(message)
        label = label or self._label(inputs)
        types = {name: _type(feature) for name, feature in self.train.features.items() if name != label}
        kind, inputs = self._inputs(types, kind, inputs)
        if told != (kind, inputs, label):
            columns = inputs or ", ".join(name for name, type in types.items() if type == "numbers")
            _log.warning("data.path=%s: %s in %s, classes in %s", self.path, kind, one_line(columns), one_line(label))
        return kind, inputs, label

    def _label(self, inputs: str | None) -> str:
        names = [name for name in self.train.features if name != inputs]
        marked = [name for name in names if _is_class_label(self.train.features[name])]
        found = marked if len(marked) == 1 else [name for name in _LABELS if name in names][:1]
        if not found:
            message = f"data.path={self.path}: no column is known to hold classes: set data.label_column to one of"
            raise ConfigurationError(f"{message} {self._names()}")
        return found[0]

    def _inputs(self, types: dict[str, str], kind: str | None, inputs: str | None) -> tuple[str, str | None]:
        """Kind and input column. Raises ConfigurationError where the types leave it open."""
        if inputs is not None:
            own = types.get(inputs, "")
            if not own or kind not in (None, own):
                wanted = kind or "images, texts or numbers"
                raise ConfigurationError(f"data.input_column={inputs} does not hold {wanted}: set {self._names()}")
            return own, inputs
        of = {one: [name for name, type in types.items() if type == one] for one in ("images", "texts", "numbers")}
        found = kind or next((one for one, names in of.items() if names), "")
        names = of.get(found, [])
        if found == "numbers" and names:
            return found, None
        is_table = kind is None and found == "texts" and set(of["numbers"]) - set(_INDICES)
        if "text" in names or (len(names) == 1 and not is_table):
            return found, "text" if "text" in names else names[0]
        advice = f"data.kind, and data.input_column to one of {self._names()}"
        raise ConfigurationError(f"data.path={self.path} has several columns to learn from, or none: set {advice}")

    def _names(self) -> str:
        return one_line(", ".join(list(self.train.features)[:_NAMED]))

    def _splits(self) -> list[tuple[str, Any]]:
        splits = [split for split in (self.train, self.test) if split is not None]
        return [(f"data.path={self.path}, {split.split or 'train'}", split) for split in splits]

    def classes(self, label: str) -> tuple[str, ...]:
        """The classes of the training split. Raises DataError."""
        name, train = self._splits()[0]
        return classes_of(name, map(str, _labels(name, train, label)))

    def rows(self, inputs: str, label: str) -> list[LabelledRows]:
        """Texts and labels of each split. Raises DataError, naming the row, counted from 0."""
        return [
            labelled_rows(name, split[inputs], _labels(name, split, label), range(len(split)))
            for name, split in self._splits()
        ]

    def image_shape(self, inputs: str, channels: int | None, size: int | None) -> tuple[int, int, int]:
        """Channels, height and width: as set, or else of the first image. Raises DataError."""
        name, train = self._splits()[0]
        return _shape(_encoded(name, train.select([0]), inputs)[0], channels, size)

    def images(self, inputs: str, label: str, channels: int | None, size: int | None) -> Arrays:
        """Images in one size, with their labels. Raises DataError, naming the row, counted from 0."""
        parts = [_encoded(name, split, inputs) for name, split in self._splits()]
        shape = self.image_shape(inputs, channels, size)
        return self._arrays(Kind.image, [_pixels(part, shape) for part in parts], label)

    def number_columns(self, inputs: str | None, label: str) -> list[str]:
        """The input column, or all columns of numbers but the label."""
        own = [name for name, feature in self.train.features.items() if _type(feature) == "numbers" and name != label]
        return [inputs] if inputs else own

    def numbers(self, inputs: str | None, label: str) -> Arrays:
        """Columns of numbers, float32, with their labels. Raises DataError."""
        names = self.number_columns(inputs, label)
        tables = [np.column_stack([_numbers(part, split, name) for name in names]) for part, split in self._splits()]
        return self._arrays(Kind.features, tables, label, names)

    def _arrays(self, kind: Kind, x: list[np.ndarray], label: str, columns: Sequence[str] = ()) -> Arrays:
        y = [np.array(list(map(str, _labels(name, split, label)))) for name, split in self._splits()]
        x_test, y_test = (x[1], y[1]) if len(x) > 1 else (None, None)
        return checked_arrays(kind, x[0], y[0], x_test, y_test, columns)


def read_hub(path: str, subset: str | None, train: str, test: str | None) -> HubData:
    """Read the splits; a test split of None is "test", if there is one. Raises UserError."""
    splits = _load(path, subset, stamp(Path(path).expanduser()))
    for setting, name in (("train_split", train), ("test_split", test)):
        if name is not None and name not in splits:
            have = ", ".join(list(splits)[:_NAMED])
            raise ConfigurationError(f"data.path={path} has no split {name}: set data.{setting} to one of {have}")
    found = HubData(path, splits[train], splits.get(test or "test") if (test or "test") != train else None)
    if not len(found.train):
        raise DataError(f"data.path={path} has no samples in its split {train}: set data.train_split to another")
    return found


@lru_cache(maxsize=2)  # the settings read the columns and classes, then the data module the samples
def _load(path: str, subset: str | None, version: Stamp) -> dict[str, Any]:
    """The splits by name. Raises UserError."""
    try:
        import datasets
    except ImportError as error:
        raise ConfigurationError("data=hf needs the package datasets: pip install 'dlproj[hf]'") from error
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    local = Path(path).expanduser()
    try:
        if any((local / name).is_file() for name in ("dataset_dict.json", "state.json")):
            found = datasets.load_from_disk(str(local))
        elif local.is_file():
            found = _load_file(local)
        elif local.suffix.lower() in _BUILDERS and not local.exists():
            raise DataError(f"data.path={path} does not exist: name a file or folder that does, or a set of the hub")
        else:
            found = datasets.load_dataset(str(local) if local.exists() else path, subset)
    except UserError:
        raise
    except Exception as error:  # datasets raises almost any, of many packages
        raise DataError(f"data.path={path} cannot be read ({brief(_cause(error))}): {_advice(error, local)}") from error
    return dict(found) if isinstance(found, dict) else {"train": found}


def _load_file(path: Path) -> Any:
    import datasets

    if path.suffix.lower() not in _BUILDERS:
        raise ConfigurationError(f"data.path={path} is no file of {', '.join(_BUILDERS)}: name another, or a folder")
    options = {"delimiter": "\t"} if path.suffix.lower() == ".tsv" else {}
    return datasets.load_dataset(_BUILDERS[path.suffix.lower()], data_files={"train": str(path)}, **options)


def _cause(error: BaseException) -> BaseException:
    """What a file was refused for: datasets says only that it could not generate the data set."""
    return _cause(error.__cause__) if type(error).__name__ == "DatasetGenerationError" and error.__cause__ else error


def _advice(error: Exception, local: Path) -> str:
    if local.exists():
        return "correct the files, or name others"
    if isinstance(error, ConnectionError | OSError) and not isinstance(error, FileNotFoundError):
        return "connect to the network and run again, or set data.path to a local copy"
    return "set data.path to a name on the Hugging Face hub, or to a folder or file that exists"


def _type(feature: Any) -> str:
    """images, texts or numbers, or "" for a column of something else."""
    kind, dtype = type(feature).__name__, getattr(feature, "dtype", "")
    if kind == "Image":
        return "images"
    if kind != "Value" or not isinstance(dtype, str):
        return ""
    return "texts" if "string" in dtype else "numbers" if dtype.startswith(("int", "uint", "float", "bool")) else ""


def _is_class_label(feature: Any) -> bool:
    return type(feature).__name__ == "ClassLabel"


def _labels(name: str, split: Any, column: str) -> list[Any]:
    """Labels as names, numbers or texts. Raises DataError, naming a row without one."""
    feature, values = split.features[column], list(split[column])
    for row, value in enumerate(values):
        if value is None or (_is_class_label(feature) and value < 0):
            raise DataError(f"{name}: row {row} has no {column}: set data.test_split or train_split to a labelled one")
    return feature.int2str(values) if _is_class_label(feature) else values


def _numbers(name: str, split: Any, column: str) -> np.ndarray:
    """A column (n,), float64. Raises DataError, naming a row without a number."""
    values = np.array(list(split[column]), np.float64)
    odd = np.flatnonzero(~np.isfinite(values))
    if len(odd):
        advice = "fill it in, or use data=table, which fills in missing values"
        raise DataError(f"{name}: row {odd[0]} has no finite number in {column}: {advice}")
    return values


class _Encoded(NamedTuple):
    """An encoded image and what messages call it."""

    name: str
    content: bytes

    def read_bytes(self) -> bytes:
        """Return the content."""
        return self.content

    def __str__(self) -> str:
        return self.name


def _encoded(name: str, split: Any, column: str) -> list[_Encoded]:
    """The images as they are stored, not decoded. Raises DataError, naming a row without one."""
    from datasets import Image

    images = []
    for row, image in enumerate(split.cast_column(column, Image(decode=False))[column]):
        try:
            content = image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()
        except (OSError, TypeError) as error:
            raise DataError(f"{name}: row {row} has no image in {column}: correct it, or remove the row") from error
        images.append(_Encoded(f"{name}: row {row}", content))
    return images


def _shape(first: _Encoded, channels: int | None, size: int | None) -> tuple[int, int, int]:
    from PIL import Image

    try:
        with Image.open(BytesIO(first.content)) as image:
            own = (1 if image.mode[0] in "1LIF" else 3, image.height, image.width)
    except Exception as error:  # Pillow's decoders raise almost any exception on a damaged file
        raise DataError(f"{first} is damaged, or no image: correct it, or remove the row") from error
    return channels or own[0], size or own[1], size or own[2]


def _pixels(images: Sequence[_Encoded], shape: tuple[int, int, int]) -> np.ndarray:
    from dlproj.data.decoding import decode

    decoded = decode(images, shape)
    refuse_problems(decoded.problems, "images")
    return decoded.pixels.numpy()
