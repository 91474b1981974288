"""The base of data sets whose samples are texts."""

import logging
import re
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from dlproj.config.checks import DataError
from dlproj.config.data import FIRST_WORD
from dlproj.config.texts import TextConfig, Tokens
from dlproj.data.base import DataModule
from dlproj.data.batches import Samples
from dlproj.data.tokenized import LabelledTexts, TokenizedTexts
from dlproj.data.vocabulary import PADDING, Texts, decode, encode, look_up, recount

_log = logging.getLogger(__name__)
_COMMON = 1000  # words that are looked at for a language without spaces
# Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese.
_WITHOUT_SPACES = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


class TextDataModule(DataModule):
    """Texts as int32 ids (N, length) in Keras's layout; the vocabulary is that of the training texts."""

    config: TextConfig
    noun = "text"  # what a sample is called
    words: list[str]  # set by setup() or restore(): the word of id i is words[i - 4]

    _tokenized: TokenizedTexts | None = None

    @abstractmethod
    def labelled_texts(self) -> list[LabelledTexts]:
        """The training texts and, where there are some, the test's. Raises DataError."""

    @abstractmethod
    def read(self) -> TokenizedTexts:
        """The tokens of labelled_texts(). Raises DataError."""

    def prepare_data(self) -> None:
        """Tokenise the texts once for all processes."""
        if not hasattr(self, "train"):  # the trainer's test() calls this again
            self._tokenized = self.read()  # only saves this process a second reading

    def prefetch(self) -> None:
        """Read the texts, but do not encode them: length and vocabulary size may differ between runs."""
        self.prepare_data()

    def load(self) -> tuple[Samples, Samples | None]:
        """Return the training texts and the test's, None where there are none. Raises DataError."""
        found, self._tokenized = self._tokenized or self.read(), None
        texts = [found.train, found.test]
        if not self.restored:
            self.words = found.words
            self._advise()
        elif self.words != self._with_ids(found.words):  # the model was trained on other texts
            texts = [self._look_up(split.texts()) for split in self.labelled_texts()]
        samples = [
            Samples(self._encode(split), targets)
            for split, targets in zip(texts, (found.train_targets, found.test_targets), strict=False)
            if split is not None and targets is not None
        ]
        return samples[0], samples[1] if len(samples) > 1 else None

    def _advise(self) -> None:
        """Warn of words that are whole sentences."""
        common = self.words[:_COMMON]
        unsplit = sum(_WITHOUT_SPACES.search(word) is not None for word in common)
        if self.config.tokens is Tokens.words and unsplit > len(common) / 2:
            _log.warning("most texts are in a language without spaces between words: set data.tokens=characters")

    def state_dict(self) -> dict[str, Any]:
        """The spec, how texts are split and truncated, and the words that have ids by descending frequency."""
        words = "\n".join(self._with_ids(self.words))
        own = {"tokens": self.config.tokens.value, "truncating": self.config.truncating.value, "words": words}
        return super().state_dict() | own

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the vocabulary of the training texts. Raises DataError if it is one of other tokens."""
        tokens = state.get("tokens", Tokens.words.value)  # earlier versions had words alone
        if tokens != self.config.tokens.value:
            raise DataError(f"the model reads {tokens}: leave data.tokens out, or set it to {tokens}")
        self.words = state["words"].split("\n")

    def _with_ids(self, words: list[str]) -> list[str]:
        return words[: self.config.vocabulary_size - FIRST_WORD]

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return {word: rank for rank, word in enumerate(self.words, 1)}

    def shown(self, inputs: Tensor) -> str:
        """Return the text of one sample's ids (length,)."""
        return decode(inputs, self.words, self.config.tokens)

    def with_test_set(self, train: Samples, test: Samples | None) -> tuple[Samples, Samples]:
        """Also count the vocabulary anew if texts are held out: none of them takes part. Raises DataError."""
        train, held_out = super().with_test_set(train, test)
        if self.test_indices is None or self.restored:
            return train, held_out
        texts = self.uncut()
        assert texts.test is not None
        self.words = texts.words
        return Samples(self._encode(texts.train), train.targets), Samples(self._encode(texts.test), held_out.targets)

    def uncut(self) -> TokenizedTexts:
        """Return the untruncated texts of the training and the test set, after with_test_set()."""
        found, held_out = self.read(), self.test_indices
        if held_out is None:
            return found
        kept = torch.ones(len(found.train_targets), dtype=torch.bool)
        kept[held_out] = False
        rest = kept.nonzero()[:, 0]
        words, texts = recount(found.words, found.train, rest)
        targets = found.train_targets
        return TokenizedTexts(words, texts.take(rest), targets[rest], texts.take(held_out), targets[held_out])

    def bucketing_lengths(self) -> Tensor | None:
        """Lengths (N,) of the training texts without padding, if data.bucket_by_length is set, else None."""
        if not self.config.bucket_by_length:
            return None
        return (self.train.inputs != PADDING).sum(1).cpu()

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode texts like those of the data: int32 ids (N, length)."""
        return self._encode(self._look_up(texts))

    def _look_up(self, texts: Iterable[str]) -> Texts:
        return look_up(texts, self._ranks, self.config.tokens)

    def _encode(self, texts: Texts) -> Tensor:
        config = self.config
        return encode(texts, config.vocabulary_size, config.length, config.padding, config.truncating)
