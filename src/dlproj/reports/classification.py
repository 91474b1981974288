"""Precision, recall and F1 of each class from a confusion matrix, and the most confused pair of classes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

# Row = true class, column = predicted class; with many classes a list of [true class, predicted class, count > 0].
Counts = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Scores of one class against the others; a score is 0 if its denominator is 0, as in scikit-learn."""

    precision: float  # share of samples predicted as this class that belong to it
    recall: float  # share of samples of this class that are predicted as such
    f1: float  # harmonic mean of precision and recall
    support: int  # samples of this class


def entries(counts: Counts, classes: int) -> list[tuple[int, int, int]]:
    """(true class, predicted class, count) of all counts above 0, from either form of Counts, in order."""
    if all(len(row) == classes for row in counts):
        return [(truth, guess, n) for truth, row in enumerate(counts) for guess, n in enumerate(row) if n]
    return [(truth, guess, n) for truth, guess, n in counts]


def class_scores(counts: Counts, classes: int) -> list[ClassScore]:
    """The scores of each class, in order."""
    hits, called, support = Counter[int](), Counter[int](), Counter[int]()
    for truth, guess, count in entries(counts, classes):
        support[truth] += count
        called[guess] += count
        hits[truth] += count * (truth == guess)
    return [_score(hits[i], called[i], support[i]) for i in range(classes)]


def _score(hits: int, called: int, support: int) -> ClassScore:
    total = called + support
    return ClassScore(
        hits / called if called else 0.0,
        hits / support if support else 0.0,
        2 * hits / total if total else 0.0,
        support,
    )


def most_confused(counts: Counts, classes: Sequence[str]) -> str:
    """A sentence about the two classes confused most often, counting both directions."""
    wrong = Counter({(truth, guess): n for truth, guess, n in entries(counts, len(classes)) if truth != guess})
    if not wrong:
        return "No two classes were confused."
    pairs = sorted({(max(pair), min(pair)) for pair in wrong})
    a, b = max(pairs, key=lambda pair: wrong[pair] + wrong[pair[::-1]])
    truth, guess = (a, b) if wrong[a, b] >= wrong[b, a] else (b, a)
    return (
        f"Most confused: {classes[truth]} taken for {classes[guess]}, "
        f"{wrong[truth, guess]:,} {_times(wrong[truth, guess])}; the other way {wrong[guess, truth]:,}."
    )


def _times(count: int) -> str:
    return "time" if count == 1 else "times"
