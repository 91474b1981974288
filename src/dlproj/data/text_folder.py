"""A user's own tree of text files: train/CLASS/*.txt and test/CLASS/*.txt."""

import os
from collections.abc import Sequence
from pathlib import Path

from dlproj.config.checks import DataError
from dlproj.config.texts import TextFolderConfig, Tokens
from dlproj.data.class_folders import Split, list_split, splits_of, warn_unread
from dlproj.data.data_files import data_root, fixed_order
from dlproj.data.shared import shared
from dlproj.data.text_files import TextFile, labelled, text_file
from dlproj.data.texts import TextDataModule
from dlproj.data.tokenized import LabelledTexts, TokenizedTexts, tokenized
from dlproj.file_systems import why

EXTENSIONS = (".txt",)
CACHE = "tokenized-texts"  # the first part of the cache's name
WORTH_KEEPING = 2**20  # bytes of text, tokenised in about 0.1 s: the cache of fewer is not kept
_ADVICE = ": save them as UTF-8, or remove them"


class TextFolderDataModule(TextDataModule):
    """The texts of a tree, in a fixed order (data_files.fixed_order) that is not sorted by class."""

    config: TextFolderConfig

    def prepare_data(self) -> None:
        """Tokenise the texts, and warn about files that are left out, on one process per machine."""
        if hasattr(self, "train"):
            return
        self._tokenized, splits = self._read()
        warn_unread(data_root(self.config.root), splits)

    def labelled_texts(self) -> list[LabelledTexts]:
        """The texts of train/ and, if there is one, test/. Raises DataError."""
        return _texts(data_root(self.config.root), _list(self.config.root, self.spec.classes))

    def read(self) -> TokenizedTexts:
        """The tokens of the texts. Raises DataError, naming the files that are not UTF-8 text."""
        return self._read()[0]

    def _read(self) -> tuple[TokenizedTexts, list[Split]]:
        return read_folder(self.config.root, self.spec.classes, self.config.tokens)


@shared
def read_folder(root: str, classes: Sequence[str], tokens: Tokens) -> tuple[TokenizedTexts, list[Split]]:
    """Return the tokenised texts of the tree, from the cache in it if there is one, and its files.

    Raises DataError.
    """
    folder, splits = data_root(root), _list(root, classes)
    train, *test = _texts(folder, splits)
    found = tokenized(train, next(iter(test), None), tokens, len(classes), folder / CACHE, WORTH_KEEPING)
    return found, splits


def _list(root: str, classes: Sequence[str]) -> list[Split]:
    return [list_split(folder, classes, EXTENSIONS) for folder in splits_of(root)]


def _texts(root: Path, splits: Sequence[Split]) -> list[LabelledTexts]:
    ordered = [fixed_order(split.files) for split in splits]
    listed = [[_with_stamp(root, path, target) for path, target in files] for files in ordered]
    return [labelled(files, "texts", _ADVICE) for files in listed]


def _with_stamp(root: Path, path: str, target: int) -> TextFile:
    try:
        return text_file(path, target, path.removeprefix(f"{root}{os.sep}"), os.stat(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({why(error)}): replace or delete it") from error
