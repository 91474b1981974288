"""What is said of a run's figures: intervals against SciPy, over- and underfitting at the thresholds, dead units."""

import math
from pathlib import Path

import pytest
from folders import write_run
from scipy.stats import binomtest

from dlproj.reports.reading import (
    OVERFITTING,
    RISE,
    UNDERFITTING,
    accuracy_interval,
    dead_units_words,
    fit_words,
    interval_words,
    training_words,
    wilson_interval,
)
from dlproj.runs.record import read_run


@pytest.mark.parametrize(("hits", "samples"), [(0, 1), (1, 1), (0, 30), (30, 30), (349, 360), (8734, 10_000)])
def test_the_interval_is_scipys(hits, samples):
    expected = binomtest(hits, samples).proportion_ci(0.95, method="wilson")
    low, high, count = wilson_interval(hits, samples)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= hits / samples <= high <= 1
    assert count == samples


def test_a_published_interval():  # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263
    assert wilson_interval(81, 263)[:2] == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_the_interval_of_a_run_counts_its_confusion_matrix(tmp_path):
    run = read_run(write_run(tmp_path / "run"))  # 25 of 30
    assert accuracy_interval(run.result) == wilson_interval(25, 30)
    assert interval_words(run.result) == "66.4% to 92.7%, from 30 samples"


def test_a_sparse_matrix_counts_too_and_a_run_without_test_has_no_interval(tmp_path):
    many = list(map(str, range(1500)))
    run = read_run(write_run(tmp_path / "a", classes=many, confusion_matrix=[[3, 3, 9], [3, 1499, 1]]))
    assert accuracy_interval(run.result) == wilson_interval(9, 10)
    untested = read_run(write_run(tmp_path / "b", confusion_matrix=[])).result
    assert accuracy_interval(untested) is None
    assert interval_words(untested) == ""


def said(tmp_path, rows, **changes):
    epochs = [{"epoch": epoch, **row} for epoch, row in enumerate(rows, start=1)]
    return fit_words(read_run(write_run(tmp_path / "run", None, epochs, last_epoch=len(rows), **changes)))


def row(train, val, loss=0.5, **more):
    return {"train/accuracy": train, "val/accuracy": val, "val/loss": loss} | more


@pytest.mark.parametrize(
    ("train", "val", "verdict"),
    [
        (0.99, 0.94, "Overfitting: at epoch 1, accuracy is 99.0% in training and 94.0% in validation, a gap of 5.0"),
        (0.99, 0.9401, "Neither over- nor underfitting: at epoch 1, accuracy is 99.0% in training and 94.0%"),
        (0.8, 0.8, "Neither"),
        (0.7999, 0.79, "Underfitting: at epoch 1, accuracy is 80.0% in training and 79.0% in validation; in training"),
        (0.7, 0.6, "Overfitting"),
    ],
)
def test_the_gap_is_judged_at_its_thresholds(tmp_path, train, val, verdict):
    assert said(tmp_path, [row(train, val)]).startswith(verdict)


@pytest.mark.parametrize(("loss", "verdict"), [(0.55, "Overfitting"), (0.5499, "Neither")])
def test_a_validation_loss_that_has_risen_by_a_tenth_is_overfitting(tmp_path, loss, verdict):
    words = said(tmp_path, [row(0.9, 0.9, 0.5), row(0.95, 0.95, loss)])
    assert words.startswith(verdict)
    assert ("at epoch 2 the validation loss is 10% above its lowest" in words) == (verdict == "Overfitting")


def test_the_tested_epoch_is_judged_with_the_evaluated_training_set(tmp_path):
    rows = [row(0.85, 0.85, **{"train_eval/accuracy": 0.97}), row(1.0, 0.5, **{"train_eval/accuracy": 1.0})]
    words = said(tmp_path, rows, tested_weights="best", best_epoch=1)
    assert words.startswith("Overfitting: at epoch 1, accuracy is 97.0% in training and 85.0% in validation")


def test_why_validation_can_be_better_is_said_unless_training_was_evaluated(tmp_path):
    assert "since dropout acts there alone" in said(tmp_path / "a", [row(0.85, 0.9)])
    assert "dropout" not in said(tmp_path / "b", [row(0.85, 0.9, **{"train_eval/accuracy": 0.89})])


@pytest.mark.parametrize("rows", [[], [{"train/accuracy": 0.9}], [row(math.nan, 0.9)]])
def test_nothing_is_said_of_what_is_not_known(tmp_path, rows):
    assert said(tmp_path, rows) == ""


def trained_with(tmp_path, settings, **more):
    folder = tmp_path / ",".join(f"{key}={value}" for key, value in settings.items())
    return read_run(write_run(folder, settings, [{"epoch": 1, **row(0.5, 0.9, **more)}], last_epoch=1))


def test_a_training_accuracy_of_other_samples_is_no_verdict(tmp_path):
    assert fit_words(trained_with(tmp_path, {"data.mixup": 0.0})).startswith("Underfitting")
    assert fit_words(trained_with(tmp_path, {"model.class_weights": "balanced"})).startswith("Underfitting")
    for settings in ({"data.mixup": 0.2}, {"data.sampling": "balanced"}):
        assert fit_words(trained_with(tmp_path, settings)) == ""
    evaluated = trained_with(tmp_path, {"data.mixup": 0.3}, **{"train_eval/accuracy": 0.97})
    assert fit_words(evaluated).startswith("Overfitting")


def test_what_acts_on_the_training_loss_alone_is_named(tmp_path):
    plain = trained_with(tmp_path, {"data.mixup": 0.0, "data.sampling": "shuffled", "model.class_weights": None})
    assert training_words([plain]) == ""
    changed = [trained_with(tmp_path, {"model.class_weights": [1, 2], "data.mixup": mixup}) for mixup in (0.2, 0.4)]
    assert training_words([plain, *changed]) == (
        "train/loss and train/accuracy are those of training with data.mixup=0.2 or 0.4, model.class_weights=[1, 2]: "
        "compare val/loss and test/loss, which are the plain loss of the plain samples."
    )


def test_dead_units_are_explained_with_the_layers_that_have_most():
    words = dead_units_words({"hidden.0": {1: 0.5, 2: 0.125}, "hidden.1": {2: 0.25}, "hidden.2": {2: 0.0}})
    assert words.startswith("A unit is dead if its output is the same for all validation samples")
    assert words.endswith("At the end: 25.0% of hidden.1, 12.5% of hidden.0.")
    assert dead_units_words({"hidden.0": {1: 0.0}}).endswith("At the end: none.")


def test_the_guide_has_the_same_thresholds():
    page = (Path(__file__).parents[2] / "docs/guide/reading-reports.md").read_text()
    assert f"is {100 * OVERFITTING:.0f} points or more above the validation accuracy" in page
    assert f"validation loss is {RISE:.0%} or more above its lowest" in page
    assert f"training accuracy is below {UNDERFITTING:.0%}" in page
    ends = [
        f"{end:.1%}" for hits, samples in ((348, 360), (9667, 10_000)) for end in wilson_interval(hits, samples)[:2]
    ]
    means = "96.67% of 360 digits means {} to {}, and 96.67% of 10,000 means {} to {}."
    assert means.format(*ends) in " ".join(page.split())
