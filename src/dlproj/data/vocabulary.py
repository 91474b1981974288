"""From texts to word ids, in the layout of Keras: tokens, frequency ranks, ids, padding."""

import re
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

PADDING, START, UNKNOWN = 0, 1, 2  # the ids that are no words; 3 is never used

# Runs of characters that are neither Keras's filters nor white space; ASCII, for a no-break space parts no words there.
_WORD = re.compile(r"""[^\s!"#$%&()*+,\-./:;<=>?@\[\\\]^_{|}~`]+""", re.ASCII)


@dataclass(frozen=True, slots=True)
class Texts:
    """N tokenised texts: the words of text i are ranks[offsets[i] : offsets[i + 1]]."""

    ranks: Tensor  # int32 (words,): 1 for the most frequent word of the training texts, 0 for a word not in them
    offsets: Tensor  # int64 (N + 1,), rising from 0 to the number of words

    def fit(self, words: int) -> bool:
        """Whether they are as above, of so many words that have ranks."""
        ranks, offsets = self.ranks, self.offsets
        typed = ranks.dtype == torch.int32 and offsets.dtype == torch.int64 and len(offsets) > 1
        inside = bool(((ranks >= 0) & (ranks <= words)).all())
        rising = typed and int(offsets[0]) == 0 and int(offsets[-1]) == len(ranks)
        return rising and inside and bool((offsets[1:] >= offsets[:-1]).all())


def tokenize(text: str) -> list[str]:
    """The words in lower case, parted by punctuation and ASCII white space; apostrophes stay, `<br />` becomes br."""
    return _WORD.findall(text.lower())


def rank(train: Iterable[str], test: Iterable[str]) -> tuple[list[str], Texts, Texts]:
    """The training texts' words by falling frequency, and both sets of texts as ranks among them.

    Of equally frequent words the one that sorts first by code point comes first. The word of rank r is words[r - 1].
    Raises DataError where no training text has a word.
    """
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__  # a new word gets the next number, in order of appearance
    train_numbers, train_offsets = _number(train, numbers.__getitem__)
    words = list(numbers)
    test_numbers, test_offsets = _number(test, numbers.__getitem__)
    if not words:
        raise DataError("the training texts hold no words: set data.root to the folder of the right data")
    counts = np.bincount(train_numbers)
    order = sorted(range(len(words)), key=lambda number: (-counts[number], words[number]))
    ranks = np.zeros(len(numbers), np.int32)
    ranks[order] = np.arange(1, len(words) + 1)
    ranked = [torch.from_numpy(ranks[found]) for found in (train_numbers, test_numbers)]
    return [words[number] for number in order], Texts(ranked[0], train_offsets), Texts(ranked[1], test_offsets)


def look_up(texts: Iterable[str], ranks: Mapping[str, int]) -> Texts:
    """Texts as ranks among words that are known already."""
    numbers, offsets = _number(texts, lambda word: ranks.get(word, 0))
    return Texts(torch.from_numpy(numbers.astype(np.int32)), offsets)


def _number(texts: Iterable[str], number: Callable[[str], int]) -> tuple[np.ndarray, Tensor]:
    found, offsets = array("i"), [0]
    for text in texts:
        found.extend(map(number, tokenize(text)))
        offsets.append(len(found))
    return np.frombuffer(found, np.intc), torch.tensor(offsets)


def encode(texts: Texts, vocabulary_size: int, length: int, padding: Side, truncating: Side) -> Tensor:
    """Ids int32 (N, length): START and the words, padded and cut at the given sides as Keras's pad_sequences does.

    A word of rank r is r + 3 if that is below vocabulary_size, else UNKNOWN. So is a word of no rank (Keras's file of
    the reviews leaves those out altogether: 1 % of the test set's words).
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


def decode(ids: Tensor, words: list[str]) -> str:
    """The words of ids (length,) with spaces between: id i is words[i - 4]. Padding and start are left out.

    What is not a known word becomes `<unknown>`, which no word can be: tokenize() parts at < and >.
    """
    kept = (number for number in ids.tolist() if number not in (PADDING, START))
    return " ".join("<unknown>" if number < FIRST_WORD else words[number - FIRST_WORD] for number in kept)


def _part(front: bool, length: int) -> slice:
    """The first or the last entries of a sequence, up to length of them."""
    return slice(length) if front else slice(-length, None)
