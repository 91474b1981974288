"""What a confusion matrix says: precision, recall and F1 of each class, and the pair that is confused most."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

# Row = true class, column = predicted class; of many classes [true class, predicted class, count] for those above 0.
Counts = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How well one class is told from the others; each figure is 0 where its denominator is, as in scikit-learn."""

    precision: float  # of what is called this class, the share that is
    recall: float  # of what is this class, the share that is called so
    f1: float  # their harmonic mean
    support: int  # samples of this class


def entries(counts: Counts, classes: int) -> list[tuple[int, int, int]]:
    """(true class, predicted class, count) of all counts above 0, whichever way they are kept, in order."""
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
    return [_score(hits[place], called[place], support[place]) for place in range(classes)]


def _score(hits: int, called: int, support: int) -> ClassScore:
    total = called + support
    return ClassScore(
        hits / called if called else 0.0,
        hits / support if support else 0.0,
        2 * hits / total if total else 0.0,
        support,
    )


def most_confused(counts: Counts, classes: Sequence[str]) -> str:
    """The two classes taken for one another most often, in words: both directions together."""
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
