"""Text files with a target each: their stamps, and reading them with an error that names all damaged ones."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from dlproj.data.data_files import brief, refuse_problems
from dlproj.data.tokenized import LabelledTexts
from dlproj.loop_progress import progress


class TextFile(NamedTuple):
    """A file's path, its target, the stamp (file, size, time) on which the cache's name depends, and its size."""

    path: str
    target: int
    stamp: str
    size: int


def text_file(path: str, target: int, name: str, status: os.stat_result) -> TextFile:
    """The file of this status; `name` is its path below the folder of the data."""
    return TextFile(path, target, f"{name} {status.st_size} {status.st_mtime_ns}", status.st_size)


def labelled(files: Sequence[TextFile], what: str, advice: str) -> LabelledTexts:
    """The texts of the files, in this order, read on demand.

    Reading them raises DataError, naming the files that are no UTF-8 text. what: "reviews", for messages that end with
    the advice.
    """
    texts = partial(_texts, files, what, advice)
    return LabelledTexts(
        texts, [file.target for file in files], [file.stamp for file in files], sum(file.size for file in files)
    )


def _texts(files: Sequence[TextFile], what: str, advice: str) -> Iterator[str]:
    for file in progress(files, f"reading {what}", delay=2):
        try:
            yield _text(file.path)
        except (OSError, ValueError):
            refuse_problems((_problem(other.path) for other in files), what, advice)


def _text(path: str) -> str:
    with open(path, "rb") as file:
        text = file.read().decode("utf-8-sig")
    if "\0" in text:
        raise ValueError("it holds null characters")
    return text


def _problem(path: str) -> str:
    try:
        _text(path)
    except (OSError, ValueError) as error:
        return f"{path} is not readable UTF-8 text ({brief(error)})"
    return ""
