"""What a run's model says of images, texts or numbers that a user hands in."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from dlproj.data.base import Kind
from dlproj.data.decoding import EXTENSIONS
from dlproj.data.files import brief
from dlproj.inference.trained import Trained
from dlproj.models.losses import class_probabilities, scores
from dlproj.settings import DataError, UserError

_TEXT_EXTENSIONS = (".txt",)
_STANDARD_INPUT = "standard input"


class Item(NamedTuple):
    """One thing to classify: an image's file, or a text with the words to name it by."""

    name: str
    content: Path | str


@dataclass(frozen=True, slots=True)
class Prediction:
    """The most likely classes of one item, the likeliest first."""

    name: str
    classes: list[str]
    probabilities: list[float]  # what the output layer says of each: raw outputs where it has no activation
    converted: str  # what an image was before it was converted, else ""


def predict(trained: Trained, items: Iterable[Item], top: int = 1, batch_size: int = 1000) -> Iterator[Prediction]:
    """The items' classes in the order of the items, worked out by the batch. Raises DataError at the first bad item."""
    waiting = iter(items)
    while batch := list(islice(waiting, batch_size)):
        yield from _predict_batch(trained, batch, top)


def _predict_batch(trained: Trained, batch: list[Item], top: int) -> Iterator[Prediction]:
    contents = [item.content for item in batch]
    conversions = [""] * len(batch)
    if trained.data.spec.kind is Kind.image:
        stored, conversions = trained.data.decode([Path(content) for content in contents])
    else:
        stored = trained.data.encode([str(content) for content in contents])
    logits = trained.logits(stored)
    # By the logits, as accuracy counts: probabilities that are nearly 1 can round to the same number.
    best = scores(logits).sort(dim=1, descending=True, stable=True).indices[:, :top]
    probabilities = class_probabilities(logits, trained.model.activation).gather(1, best)
    for item, places, values, converted in zip(batch, best.tolist(), probabilities.tolist(), conversions, strict=True):
        yield Prediction(item.name, [trained.model.classes[place] for place in places], values, converted)


def read_inputs(kind: Kind, arguments: Sequence[str], by_line: bool = False) -> Iterator[Item]:
    """What the arguments name, for a model that reads this kind of data; without any, standard input.

    For images: files and folders. Else: files of one text each, or by_line of one text a line; folders of such files;
    `-` for standard input, one text a line; and what is none of these is a text itself. Raises UserError.
    """
    if not arguments and sys.stdin.isatty():
        raise UserError(f"nothing to predict: name {_wanted(kind)}")
    for argument in arguments or ["-"]:
        yield from _image_files(argument) if kind is Kind.image else _texts(kind, argument, by_line)


def _wanted(kind: Kind) -> str:
    return "image files or folders" if kind is Kind.image else "a text, a text file, or - for standard input"


def _image_files(argument: str) -> Iterator[Item]:
    path = Path(argument)
    if path.is_dir():
        for file in _files_below(path, EXTENSIONS):
            yield Item(str(file), file)
    elif path.exists():
        yield Item(argument, path)
    elif argument == "-":
        raise UserError(f"the model reads images, not standard input: name {_wanted(Kind.image)}")
    else:
        raise UserError(f"no file {argument!r}: the model reads images, so name {_wanted(Kind.image)}")


def _files_below(folder: Path, extensions: tuple[str, ...]) -> list[Path]:
    """All files with these extensions in the folder and below it, sorted, without hidden ones."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if name.lower().endswith(extensions) and name[0] != "."]
    if not found:
        raise DataError(f"{folder} holds no such files as the model reads ({' '.join(extensions)}): name another")
    return sorted(found)


def _texts(kind: Kind, argument: str, by_line: bool) -> Iterator[Item]:
    if not argument.strip():
        raise UserError("an empty text: write some words")
    if argument == "-":
        yield from _lines(sys.stdin.buffer, _STANDARD_INPUT)
    elif _exists(argument):
        by_line = by_line or kind is Kind.features
        path = Path(argument)
        for file in _files_below(path, _TEXT_EXTENSIONS) if path.is_dir() else [path]:
            yield from _lines_of(file) if by_line else [Item(str(file), _whole(file))]
    else:
        yield Item(argument, argument)


def _exists(argument: str) -> bool:
    try:
        return Path(argument).exists()
    except (OSError, ValueError):  # too long for a file's name, or with a null character in it
        return False


def _lines_of(path: Path) -> Iterator[Item]:
    _refuse_image(path)
    try:
        with path.open("rb") as file:
            yield from _lines(file, str(path))
    except OSError as error:
        raise _unreadable(path, error) from error


def _lines(file: BinaryIO, name: str) -> Iterator[Item]:
    """A text a line, without blank ones."""
    empty = True
    for number, line in enumerate(file, 1):
        text = _decoded(line, f"line {number} of {name}").strip()
        if text:
            empty = False
            yield Item(text, text)
    if empty:
        raise DataError(f"{name} is empty: write a text a line")


def _whole(path: Path) -> str:
    _refuse_image(path)
    try:
        text = _decoded(path.read_bytes(), str(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    if not text.strip():
        raise DataError(f"{path} is empty: write a text into it")
    return text


def _refuse_image(path: Path) -> None:
    if path.suffix.lower() in EXTENSIONS:
        raise DataError(f"{path} is an image, but the model reads texts: name a text file")


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read ({brief(error)}): name a text file")


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no UTF-8 text ({brief(error)}): convert it to UTF-8") from error
