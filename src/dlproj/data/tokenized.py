"""Labelled texts of both sets, split into words or characters, and the cache of them."""

import hashlib
import logging
import os
import uuid
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dlproj.config.texts import Tokens
from dlproj.data.data_files import brief
from dlproj.data.vocabulary import Texts, rank
from dlproj.torch_files import is_whole, load_plain

_VERSION = "1"  # increase it if a change to tokenize(), rank() or the order makes old caches wrong
_log = logging.getLogger(__name__)


class LabelledTexts(NamedTuple):
    """The texts of one set in their order, which are read on demand."""

    texts: Callable[[], Iterable[str]]
    targets: list[int]
    stamps: list[str]  # what the name of the cache depends on
    size: int  # of all texts, about, in bytes


@dataclass(frozen=True, slots=True)
class TokenizedTexts:
    """The texts of the training and the test set as tokens; None where there is no test set."""

    words: list[str]  # of the training texts, by descending frequency
    train: Texts
    train_targets: Tensor  # int64 (N,)
    test: Texts | None
    test_targets: Tensor | None

    def tensors(self) -> list[Tensor]:
        """All fields but the words, in the order in which the cache stores them."""
        train = [self.train.ranks, self.train.offsets, self.train_targets]
        if self.test is None or self.test_targets is None:
            return train
        return [*train, self.test.ranks, self.test.offsets, self.test_targets]

    def fits(self, classes: int) -> bool:
        """True if types, shapes and ranges are consistent; a cache may hold anything."""
        valid = all(map(is_whole, self.tensors())) and all(tensor.ndim == 1 for tensor in self.tensors())
        sets = [(self.train, self.train_targets), (self.test, self.test_targets)]
        return valid and all(
            texts.fit(len(self.words)) and _targets_fit(targets, len(texts.offsets) - 1, classes)
            for texts, targets in sets
            if texts is not None and targets is not None
        )

    def checksum(self) -> int:
        """CRC-32 of words and tensors: torch.load does not notice a flipped byte."""
        total = zlib.crc32("\n".join(self.words).encode())
        for tensor in self.tensors():
            total = zlib.crc32(tensor.numpy().data, total)
        return total


def of_tensors(words: list[str], tensors: list[Tensor]) -> TokenizedTexts:
    """The texts whose tensors() these are."""
    test = (Texts(*tensors[3:5]), tensors[5]) if len(tensors) > 3 else (None, None)
    return TokenizedTexts(words, Texts(*tensors[:2]), tensors[2], *test)


def _targets_fit(targets: Tensor, count: int, classes: int) -> bool:
    known = (targets >= 0) & (targets < classes)
    return targets.dtype == torch.int64 and len(targets) == count and bool(known.all())


def tokenized(
    train: LabelledTexts, test: LabelledTexts | None, tokens: Tokens, classes: int, cache: Path, least: int = 0
) -> TokenizedTexts:
    """Return the tokenised texts, from the cache if there is one; its name is `cache`, a hash and .pt.

    The hash is that of the stamps: files' names, sizes and modification times, so changed texts are read again. A cache
    is kept of texts of `least` bytes or more together: beside the data, or in cache_folder() where that cannot be
    written. Raises what reading the texts raises.
    """
    stamps = sorted(train.stamps + (test.stamps if test else []))
    version = _VERSION if tokens is Tokens.words else f"{_VERSION} {tokens.name}"
    key = hashlib.sha256("\n".join([version, *stamps]).encode(errors="surrogateescape")).hexdigest()[:16]
    path = cache.with_name(f"{cache.name}-{key}.pt")
    places = [path, cache_folder() / path.name]
    found = _load(places, classes)
    if found is None:
        found = _tokenize(train, test, tokens)
        if train.size + (test.size if test else 0) >= least:
            _save(found, places)
    return found


def cache_folder() -> Path:
    """The user's folder for what can be made again: $XDG_CACHE_HOME/dlproj, or ~/.cache/dlproj."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "dlproj"


def _tokenize(train: LabelledTexts, test: LabelledTexts | None, tokens: Tokens) -> TokenizedTexts:
    _log.info("tokenising %d texts, once", len(train.targets) + (len(test.targets) if test else 0))
    words, *ranked = rank(train.texts(), test.texts() if test else (), tokens)
    tensors = [ranked[0].ranks, ranked[0].offsets, torch.tensor(train.targets)]
    if test:
        tensors += [ranked[1].ranks, ranked[1].offsets, torch.tensor(test.targets)]
    return of_tensors(words, tensors)


def _load(places: Iterable[Path], classes: int) -> TokenizedTexts | None:
    """Return the cached texts, or None if there is no usable cache."""
    cache = next((path for path in places if path.exists()), None)
    if cache is None:
        return None
    try:
        state = load_plain(cache)
        found = of_tensors(state["words"].split("\n"), state["tensors"])
        if found.fits(classes) and found.checksum() == state["checksum"]:
            return found
    except Exception as error:  # almost any, on a damaged file
        _log.info("%s", brief(error))
    _log.warning("%s is damaged: the texts are tokenised again", cache)
    return None


def _save(found: TokenizedTexts, places: Sequence[Path]) -> None:
    """Write the cache to the first place where that works. Training works without it, but the next start is slow."""
    state = {"words": "\n".join(found.words), "tensors": found.tensors(), "checksum": found.checksum()}
    problems = []
    for path in places:
        if not (problem := _write(state, path)):
            return
        problems.append(f"{path} ({problem})")
    _log.warning("the tokenised texts could not be kept in %s, so each start takes longer", " or ".join(problems))


def _write(state: dict[str, Any], path: Path) -> str:
    """Write atomically; return what has prevented that, or ""."""
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError if it cannot open the file
        with suppress(OSError):
            temporary.unlink()
        return brief(error)
    return ""
