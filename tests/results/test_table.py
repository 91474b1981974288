from dlproj.results.summary import RunResult
from dlproj.results.table import rows

METRICS = {"test/accuracy": 0.12345, "test/loss": 2.5}


def result(**fields):
    return RunResult(
        "f", "n", "completed", "r", 0, metrics=METRICS, monitor="val/loss", tested_weights="best", **fields
    )


def test_accuracy_is_a_percentage_and_says_which_weights_were_tested():
    assert dict(rows(result(best_epoch=3)))["test accuracy"] == "12.35% (best weights)"


def test_the_best_epoch_is_named_with_its_metric_or_said_to_be_none():
    assert dict(rows(result(best_epoch=3)))["best epoch"] == "3 by val/loss"
    assert dict(rows(result(best_epoch=None)))["best epoch"] == "none: val/loss was never finite"
