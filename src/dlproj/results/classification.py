"""What a confusion matrix says: precision, recall and F1 of each class, and the pair that is confused most."""

from collections.abc import Sequence
from dataclasses import dataclass

Counts = Sequence[Sequence[int]]  # row = true class, column = predicted class


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How well one class is told from the others; each figure is 0 where its denominator is, as in scikit-learn."""

    precision: float  # of what is called this class, the share that is
    recall: float  # of what is this class, the share that is called so
    f1: float  # their harmonic mean
    support: int  # samples of this class


def class_scores(counts: Counts) -> list[ClassScore]:
    """The scores of each class, in order."""
    called = [sum(row[place] for row in counts) for place in range(len(counts))]
    return [_score(row[place], called[place], sum(row)) for place, row in enumerate(counts)]


def _score(hits: int, called: int, support: int) -> ClassScore:
    total = called + support
    return ClassScore(hits / called if called else 0.0, hits / support if support else 0.0,
                      2 * hits / total if total else 0.0, support)  # fmt: skip


def most_confused(counts: Counts, classes: Sequence[str]) -> str:
    """The two classes taken for one another most often, in words: both directions together."""
    pairs = [(counts[a][b] + counts[b][a], a, b) for a in range(len(counts)) for b in range(a)]
    errors, a, b = max(pairs, key=lambda pair: pair[0])
    if not errors:
        return "No two classes were confused."
    truth, guess = (a, b) if counts[a][b] >= counts[b][a] else (b, a)
    return (
        f"Most confused: {classes[truth]} taken for {classes[guess]}, "
        f"{counts[truth][guess]:,} {_times(counts[truth][guess])}; the other way {counts[guess][truth]:,}."
    )


def _times(count: int) -> str:
    return "time" if count == 1 else "times"
