import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from dlproj.reports.classification import class_scores, entries, most_confused

CLASSES = ["cat", "dog", "hen"]


def labels_of(counts):
    """Labels whose confusion matrix is counts."""
    truth, guess = np.indices(np.shape(counts))
    repeats = np.ravel(counts)
    return np.repeat(truth.ravel(), repeats), np.repeat(guess.ravel(), repeats)


@pytest.mark.parametrize(
    "counts",
    [
        [[5, 1, 0], [2, 7, 3], [0, 0, 4]],
        [[0, 4, 0], [0, 5, 0], [0, 6, 0]],  # never called cat or hen
        [[3, 0, 0], [0, 0, 0], [1, 2, 3]],  # no dog
    ],
)
def test_precision_recall_and_f1_are_those_of_scikit_learn(counts):
    expected = precision_recall_fscore_support(*labels_of(counts), labels=[0, 1, 2], zero_division=0)
    found = [(score.precision, score.recall, score.f1, score.support) for score in class_scores(counts, 3)]
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-12)


def test_the_pair_confused_most_counts_both_ways_and_names_the_more_frequent_first():
    counts = [[50, 4, 9], [3, 50, 1], [0, 8, 50]]  # cat-dog 7, cat-hen 9, dog-hen 9: the first of equals
    assert most_confused(counts, CLASSES) == "Most confused: cat taken for hen, 9 times; the other way 0."
    counts[2][1] = 1234
    assert most_confused(counts, CLASSES) == "Most confused: hen taken for dog, 1,234 times; the other way 1."


def test_a_single_mistake_is_one_time_and_none_is_said():
    assert most_confused([[3, 0, 0], [1, 3, 0], [0, 0, 3]], CLASSES) == (
        "Most confused: dog taken for cat, 1 time; the other way 0."
    )
    assert most_confused([[3, 0, 0], [0, 3, 0], [0, 0, 3]], CLASSES) == "No two classes were confused."


def test_counts_kept_as_entries_say_what_those_kept_in_rows_say():
    rows = [[0] * 300 for _ in range(300)]
    kept = [[0, 0, 5], [0, 299, 2], [7, 0, 9], [299, 0, 1], [299, 299, 4]]
    for truth, guess, count in kept:
        rows[truth][guess] = count
    names = [f"class {number}" for number in range(300)]
    assert [list(one) for one in entries(rows, 300)] == [list(one) for one in entries(kept, 300)] == kept
    assert class_scores(rows, 300) == class_scores(kept, 300)
    assert most_confused(rows, names) == most_confused(kept, names)
    assert most_confused(kept, names) == "Most confused: class 7 taken for class 0, 9 times; the other way 0."
