from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from dlproj.config.checks import DataError
from dlproj.config.data import Side
from dlproj.data.vocabulary import decode, encode, rank, tokenize

TEXTS = [
    "The film was GOOD; the actors, though... weren't.<br /><br />Don't see it!",
    'A "must-see" film: 10/10 (really) & more\tfun\nthan `most` films {of} its_kind ~ [sic] | $5 = 5€',
    "É o fim — naïve ÉTUDE",
    "",
    " ... ",
]


def test_tokens_by_hand():
    assert tokenize(TEXTS[0]) == [
        "the",
        "film",
        "was",
        "good",
        "the",
        "actors",
        "though",
        "weren't",
        "br",
        "br",
        "don't",
        "see",
        "it",
    ]
    assert tokenize(TEXTS[3]) == tokenize(TEXTS[4]) == []


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_those_of_keras(keras, text):
    from keras.src.legacy.preprocessing.text import text_to_word_sequence

    assert tokenize(text) == text_to_word_sequence(text)


def test_every_filter_of_keras_parts_words_and_nothing_else_does(keras):
    from keras.src.legacy.preprocessing.text import text_to_word_sequence

    for number in range(32, 0x3000):
        text = f"a{chr(number)}b"
        assert tokenize(text) == text_to_word_sequence(text), hex(number)
    for white in "\t\n\r\f\v ":
        assert tokenize(f"a{white}b") == ["a", "b"]


def test_ranks_follow_the_training_texts_alone():
    words, train, test = rank(["b a b", "c a b"], ["c c c c d b"])
    assert words == ["b", "a", "c"]
    assert train.ranks.tolist() == [1, 2, 1, 3, 2, 1]
    assert train.offsets.tolist() == [0, 3, 6]
    assert test.ranks.tolist() == [3, 3, 3, 3, 0, 1]


def test_ties_are_broken_by_code_point():
    words, _, _ = rank(["zebra Apple mid é", "mid"], [])
    assert words == ["mid", "apple", "zebra", "é"]


def test_ranks_count_as_keras_does(keras):
    from keras.src.legacy.preprocessing.text import Tokenizer

    tokenizer = Tokenizer()
    tokenizer.fit_on_texts(TEXTS)
    words, train, _ = rank(TEXTS, [])
    assert [tokenizer.word_counts[word] for word in words] == sorted(tokenizer.word_counts.values(), reverse=True)
    assert len(words) == len(tokenizer.word_index)
    assert [words[r - 1] for r in train.ranks] == [word for text in TEXTS for word in tokenize(text)]
    assert Counter(train.ranks.tolist())[1] == max(tokenizer.word_counts.values())


def test_no_words_at_all():
    with pytest.raises(DataError, match="hold no words"):
        rank(["", " "], ["word"])


def reference(texts, vocabulary_size):
    """Ids review by review, in the words of Keras's imdb.load_data."""
    bounds = texts.offsets.tolist()
    for start, end in pairwise(bounds):
        ids = [1] + [r + 3 if r else 2 for r in texts.ranks[start:end].tolist()]
        yield [number if number < vocabulary_size else 2 for number in ids]


@pytest.mark.parametrize("padding", Side)
@pytest.mark.parametrize("truncating", Side)
@pytest.mark.parametrize("length", [1, 2, 5, 6, 30])
@pytest.mark.parametrize("vocabulary_size", [5, 8, 1000])
def test_ids_are_those_of_keras(keras, padding, truncating, length, vocabulary_size):
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnop"))
    train, test = ([" ".join(random.choice(letters[:top], size)) for size in (0, 1, 4, 5, 6, 20)] for top in (12, 16))
    _, *both = rank(train, test)
    for texts in both:
        wanted = keras.utils.pad_sequences(
            list(reference(texts, vocabulary_size)), length, padding=padding.value, truncating=truncating.value
        )
        ours = encode(texts, vocabulary_size, length, padding, truncating)
        assert ours.dtype == torch.int32
        assert np.array_equal(ours, wanted)


def test_the_most_frequent_word_is_4_and_a_review_starts_with_1():
    _, train, test = rank(["the the film"], ["the unseen film"])
    assert encode(train, 10_000, 5, Side.pre, Side.pre).tolist() == [[0, 1, 4, 4, 5]]
    assert encode(test, 10_000, 5, Side.post, Side.pre).tolist() == [[1, 4, 2, 5, 0]]
    assert encode(train, 5, 5, Side.pre, Side.pre).tolist() == [[0, 1, 4, 4, 2]]


def test_decoding_gives_back_the_words_that_were_kept():
    words, texts, _ = rank(TEXTS[:2], [])
    everything = encode(texts, len(words) + 4, 40, Side.pre, Side.pre)
    assert [decode(ids, words) for ids in everything] == [" ".join(tokenize(text)) for text in TEXTS[:2]]


def test_decoding_by_hand():
    assert decode(torch.tensor([0, 0, 1, 5, 2, 4, 0]), ["the", "film"]) == "film <unknown> the"
    assert decode(torch.tensor([0, 1]), ["the"]) == ""
