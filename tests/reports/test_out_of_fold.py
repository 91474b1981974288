"""Folds compared as seeds are, and the predictions of a cross-validation put together, on cases worked out by hand."""

import csv

import numpy as np
import pytest
from folders import CLASSES, write_run
from scipy.stats import binomtest

from dlproj.api.sweep import Sweep
from dlproj.config.checks import DataError
from dlproj.reports.comparison_page import comparison_page
from dlproj.reports.comparison_report import comparison_report, write_report
from dlproj.reports.comparison_table import best, repetitions, same_runs
from dlproj.reports.out_of_fold import out_of_fold
from dlproj.runs.comparison import compare
from dlproj.runs.predictions import read_predictions, write_predictions
from dlproj.runs.record import find_runs, read_run
from dlproj.sweeps.view import conclude

TRUE = [0, 1, 2, 0, 1, 2]
GUESSED = [0, 1, 2, 0, 1, 0]  # five of six
FOLDS = ([0, 4], [1, 5], [2, 3])


def write_fold(folder, fold, settings=None, guessed=GUESSED, seed=0, **changes):
    chosen = {"data.folds": 3, "data.fold": fold, "seed": seed} | (settings or {})
    changes = {"test/accuracy": 0.8 + fold / 10, "samples": {"train": 3, "val": 1, "test": 2}} | changes
    write_run(folder, chosen, **changes)
    index = np.array(FOLDS[fold])
    outputs = np.eye(3)[np.array(guessed)[index]] * 0.5 + 0.125
    write_predictions(folder, CLASSES, index, np.array(TRUE)[index], outputs)
    return folder


@pytest.fixture
def folds(tmp_path):
    for fold in range(3):
        write_fold(tmp_path / f"{fold}", fold)
    return tmp_path


def parts_of(folder):
    return out_of_fold(compare(find_runs([folder])[0]))


def test_folds_repeat_a_group_as_seeds_do(folds):
    comparison = compare(find_runs([folds])[0])
    (row,) = repetitions(comparison)
    assert (row["folds"], row["tested"], row["test/accuracy"][:2]) == (3, 3, pytest.approx((0.9, 0.1)))
    assert "seeds" not in row
    assert comparison.label(comparison.groups[0]) == []
    assert "mean of 3 folds" in best(comparison).words
    assert same_runs(comparison) == ""
    page = comparison_page(*find_runs([folds]))
    assert page["best"]["label"].startswith("mean test accuracy of 3 folds")
    assert [one["label"] for one in page["pages"]] == ["fold=0", "fold=1", "fold=2"]


def test_seeds_and_folds_are_counted_each(tmp_path):
    for place, (seed, fold) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1), (1, 1)]):
        write_fold(tmp_path / f"{place}", fold, seed=seed)
    comparison = compare(find_runs([tmp_path])[0])
    (row,) = repetitions(comparison)
    assert (row["seeds"], row["folds"], row["tested"]) == (2, 2, 4)
    assert "mean of 4 runs" in best(comparison).words
    assert same_runs(comparison) == "2 runs of the same settings, seed and fold count as one: 3, 4"


def test_every_sample_is_predicted_once_and_by_hand(folds):
    (part,) = parts_of(folds)
    assert part.predictions["index"].tolist() == list(range(6))
    assert part.predictions["fold"].tolist() == [0, 1, 2, 2, 0, 1]
    assert part.confusion_matrix() == [[2, 0, 0], [0, 2, 0], [1, 0, 1]]
    assert part.interval()[:2] == pytest.approx(binomtest(5, 6).proportion_ci(method="wilson")[:])
    assert part.words() == "out-of-fold accuracy: 83.33%, 95% interval 43.6% to 97.0%, from 6 samples in 3 folds"
    html = comparison_report(*find_runs([folds]))
    assert "Out-of-fold predictions" in html
    assert "Most confused: Bag taken for T-shirt/top, 1 time" in html


