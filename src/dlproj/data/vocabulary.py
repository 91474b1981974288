"""Texts to word ids in Keras's layout: tokens, frequency ranks, ids, padding."""

import re
import unicodedata
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from dlproj.config.checks import DataError
from dlproj.config.data import FIRST_WORD, Side
from dlproj.config.texts import Tokens

PADDING, START, UNKNOWN = 0, 1, 2  # ids that are not words; 3 is never used

# Runs of characters that are neither Keras's filters nor white space. ASCII: Keras does not split at no-break spaces.
_WORD = re.compile(r"""[^\s!"#$%&()*+,\-./:;<=>?@\[\\\]^_{|}~`]+""", re.ASCII)


@dataclass(frozen=True, slots=True)
class Texts:
    """N tokenised texts: the words of text i are ranks[offsets[i] : offsets[i + 1]]."""

    ranks: Tensor  # int32 (words,): 1 is the most frequent word of the training texts, 0 a word not in them
    offsets: Tensor  # int64 (N + 1,), rising from 0 to the number of words

    def fit(self, words: int) -> bool:
        """True if types, order and ranges are as above, with ranks from 0 to `words`."""
        ranks, offsets = self.ranks, self.offsets
        typed = ranks.dtype == torch.int32 and offsets.dtype == torch.int64 and len(offsets) > 1
        inside = bool(((ranks >= 0) & (ranks <= words)).all())
        rising = typed and int(offsets[0]) == 0 and int(offsets[-1]) == len(ranks)
        return rising and inside and bool((offsets[1:] >= offsets[:-1]).all())

    def take(self, indices: Tensor) -> "Texts":
        """The texts of these indices (M,)."""
        lengths = self.offsets.diff()[indices]
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        starts = (self.offsets[:-1][indices] - offsets[:-1]).repeat_interleave(lengths)
        return Texts(self.ranks[starts + torch.arange(len(starts))], offsets)


def tokenize(text: str, tokens: Tokens = Tokens.words) -> list[str]:
    """Split lower-cased text into words or characters.

    Words are split at ASCII punctuation and white space; apostrophes stay, `<br />` becomes br. Characters are code
    points of Unicode's composed form (NFC), with one space for each run of white space.
    """
    if tokens is Tokens.words:
        return _WORD.findall(text.lower())
    return list(" ".join(unicodedata.normalize("NFC", text.lower()).split()))


def rank(train: Iterable[str], test: Iterable[str], tokens: Tokens = Tokens.words) -> tuple[list[str], Texts, Texts]:
    """Return the training texts' words by descending frequency, and both sets of texts as ranks among them.

    Equally frequent words are sorted by code point. The word of rank r is words[r - 1]. Raises DataError if no training
    text has a word.
    """
    indices: defaultdict[str, int] = defaultdict()
    indices.default_factory = indices.__len__  # a new word gets the next index, in order of appearance
    train_indices, train_offsets = _index(train, indices.__getitem__, tokens)
    words = list(indices)
    test_indices, test_offsets = _index(test, indices.__getitem__, tokens)
    if not words:
        raise DataError("the training texts hold no words: give others, or set data.tokens=characters")
    counts = np.bincount(train_indices)
    order = sorted(range(len(words)), key=lambda i: (-counts[i], words[i]))
    ranks = np.zeros(len(indices), np.int32)
    ranks[order] = np.arange(1, len(words) + 1)
    train_ranks, test_ranks = torch.from_numpy(ranks[train_indices]), torch.from_numpy(ranks[test_indices])
    return [words[i] for i in order], Texts(train_ranks, train_offsets), Texts(test_ranks, test_offsets)


def recount(words: list[str], texts: Texts, kept: Tensor) -> tuple[list[str], Texts]:
    """Return the words of the `kept` texts (M,) alone by descending frequency, and all texts as ranks among them."""
    counts = np.bincount(texts.take(kept).ranks.numpy(), minlength=len(words) + 1)[1:]
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda i: (-counts[i], words[i]))
    ranks = np.zeros(len(words) + 1, np.int32)
    ranks[np.array(order, np.int64) + 1] = np.arange(1, len(order) + 1)
    return [words[i] for i in order], Texts(torch.from_numpy(ranks[texts.ranks.numpy()]), texts.offsets)


def look_up(texts: Iterable[str], ranks: Mapping[str, int], tokens: Tokens = Tokens.words) -> Texts:
    """Return texts as the ranks of known words; a word not in `ranks` gets 0."""
    indices, offsets = _index(texts, lambda word: ranks.get(word, 0), tokens)
    return Texts(torch.from_numpy(indices.astype(np.int32)), offsets)


def _index(texts: Iterable[str], index: Callable[[str], int], tokens: Tokens) -> tuple[np.ndarray, Tensor]:
    indices, offsets = array("i"), [0]
    for text in texts:
        indices.extend(map(index, tokenize(text, tokens)))
        offsets.append(len(indices))
    return np.frombuffer(indices, np.intc), torch.tensor(offsets)


def encode(texts: Texts, vocabulary_size: int, length: int, padding: Side, truncating: Side) -> Tensor:
    """Encode texts as int32 ids (N, length): START, then the words, padded and truncated like Keras's pad_sequences.

    A word of rank r gets the id r + 3 if that is below vocabulary_size, else UNKNOWN, as does a word of rank 0 (Keras's
    file of the reviews leaves those out: 1 % of the test set's words).
    """
    ranks, offsets = texts.ranks.numpy(), texts.offsets.numpy()
    known = (ranks > 0) & (ranks <= vocabulary_size - FIRST_WORD)
    values = np.where(known, ranks + np.int32(FIRST_WORD - 1), np.int32(UNKNOWN))
    sequences = np.insert(values, offsets[:-1], START)
    bounds = (offsets + np.arange(len(offsets))).tolist()
    ids = np.full((len(offsets) - 1, length), PADDING, np.int32)
    for row, (start, end) in enumerate(pairwise(bounds)):
        kept = sequences[start:end][_part(truncating is Side.post, length)]
        ids[row, _part(padding is Side.post, len(kept))] = kept
    return torch.from_numpy(ids)


def decode(ids: Tensor, words: list[str], tokens: Tokens = Tokens.words) -> str:
    """Return the text of ids (length,): id i is words[i - 4]. Padding and start are left out.

    Any other id below 4 becomes `<unknown>`, which cannot be a word: tokenize() splits at < and >.
    """
    kept = (i for i in ids.tolist() if i not in (PADDING, START))
    between = " " if tokens is Tokens.words else ""
    return between.join("<unknown>" if i < FIRST_WORD else words[i - FIRST_WORD] for i in kept)


def _part(front: bool, length: int) -> slice:
    """Slice the first (`front`) or last `length` entries of a sequence."""
    return slice(length) if front else slice(-length, None)
