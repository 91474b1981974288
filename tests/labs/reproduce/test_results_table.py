"""Rows of reported against reproduced, and the files that hold them."""

import csv
import io
import json
from dataclasses import replace

import pytest
from folders import summary

from dlproj.config.checks import ConfigurationError
from dlproj.config.images import ImageFolderConfig
from dlproj.config.reference import ReferenceConfig
from dlproj.experiments import Point
from dlproj.labs.reproduce.plan import plan
from dlproj.labs.reproduce.recorded import recorded
from dlproj.labs.reproduce.reproduction import Outcome
from dlproj.labs.reproduce.results_table import COLUMNS, as_page, cells, check_folder, write
from dlproj.labs.reproduce.rows import judgements, rows
from dlproj.runs.manifest import NAME
from dlproj.sweeps.jobs import Job


@pytest.fixture
def planned(composed, tmp_path):
    """Call with a reference and what the seeds came to: None died, with a word in its log."""

    def make(reference, *summaries, experiment="lab2/toy", label=""):
        stated = ReferenceConfig(**{"document": "d", "place": "exercise 9"} | reference)
        config = replace(composed("data=digits"), reference=stated)
        return [
            leave(run, one)
            for run, one in zip(
                plan([Point(experiment, label, config)], len(summaries), tmp_path), summaries, strict=True
            )
        ]

    return make


def leave(run, changes):
    run.folder.mkdir(parents=True)
    run.config.save(run.folder / "config.yaml")
    log = run.folder.with_name(run.folder.name + ".log")
    log.write_text("loading\nerror: no data in there: look elsewhere\n")
    if changes is not None:
        (run.folder / "summary.json").write_text(json.dumps(summary(seed=run.config.seed, **changes)))
    found = run.found()
    return Outcome(run, recorded(found) if found else None, "" if found else Job(print, run.folder).why_it_died(1))


def shown(found, quick):
    return cells(found, judgements(found, quick))


def written(found, command, quick, folder):
    return write(found, judgements(found, quick), command, quick, folder)


def cell(row_cells, column):
    return row_cells[COLUMNS.index(column)]


def test_a_reported_accuracy_stands_beside_mean_spread_and_difference_in_points(planned):
    runs = planned({"reported": {"test/accuracy": 0.85}}, *({"test/accuracy": value} for value in (0.86, 0.87, 0.91)))
    (row,) = shown(rows(runs), False)
    assert cell(row, "reported") == "85.00%"
    assert cell(row, "reproduced") == "88.00 ± 2.65%"  # √((2² + 1² + 3²) / 2)
    assert cell(row, "difference") == "+3.00"
    assert cell(row, "time") == "1.5 s"
    assert cell(row, "remark") == ""


def test_a_count_is_compared_as_it_is(planned):
    found = rows(planned({"reported": {"parameters": 75010, "wrong": 7}}, {}, {}))
    by_quantity = {row.quantity: text for row, text in zip(found, shown(found, False), strict=True)}
    assert [cell(by_quantity["parameters"], name) for name in COLUMNS[3:6]] == ["75,010", "75,010", "0"]
    assert [cell(by_quantity["wrong"], name) for name in COLUMNS[3:6]] == ["7", "5", "-2"]
    assert [cell(by_quantity["test/accuracy"], name) for name in COLUMNS[3:6]] == ["–", "83.33 ± 0.00%", "–"]


def test_without_a_reported_figure_the_accuracy_is_shown(planned):
    (row,) = shown(rows(planned({}, {})), False)
    assert row[:6] == ["lab2/toy", "exercise 9", "test/accuracy", "–", "83.33%", "–"]


def test_a_reference_that_no_run_produces_says_so(planned):
    found = rows(planned({"reported": {"test/jaccard": 0.5}}, {}))
    assert "a run does not produce test/jaccard" in found[0].remark
    assert cell(shown(found, False)[0], "reproduced") == "–"


def test_a_reported_curve_that_a_run_does_not_have_says_so_once(planned):
    curves = {"train_eval/accuracy": [0.5], "train/loss": [1.0]}
    found = rows(planned({"reported": {"wrong": 5}, "curves": curves}, {}))
    words = "reported: train_eval/accuracy, train/loss, which the run did not log: set trainer.evaluate_train=true"
    assert [row.remark for row in found] == ["", words]