def test_each_group_and_seed_has_predictions_of_its_own(tmp_path):
    for seed in (0, 1):
        for dropout in (0.0, 0.5):
            for fold in range(3):
                folder = tmp_path / f"{seed}{dropout}{fold}"
                write_fold(folder, fold, {"model.dropout": dropout}, TRUE if dropout else GUESSED, seed)
    parts = parts_of(tmp_path)
    rates = [(part.settings["model.dropout"], part.settings["seed"], part.hits()) for part in parts]
    assert sorted(rates) == [(0.0, 0, 5), (0.0, 1, 5), (0.5, 0, 6), (0.5, 1, 6)]
    frame = Sweep(tmp_path).out_of_fold()
    assert len(frame) == 24
    assert frame.groupby(["model.dropout", "seed"])["index"].nunique().tolist() == [6] * 4


def test_the_report_leaves_a_table_of_the_predictions(folds):
    names = [path.name for path in write_report(*find_runs([folds]), folds / "report.html")]
    assert names == ["report.html", "report.csv", "report.md", "report_out_of_fold.csv"]
    rows = list(csv.DictReader((folds / names[-1]).read_text().splitlines()))
    assert [row["predicted"] for row in rows] == [CLASSES[i] for i in GUESSED]
    assert [float(rows[0][f"p_{name}"]) for name in CLASSES] == [0.625, 0.125, 0.125]
    assert "## Out-of-fold predictions" in (folds / "report.md").read_text()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ({"status": "interrupted"}, "2 of 3 folds are completed"),
        ({"samples": {"train": 3, "val": 1, "test": 2}, "guessed": None}, r"0/test_predictions\.csv is missing or"),
        ({"samples": {"train": 3, "val": 2, "test": 2}}, "the folds hold 6 predictions of 7 samples: was the data"),
    ],
)
def test_no_accuracy_is_claimed_of_folds_that_are_not_complete(tmp_path, spoil, words, capsys, monkeypatch):
    guessed = spoil.pop("guessed", GUESSED)
    for fold in range(3):
        write_fold(tmp_path / f"{fold}", fold, **(spoil if fold == 0 else {}))
    if guessed is None:
        (tmp_path / "0" / "test_predictions.csv").unlink()
    monkeypatch.chdir(tmp_path)
    (part,) = parts_of(tmp_path)
    assert (part.confusion_matrix(), part.row()["out-of-fold/accuracy"]) == ([], None)
    with pytest.raises(DataError, match=f"no out-of-fold predictions: .*{words}"):
        Sweep(tmp_path).out_of_fold()
    conclude(tmp_path)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "out-of-fold" in line]
    assert line.startswith("no out-of-fold accuracy: ")
    assert not (tmp_path / "report_out_of_fold.csv").exists()


def test_a_sweep_of_one_fold_has_none(tmp_path):
    for place, dropout in enumerate((0.0, 0.5)):
        write_fold(tmp_path / f"{place}", 1, {"model.dropout": dropout})
    assert parts_of(tmp_path) == []
    with pytest.raises(DataError, match=r"data\.fold does not vary"):
        Sweep(tmp_path).out_of_fold()


def test_of_many_classes_only_the_predicted_ones_probability_is_kept(tmp_path):
    names = [f"class {i}" for i in range(300)]
    write_run(tmp_path / "run", classes=names, confusion_matrix=[])
    outputs = np.random.default_rng(0).random((4, 300))
    write_predictions(tmp_path / "run", names, np.arange(4), np.arange(4), outputs)
    frame = read_predictions(read_run(tmp_path / "run"))
    assert list(frame.columns) == ["index", "true", "predicted", "p"]
    assert frame["p"].to_numpy() == pytest.approx(outputs.max(1), rel=1e-5)
    assert frame["predicted"].tolist() == [names[i] for i in outputs.argmax(1)]


def test_names_that_look_like_something_else_stay_names(tmp_path):
    names = ["NA", "1", 'a "b", c', "true"]
    write_run(tmp_path / "run", classes=names, confusion_matrix=[])
    write_predictions(tmp_path / "run", names, np.arange(4), np.arange(4), np.eye(4))
    assert read_predictions(read_run(tmp_path / "run"))["true"].tolist() == names
