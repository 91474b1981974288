"""Rows of reported against reproduced, and the files that hold them."""

import csv
import io
import json
from dataclasses import replace

import pytest
from folders import summary

from dlproj.reproduce.experiments import Point
from dlproj.reproduce.plan import plan
from dlproj.reproduce.reproduction import LOG
from dlproj.reproduce.rows import rows, verdicts
from dlproj.reproduce.table import COLUMNS, as_page, cells, write
from dlproj.results.reference import ReferenceConfig


@pytest.fixture
def planned(composed, tmp_path):
    """Call with a reference and what the seeds came to: None died, with a word in its log."""

    def make(reference, *outcomes, experiment="lab2/toy", label=""):
        config = replace(
            composed("data=digits"), reference=ReferenceConfig(**{"document": "d", "place": "p"} | reference)
        )
        runs = plan([Point(experiment, label, config)], len(outcomes), tmp_path)
        for run, outcome in zip(runs, outcomes, strict=True):
            run.folder.mkdir(parents=True)
            run.config.save(run.folder / "config.yaml")
            if outcome is None:
                (run.folder / LOG).write_text("loading\nerror: no data in there: look elsewhere\n")
            else:
                text = json.dumps(summary(seed=run.config.seed, **outcome))
                (run.folder / "summary.json").write_text(text)
        return runs

    return make


def cell(row_cells, column):
    return row_cells[COLUMNS.index(column)]


def test_a_reported_accuracy_stands_beside_mean_spread_and_difference_in_points(planned):
    runs = planned({"reported": {"test/accuracy": 0.85}}, *({"test/accuracy": value} for value in (0.86, 0.87, 0.91)))
    (row,) = cells(rows(runs))
    assert cell(row, "reported") == "85.00%"
    assert cell(row, "reproduced") == "88.00 ± 2.65%"  # √((2² + 1² + 3²) / 2)
    assert cell(row, "difference") == "+3.00"
    assert cell(row, "time") == "1.5 s"
    assert cell(row, "remark") == ""


def test_a_count_is_compared_as_it_is(planned):
    found = rows(planned({"reported": {"parameters": 75010, "wrong": 7}}, {}, {}))
    by_quantity = {row.quantity: text for row, text in zip(found, cells(found), strict=True)}
    assert [cell(by_quantity["parameters"], name) for name in COLUMNS[2:5]] == ["75,010", "75,010", "0"]
    assert [cell(by_quantity["wrong"], name) for name in COLUMNS[2:5]] == ["7", "5", "-2"]
    assert [cell(by_quantity["test/accuracy"], name) for name in COLUMNS[2:5]] == ["–", "83.33 ± 0.00%", "–"]


def test_without_a_reported_figure_the_accuracy_is_shown(planned):
    (row,) = cells(rows(planned({}, {})))
    assert row[:5] == ["lab2/toy", "test/accuracy", "–", "83.33%", "–"]


def test_a_reference_that_no_run_produces_says_so(planned):
    found = rows(planned({"reported": {"test/jaccard": 0.5}}, {}))
    assert "a run does not produce test/jaccard" in found[0].remark
    assert cell(cells(found)[0], "reproduced") == "–"


def test_a_run_that_died_is_a_row_that_says_why(planned):
    found = rows(planned({"reported": {"test/accuracy": 0.85}}, None, {"test/accuracy": 0.9}))
    assert found[0].remark == "died: no data in there: look elsewhere"
    assert cell(cells(found)[0], "reproduced") == "90.00%"


def test_a_run_that_failed_says_why(planned):
    runs = planned({"reported": {"test/accuracy": 0.85}}, {"status": "failed", "stop_reason": "ValueError: bad\nmore"})
    (row,) = cells(rows(runs))
    assert (cell(row, "reproduced"), cell(row, "time")) == ("–", "–")
    assert cell(row, "remark") == "died: ValueError: bad"


def test_a_reason_stands_where_a_figure_is_reported(planned):
    reference = {"reported": {"wrong": 3}, "reason": "the document counts otherwise"}
    assert [row.remark for row in rows(planned(reference, {}))] == ["the document counts otherwise", ""]


def test_images_instead_of_cifar10_are_marked(planned, tmp_path):
    from dlproj.data.image_folder import ImageFolderConfig

    (run,) = planned({}, {})
    point = replace(run.point, config=replace(run.config, data=ImageFolderConfig(root=str(tmp_path))))
    assert rows([replace(run, point=point)])[0].remark == "on images of CIFAR-10, not the original"


def test_the_page_and_the_csv_say_the_same(planned, tmp_path):
    claims = ["L1 of 0.01 drives the model to chance", "RMSprop below Adam on the L1 model"]
    reference = {"reported": {"test/accuracy": 0.0989}, "claims": claims}
    runs = planned(reference, {"test/accuracy": 0.1}, {"test/accuracy": 0.2}, experiment="lab2/l1")
    paths = write(rows(runs), "dlproj reproduce lab2/l1", False, tmp_path / "out")
    page, table = (path.read_text() for path in paths)
    assert [path.name for path in paths] == ["RESULTS.md", "results.csv"]
    assert "`dlproj reproduce lab2/l1`: 2 runs of one thread each, seeds 0, 1, 3.0 s of training in all" in page
    assert "Of 1 reported accuracies 0 are reproduced within 1.5 points; the median distance is 5.11 points." in page
    assert "| lab2/l1 | test/accuracy | 9.89% | 15.00 ± 7.07% | +5.11 | 1 not held, 1 not judged | 1.5 s |  |" in page
    assert f"| {claims[0]} | not held | test/accuracy of lab2/l1 15.00% |" in page
    assert f"| {claims[1]} | not judged | not judged without lab2/l1_rmsprop |" in page
    (row,) = csv.DictReader(io.StringIO(table))
    assert (row["experiment"], row["quantity"], row["seeds"], row["quick"]) == (
        "lab2/l1",
        "test/accuracy",
        "2",
        "false",
    )
    assert float(row["reproduced"]) == pytest.approx(0.15)
    assert float(row["difference"]) == pytest.approx(0.0511)


def test_a_quick_run_says_that_it_is_one(planned):
    found = rows(planned({}, {}))
    assert "A quick run: at most 2 epochs of 100 batches" in as_page(
        found, verdicts(found), "dlproj reproduce --quick", True
    )
    assert "A quick run" not in as_page(found, verdicts(found), "dlproj reproduce", False)


def test_a_page_of_nothing_but_deaths_is_written(planned):
    found = rows(planned({"reported": {"test/accuracy": 0.5}}, None))
    assert "died: no data in there" in as_page(found, verdicts(found), "dlproj reproduce", False)