def test_a_run_that_died_is_a_row_that_says_why(planned):
    found = rows(planned({"reported": {"test/accuracy": 0.85}}, None, {"test/accuracy": 0.9}))
    assert found[0].remark == "died: no data in there: look elsewhere"
    assert cell(shown(found, False)[0], "reproduced") == "90.00%"


def test_a_run_that_failed_says_why(planned):
    runs = planned({"reported": {"test/accuracy": 0.85}}, {"status": "failed", "stop_reason": "ValueError: bad\nmore"})
    (row,) = shown(rows(runs), False)
    assert (cell(row, "reproduced"), cell(row, "time")) == ("–", "–")
    assert cell(row, "remark") == "died: ValueError: bad"


def test_a_reason_stands_where_a_figure_is_reported(planned):
    reference = {"reported": {"wrong": 3}, "reasons": {"wrong": "the document counts otherwise"}}
    assert [row.remark for row in rows(planned(reference, {}))] == ["the document counts otherwise", ""]


def test_a_reason_that_explains_nothing_is_not_counted(planned):
    for words, explained in (("one run; over 10 seeds 83 to 86 %", 1), ("not explained: below all of 30 seeds", 0)):
        reference = {"reported": {"test/accuracy": 0.9}, "reasons": {"test/accuracy": words}}
        found = rows(planned(reference, {}, experiment=f"lab2/toy{explained}"))
        page = as_page(found, judgements(found, False), "dlproj reproduce", False)
        assert f"{explained} of the 1 others have a reason that was tested" in page


def test_images_instead_of_cifar10_are_marked(planned, tmp_path):
    (one,) = planned({}, {})
    point = replace(one.planned.point, config=replace(one.planned.config, data=ImageFolderConfig(root=str(tmp_path))))
    on_tree = replace(one, planned=replace(one.planned, point=point))
    assert rows([on_tree])[0].remark == "on images of CIFAR-10, not the original"


def test_the_page_and_the_csv_say_the_same(planned, tmp_path):
    claims = ["L1 of 0.01 drives the model to chance on CIFAR-10", "RMSprop below Adam on the L1 model"]
    findings = ["batch 10,000 scores below batch 32"]
    reference = {"reported": {"test/accuracy": 0.0989}, "claims": claims, "findings": findings}
    runs = planned(reference, {"test/accuracy": 0.188}, {"test/accuracy": 0.192}, experiment="lab2/cifar10_l1")
    paths = written(rows(runs), "dlproj reproduce lab2/cifar10_l1", False, tmp_path / "out")
    page, table, _ = (path.read_text() for path in paths)
    assert [path.name for path in paths] == ["RESULTS.md", "results.csv", "results.json"]
    assert "`dlproj reproduce lab2/cifar10_l1`: 2 runs of one thread each, seeds 0, 1, 3.0 s of training in all" in page
    counted = (
        "Of 1 reported accuracies 0 are reproduced within 1.5 points, 0 of the 1 others have a reason that was tested; "
    )
    concluded = "Of 2 conclusions of the documents: 1 not held, 1 not judged; of 1 findings of ours: 1 not judged."
    assert f"{counted}the median distance is 9.11 points. {concluded}" in page
    reproduced = "19.00 ± 0.28% | +9.11 | 1 not held, 1 not judged | 1.5 s |  |"
    assert f"| lab2/cifar10_l1 | exercise 9 | test/accuracy | 9.89% | {reproduced}" in page
    evidence = "test/accuracy of lab2/cifar10_l1 19.00%; holds in 1% of the draws"
    assert f"| lab2/cifar10_l1 | {claims[0]} | the document | not held | {evidence} |" in page
    assert f"| lab2/cifar10_l1 | {claims[1]} | the document | not judged | without lab2/l1_rmsprop |" in page
    assert f"| lab2/cifar10_l1 | {findings[0]} | dlproj | not judged | without lab5/batch10000 |" in page
    (row,) = csv.DictReader(io.StringIO(table))
    assert (row["experiment"], row["quantity"], row["seeds"], row["quick"]) == (
        "lab2/cifar10_l1",
        "test/accuracy",
        "2",
        "false",
    )
    assert float(row["reproduced"]) == pytest.approx(0.19)
    assert float(row["difference"]) == pytest.approx(0.0911)


