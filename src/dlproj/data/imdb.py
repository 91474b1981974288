"""IMDB: 25,000 + 25,000 film reviews, negative or positive (Maas et al. 2011), as word ids in Keras's layout."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from torch import Tensor

from dlproj.config.data import FIRST_WORD, IMDBConfig
from dlproj.data.base import DataModule
from dlproj.data.batches import Samples
from dlproj.data.data_files import data_root, ensure
from dlproj.data.reviews import FOLDERS, NAME, Reviews, download, read_reviews, texts
from dlproj.data.vocabulary import PADDING, Texts, decode, encode, look_up

SPLITS = ("train", "test")


class IMDBDataModule(DataModule):
    """Reviews as int32 ids (N, length), targets 0 for negative and 1 for positive.

    The files come sorted by class; both sets are put in a fixed order (data_files.fixed_order), so that the last part
    of the training set is a fair validation set.
    """

    config: IMDBConfig
    official_sizes = (25_000, 25_000)
    words: list[str]  # set by setup() or restore(): the word of id i is words[i - 4]

    _reviews: Reviews | None = None

    def prepare_data(self) -> None:
        """Download missing reviews and tokenise them once for all processes."""
        if hasattr(self, "train"):  # the trainer's test() calls this again
            return
        root = data_root(self.config.root)
        ensure(root, NAME, [f"{split}/{folder}" for split in SPLITS for folder in FOLDERS], download)
        self._reviews = read_reviews(root)  # only saves this process a second reading

    def prefetch(self) -> None:
        """Read the reviews, but do not encode them: length and vocabulary size may differ between runs."""
        self.prepare_data()

    def load(self) -> tuple[Samples, Samples]:
        """Return 25,000 training and 25,000 test reviews. Raises DataError, naming the damaged file or folder."""
        reviews, self._reviews = self._reviews or read_reviews(data_root(self.config.root)), None
        train, test = reviews.train, reviews.test
        if not self.restored:
            self.words = reviews.words
        elif self.words != self._with_ids(reviews.words):  # the model was trained on other reviews
            train, test = (look_up(texts(data_root(self.config.root), split), self._ranks) for split in SPLITS)
        return Samples(self._encode(train), reviews.train_targets), Samples(self._encode(test), reviews.test_targets)

    def state_dict(self) -> dict[str, Any]:
        """The spec, the truncated side, and the words that have ids by descending frequency."""
        words = "\n".join(self._with_ids(self.words))
        return super().state_dict() | {"truncating": self.config.truncating.value, "words": words}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the vocabulary of the training reviews."""
        self.words = state["words"].split("\n")

    def _with_ids(self, words: list[str]) -> list[str]:
        return words[: self.config.vocabulary_size - FIRST_WORD]

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return {word: rank for rank, word in enumerate(self.words, 1)}

    def shown(self, inputs: Tensor) -> str:
        """Return the words of one review's ids (length,)."""
        return decode(inputs, self.words)

    def uncut(self) -> Reviews:
        """Return the untruncated reviews."""
        return read_reviews(data_root(self.config.root))

    def bucketing_lengths(self) -> Tensor | None:
        """Lengths (N,) of the training reviews without padding, if data.bucket_by_length is set, else None."""
        if not self.config.bucket_by_length:
            return None
        return (self.train.inputs != PADDING).sum(1).cpu()

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode texts like reviews: int32 ids (N, length)."""
        return self._encode(look_up(texts, self._ranks))

    def _encode(self, reviews: Texts) -> Tensor:
        config = self.config
        return encode(reviews, config.vocabulary_size, config.length, config.padding, config.truncating)
