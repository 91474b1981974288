"""Prediction for a user's own images, texts or rows of numbers with a trained run."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from torch import Tensor

from dlproj.config.checks import DataError, UserError, one_line
from dlproj.config.data import Kind
from dlproj.data.data_files import brief, files_below, warn_left_out
from dlproj.data.decoding import EXTENSIONS
from dlproj.inference.trained import LoadedRun
from dlproj.models.losses import class_probabilities, scores

_TEXT_EXTENSIONS = (".txt",)
_OTHER_EXTENSIONS = (
    ".csv",
    ".doc",
    ".docx",
    ".gz",
    ".html",
    ".json",
    ".jsonl",
    ".md",
    ".npy",
    ".odt",
    ".pdf",
    ".rtf",
    ".tsv",
    ".xlsx",
    ".zip",
)
Report = Callable[[str], None]  # takes a line that says which input is left out, and why


class Item(NamedTuple):
    """An input to classify: an image file or a text, with the name to show for it."""

    name: str
    content: Path | str


@dataclass(frozen=True, slots=True)
class Prediction:
    """The most likely classes of an item, most likely first."""

    name: str
    classes: list[str]
    probabilities: list[float]  # of each class; raw outputs if the output layer has no activation
    converted: str  # the original form of a converted image, else ""


def refuse(problem: str) -> None:
    """A report that stops at the first problem. Raises DataError."""
    raise DataError(problem)


def predict(
    trained: LoadedRun, items: Iterable[Item], top: int = 1, batch_size: int = 1000, report: Report = refuse
) -> Iterator[Prediction]:
    """Classify the items in batches, keeping their order; an item that cannot be read is reported and skipped."""
    waiting = iter(items)
    while batch := list(islice(waiting, batch_size)):
        readable, stored, conversions = _stored(trained, batch, report)
        if readable:
            yield from predict_batch(trained, readable, stored, conversions, top)


def predict_batch(
    trained: LoadedRun, batch: list[Item], stored: Tensor, conversions: list[str], top: int
) -> Iterator[Prediction]:
    """Classify stored inputs (N, …) of N items; conversions are the original forms of converted images, else ""."""
    logits = trained.logits(stored)
    # Sorted by logits, like the accuracy: probabilities near 1 can round to the same value.
    best = scores(logits).sort(dim=1, descending=True, stable=True).indices[:, :top]
    probabilities = class_probabilities(logits, trained.model.activation).gather(1, best)
    for item, indices, values, converted in zip(batch, best.tolist(), probabilities.tolist(), conversions, strict=True):
        yield Prediction(item.name, [trained.model.classes[i] for i in indices], values, converted)


def _stored(trained: LoadedRun, batch: list[Item], report: Report) -> tuple[list[Item], Tensor, list[str]]:
    """Return the N readable items, their stored inputs (N, …) and the original forms of converted images."""
    if trained.data.spec.kind is not Kind.image:
        readable, stored = _encoded(trained, batch, report)
        return readable, stored, [""] * len(readable)
    decoded = trained.data.decode([Path(item.content) for item in batch])
    for problem in filter(None, decoded.problems):
        report(problem)
    kept = [i for i, problem in enumerate(decoded.problems) if not problem]
    return [batch[i] for i in kept], decoded.pixels[kept], [decoded.conversions[i] for i in kept]


def _encoded(trained: LoadedRun, batch: list[Item], report: Report) -> tuple[list[Item], Tensor]:
    try:
        return batch, trained.data.encode([str(item.content) for item in batch])
    except DataError:  # some item is invalid
        readable = [item for item in batch if _is_encodable(trained, item, report)]
        return readable, trained.data.encode([str(item.content) for item in readable])


def _is_encodable(trained: LoadedRun, item: Item, report: Report) -> bool:
    try:
        trained.data.encode([str(item.content)])
    except DataError as error:
        report(str(error))
        return False
    return True


def read_inputs(kind: Kind, arguments: Sequence[str], by_line: bool = False, report: Report = refuse) -> Iterator[Item]:
    """Yield the items that the arguments name, for a model that reads this kind of data; default: standard input.

    For images, arguments are files and folders. Otherwise they are files of one text each, or with by_line of one text
    per line; folders of such files; `-` for standard input, one text per line; any other argument is itself a text.
    Unreadable files and lines are reported. Raises UserError for an invalid argument, before anything is read.
    """
    if not arguments and (sys.stdin is None or sys.stdin.isatty()):
        raise UserError(f"nothing to predict: name {_wanted(kind)}")
    arguments = arguments or ["-"]
    for argument in arguments:
        _check_argument(kind, argument)
    return _items(kind, arguments, by_line, report)


def _wanted(kind: Kind) -> str:
    return "image files or folders" if kind is Kind.image else "a text, a text file, or - for standard input"


def _check_argument(kind: Kind, argument: str) -> None:
    if not argument.strip():
        raise UserError(f"an empty argument: name {_wanted(kind)}")
    if argument == "-":
        images = kind is Kind.image
        problem = "the model reads images, not standard input" if images else "standard input is closed"
        if images or sys.stdin is None:
            raise UserError(f"{problem}: name {_wanted(kind)}")
    elif _exists(argument):
        pass
    elif kind is Kind.image:
        raise UserError(f"no file {argument!r}: the model reads images, so name {_wanted(kind)}")
    elif _looks_like_a_file(argument):
        raise UserError(
            f"no file {argument!r}: name an existing file; pass a text that looks like a file name on standard input"
        )
    elif not _is_unicode(argument):
        raise UserError(f"{argument!r} is not UTF-8 text: convert it to UTF-8")


def _exists(argument: str) -> bool:
    try:
        return Path(argument).exists()
    except (OSError, ValueError):  # too long for a file name, or containing a null character
        return False


def _looks_like_a_file(argument: str) -> bool:
    """True if it ends in .txt, is one word with another known extension, or starts with an existing folder."""
    folder, name = argument.rpartition("/")[0], argument.lower()
    one_word = len(argument.split()) == 1 and name.endswith((*EXTENSIONS, *_OTHER_EXTENSIONS))
    return one_word or name.endswith(_TEXT_EXTENSIONS) or (folder != "" and _exists(folder))


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _items(kind: Kind, arguments: Sequence[str], by_line: bool, report: Report) -> Iterator[Item]:
    extensions = EXTENSIONS if kind is Kind.image else _TEXT_EXTENSIONS
    for argument in arguments:
        if argument == "-":
            yield from _lines_of_standard_input(report)
        elif not _exists(argument):
            yield Item(argument, argument)
        else:
            for file in _files(Path(argument), extensions, report):
                if kind is Kind.image:
                    yield Item(one_line(str(file)), file)
                else:
                    yield from _texts(file, by_line or kind is Kind.features, report)


def _files(path: Path, extensions: tuple[str, ...], report: Report) -> list[Path]:
    """Return the file itself, or the files of a folder."""
    if not path.is_dir():
        return [path]
    try:
        listing = files_below(path, extensions)
        listing.refuse_empty(path, extensions, "name another")
    except DataError as error:
        report(str(error))
        return []
    warn_left_out(listing.left_out, len(listing.found) + len(listing.left_out))
    return [*map(Path, listing.found)]


def _texts(path: Path, by_line: bool, report: Report) -> Iterator[Item]:
    """Yield the file's content as one text, or a text per line."""
    if path.suffix.lower() in EXTENSIONS:
        report(f"{path} is an image, but the model reads texts: name a text file")
        return
    try:
        with path.open("rb") as file:
            yield from _lines(file, str(path), report) if by_line else _single_text(file, path, report)
    except OSError as error:
        report(f"{path} cannot be read ({brief(error)}): name a text file")


def _lines_of_standard_input(report: Report) -> Iterator[Item]:
    try:
        yield from _lines(sys.stdin.buffer, "standard input", report)
    except OSError as error:
        report(f"standard input cannot be read ({brief(error)}): name {_wanted(Kind.sequence)}")


def _lines(file: BinaryIO, name: str, report: Report) -> Iterator[Item]:
    """Yield a text per line, without blank lines."""
    empty = True
    for number, line in enumerate(file, 1):
        text = _decoded(line, f"line {number} of {name}", report)
        if text is not None and not text.strip():
            continue
        empty = False
        if text is not None:
            yield Item(text.strip(), text.strip())
    if empty:
        report(f"{name} is empty: write one text per line")


def _single_text(file: BinaryIO, path: Path, report: Report) -> Iterator[Item]:
    text = _decoded(file.read(), str(path), report)
    if text is not None and text.strip():
        yield Item(one_line(str(path)), text)
    elif text is not None:
        report(f"{path} is empty: write a text into it")


def _decoded(content: bytes, name: str, report: Report) -> str | None:
    """Decode UTF-8, without the byte order mark of Windows editors; report an error and return None."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        report(f"{name} is not UTF-8 text ({brief(error)}): convert it to UTF-8")
        return None
