"""The files of the IMDB reviews: the archive, its unpacked tree, and the cache of tokenised reviews beside that."""

import hashlib
import logging
import os
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dlproj.data.data_files import brief, damaged, extract, fixed_order, refuse_problems, unpack_beside, ways_out
from dlproj.data.shared import shared
from dlproj.data.vocabulary import Texts, rank
from dlproj.loop_progress import progress
from dlproj.torch_files import is_whole, load_plain

NAME = "aclImdb"
URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
MD5 = "7c2ac02c03563afcf9b574c7e56c153a"
FOLDERS = ("neg", "pos")  # a review's target is the index of its folder

_VERSION = "1"  # increase it if a change to tokenize(), rank() or the order makes old caches wrong
_log = logging.getLogger(__name__)


class ReviewFile(NamedTuple):
    """A review's path, its target, and the stamp (file, size, time) on which the cache's name depends."""

    path: str
    target: int
    stamp: str


@dataclass(frozen=True, slots=True)
class Reviews:
    """All labelled reviews, tokenised, with each split in its fixed order."""

    words: list[str]  # of the training reviews, by descending frequency
    train: Texts
    train_targets: Tensor  # int64 (N,)
    test: Texts
    test_targets: Tensor

    def tensors(self) -> list[Tensor]:
        """All fields but the words, in the order in which the cache stores them."""
        return [
            self.train.ranks,
            self.train.offsets,
            self.train_targets,
            self.test.ranks,
            self.test.offsets,
            self.test_targets,
        ]

    def fits(self) -> bool:
        """True if types, shapes and ranges are consistent; a cache may hold anything."""
        valid = all(map(is_whole, self.tensors())) and all(tensor.ndim == 1 for tensor in self.tensors())
        return valid and all(
            texts.fit(len(self.words)) and _targets_fit(targets, len(texts.offsets) - 1)
            for texts, targets in ((self.train, self.train_targets), (self.test, self.test_targets))
        )

    def checksum(self) -> int:
        """CRC-32 of words and tensors: torch.load does not notice a flipped byte."""
        total = zlib.crc32("\n".join(self.words).encode())
        for tensor in self.tensors():
            total = zlib.crc32(tensor.numpy().data, total)
        return total


def _targets_fit(targets: Tensor, count: int) -> bool:
    known = (targets >= 0) & (targets < len(FOLDERS))
    return targets.dtype == torch.int64 and len(targets) == count and bool(known.all())


def download(folder: Path) -> None:
    """Unpack the reviews of the Stanford archive into folder/aclImdb; download it unless it lies beside the folder."""
    import pooch

    reviews = rf"{NAME}/(train|test)/({'|'.join(FOLDERS)})/[^/\\]+\.txt"
    if not unpack_beside(folder, Path(URL).name, MD5, NAME, reviews):
        archive = pooch.retrieve(URL, known_hash=f"md5:{MD5}", fname=Path(URL).name, path=folder, progressbar=True)
        extract(Path(archive), folder, reviews)


@shared
def read_reviews(root: Path) -> Reviews:
    """Return the tokenised reviews of root/aclImdb, from the cache if there is one.

    The cache's name depends on the files' names, sizes and modification times, so changed reviews are read again.
    Raises DataError, naming the folder or file that is missing or not UTF-8.
    """
    train, test = scan(root / NAME, "train"), scan(root / NAME, "test")
    stamps = sorted(file.stamp for file in train + test)
    key = hashlib.sha256("\n".join([_VERSION, *stamps]).encode()).hexdigest()[:16]
    cache = root / f"{NAME}-{key}.pt"
    reviews = _load(cache)
    if reviews is None:
        reviews = _tokenized(train, test)
        _save(reviews, cache)
    return reviews


def scan(folder: Path, split: str) -> list[ReviewFile]:
    """List the split's review files in their fixed order. Raises DataError, naming a missing or empty folder."""
    reviews = []
    for target, name in enumerate(FOLDERS):
        try:
            with os.scandir(folder / split / name) as entries:
                files = [_review_file(entry, target, f"{split}/{name}") for entry in entries if _is_review(entry.name)]
        except OSError as error:
            raise damaged(folder / split / name, NAME) from error
        if not files:
            raise damaged(folder / split / name, NAME)
        reviews += sorted(files)
    return fixed_order(reviews)


def _is_review(name: str) -> bool:
    return name.lower().endswith(".txt") and not name.startswith(".")


def _review_file(entry: os.DirEntry[str], target: int, parent: str) -> ReviewFile:
    status = entry.stat()
    return ReviewFile(entry.path, target, f"{parent}/{entry.name} {status.st_size} {status.st_mtime_ns}")


def _tokenized(train: list[ReviewFile], test: list[ReviewFile]) -> Reviews:
    _log.info("tokenising %d reviews, once", len(train) + len(test))
    words, train_texts, test_texts = rank(_texts(train), _texts(test))
    targets = [torch.tensor([file.target for file in files]) for files in (train, test)]
    return Reviews(words, train_texts, targets[0], test_texts, targets[1])


def texts(root: Path, split: str) -> Iterator[str]:
    """Yield the split's raw reviews in their fixed order. Raises DataError, naming the damaged folder or file."""
    return _texts(scan(root / NAME, split))


def _texts(files: Sequence[ReviewFile]) -> Iterator[str]:
    for file in progress(files, "reading reviews", delay=2):
        try:
            yield _text(file)
        except (OSError, UnicodeDecodeError):
            advice = f": delete the folder {NAME} and run again to download it, {ways_out(NAME)}"
            refuse_problems(map(_problem, files), "reviews", advice)


def _text(file: ReviewFile) -> str:
    return Path(file.path).read_bytes().decode("utf-8-sig")


def _problem(file: ReviewFile) -> str:
    try:
        _text(file)
    except (OSError, UnicodeDecodeError) as error:
        return f"{file.path} is not readable UTF-8 text ({brief(error)})"
    return ""


def _load(cache: Path) -> Reviews | None:
    """Return the cached reviews, or None if there is no usable cache."""
    if not cache.exists():
        return None
    try:
        state = load_plain(cache)
        tensors = state["tensors"]
        reviews = Reviews(state["words"].split("\n"), Texts(*tensors[:2]), tensors[2], Texts(*tensors[3:5]), tensors[5])
        if reviews.fits() and reviews.checksum() == state["checksum"]:
            return reviews
    except Exception as error:  # almost any, on a damaged file
        _log.info("%s", brief(error))
    _log.warning("%s is damaged: the reviews are tokenised again", cache)
    return None


def _save(reviews: Reviews, cache: Path) -> None:
    """Write the cache atomically. On failure training still works, but the next start is slow."""
    state = {"words": "\n".join(reviews.words), "tensors": reviews.tensors(), "checksum": reviews.checksum()}
    temporary = cache.with_name(f".{cache.name}-{uuid.uuid4().hex}")
    try:
        torch.save(state, temporary)
        os.replace(temporary, cache)
    except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError if it cannot open the file
        temporary.unlink(missing_ok=True)
        _log.warning(
            "the tokenised reviews could not be kept in %s, so each start takes longer: %s", cache, brief(error)
        )