def test_a_quick_run_says_that_it_is_one(planned):
    found = rows(planned({}, {}))
    assert "A quick run: at most 2 epochs of 100 batches" in as_page(
        found, judgements(found, True), "dlproj reproduce --quick", True
    )
    assert "A quick run" not in as_page(found, judgements(found, False), "dlproj reproduce", False)


def test_a_page_of_nothing_but_deaths_is_written(planned):
    found = rows(planned({"reported": {"test/accuracy": 0.5}}, None))
    assert "died: no data in there" in as_page(found, judgements(found, False), "dlproj reproduce", False)


def test_seconds_are_shown_to_the_hundredth_and_large_numbers_whole(planned):
    found = rows(planned({"reported": {"seconds": 303.26, "parameters": 12345}}, {"seconds": 3.5}, {"seconds": 4.5}))
    seconds, parameters, _ = shown(found, False)
    assert seconds[3:6] == ["303.26 s", "4.00 s ± 0.71 s", "-299.26 s"]
    assert parameters[3:6] == ["12,345", "75,010", "+62,665"]


def test_of_a_label_there_is_no_mean(planned):
    confusions = (
        [[8, 2, 0], [0, 10, 0], [0, 0, 10]],
        [[8, 2, 0], [0, 10, 0], [0, 1, 9]],
        [[9, 1, 0], [5, 5, 0], [0, 0, 10]],
    )
    runs = planned({"reported": {"most_confused_class": 0}}, *({"confusion_matrix": one} for one in confusions))
    assert shown(rows(runs), False)[0][3:6] == ["0", "0, 0, 1", "the same"]
    assert rows(runs)[0].deviation is None


def test_a_quick_run_judges_no_claim(planned):
    found = rows(planned({"claims": ["RMSprop below Adam on the L1 model"]}, {}))
    assert cell(shown(found, True)[0], "claims") == "1 not judged"


def test_uncommitted_changes_of_the_code_are_marked(planned):
    runs = planned({}, {"git_commit": "0123456789abcdef"}, {"git_commit": "0123456789abcdef+"}, {"git_commit": None})
    found = rows(runs)
    page = as_page(found, judgements(found, False), "dlproj reproduce", False)
    assert "Commits of the runs: 0123456789, 0123456789+, unknown." in page


def test_a_quick_table_does_not_take_the_place_of_a_whole_one(planned, tmp_path):
    check_folder(tmp_path / "new", quick=True)
    written(rows(planned({}, {})), "dlproj reproduce", False, tmp_path / "out")
    check_folder(tmp_path / "out", quick=False)
    with pytest.raises(ConfigurationError, match="holds the table of a whole run: name another folder for a quick one"):
        check_folder(tmp_path / "out", quick=True)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"--output .*file cannot be used \(.*\): name another folder"):
        check_folder(tmp_path / "file", quick=False)


@pytest.mark.parametrize(
    ("name", "content"), [("RESULTS.md", "# My results"), ("results.csv", "experiment,loss\n"), ("results.json", "{}")]
)
def test_a_table_of_somebody_else_is_not_overwritten(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError, match=f"{name} would be overwritten, and dlproj did not write it"):
        check_folder(tmp_path, quick=False)


def test_a_table_of_ours_may_be_written_anew(planned, tmp_path):
    found = rows(planned({}, {"test/accuracy": 0.1}))
    write = lambda command: written(found, command, False, tmp_path)[0].read_text()
    first = write("dlproj reproduce")
    check_folder(tmp_path, quick=False)
    (tmp_path / NAME).unlink()  # as in a checkout, or as a version without a list of its files left it
    check_folder(tmp_path, quick=False)
    assert write("dlproj reproduce toy/a") != first


def test_notes_in_a_table_of_ours_are_somebodys(planned, tmp_path):
    page, *_ = written(rows(planned({}, {"test/accuracy": 0.1})), "dlproj reproduce", False, tmp_path)
    page.write_text(page.read_text() + "my notes")
    with pytest.raises(ConfigurationError, match=r"RESULTS\.md would be overwritten"):
        check_folder(tmp_path, quick=False)
