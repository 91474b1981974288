"""Reports as HTML, CSV and Markdown: what they say, that no text becomes markup, that nothing is fetched."""

import csv
import os
import re
from collections import Counter
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from folders import CLASSES, EPOCHS, inspection, write_run
from markdown_it import MarkdownIt

from dlproj.config.checks import UserError
from dlproj.reports.comparison_report import comparison_report, run_report, write_report
from dlproj.reports.comparison_table import as_markdown
from dlproj.runs.record import Damaged, find_runs, read_run

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Elements, texts of cells, and whether every element is closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.rows, self.text, self.unbalanced = [], [], [], [], "", []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data.strip()


@pytest.fixture
def run(tmp_path):
    return read_run(write_run(tmp_path / "20261121-060235-a2c588-mlp-digits-adam", inspected=inspection()))


@pytest.fixture
def several(tmp_path):
    for place, rate in enumerate((0.1, 0.01)):
        for seed in (0, 1):
            settings = {"optim.learning_rate": rate, "seed": seed}
            accuracy = {"test/accuracy": 0.9 - rate - seed / 100}
            epochs = [EPOCHS[0], EPOCHS[1] | {"val/loss": 0.75 - 0.05 * place}]
            write_run(tmp_path / f"sweep/{2 * place + seed}", settings, epochs, inspection(), **accuracy)
    write_run(
        tmp_path / "sweep/4",
        {"optim.learning_rate": 10.0},
        None,
        status="failed",
        stop_reason="loss is NaN",
        confusion_matrix=[],
        best_epoch=None,
        **{"test/accuracy": None},
    )
    write_run(tmp_path / "sweep/5", {"optim.learning_rate": 1.0}, status="running", confusion_matrix=[])
    return find_runs([tmp_path])


def test_the_page_of_a_run_says_what_came_of_it(run):
    page = Page(run_report(run))
    assert page.unbalanced == []
    assert page.open == []
    for words in (
        "mlp-digits-adam",
        "2026-11-21 06:02",
        "83.33%",
        "test accuracy of the last weights (epoch 2)",
        "0.2500",
        "1 by val/loss",
        "75,010",
        "reached max_epochs=2",
        "data=digits",
        "Linux x86_64, 2 cores",
        "Most confused: Bag taken for T-shirt/top, 3 times; the other way 1.",
    ):
        assert words in page.text


def test_the_page_says_what_the_machine_computed_in_another_way(tmp_path):
    told = "this CPU cannot compute an LSTM in bfloat16: LSTM layers use float32"
    assert told in Page(run_report(read_run(write_run(tmp_path / "run", fallbacks=[told])))).text


def test_the_matrix_and_the_classes_have_their_figures(run):
    rows = Page(run_report(run)).rows
    assert ["T-shirt/top", "8", "1", "1"] in rows
    assert ["Bag", "3", "·", "7"] in rows
    assert ["Trouser", "90.9%", "100.0%", "95.2%", "10"] in rows  # called so 11 times, 10 of them rightly


def test_the_weight_of_each_class_stands_with_its_scores(tmp_path):
    rows = Page(run_report(read_run(write_run(tmp_path / "run", class_weights=[0.5, 1.25, 3])))).rows
    assert ["class", "precision", "recall", "F1", "samples", "weight in training"] in rows
    assert ["Trouser", "90.9%", "100.0%", "95.2%", "10", "1.25"] in rows


def test_both_pages_say_what_acts_on_the_training_loss_alone(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / str(seed), {"seed": seed, "model.label_smoothing": 0.1})
    words = "train/loss and train/accuracy are those of training with model.label_smoothing=0.1: compare val/loss"
    assert words in Page(run_report(read_run(tmp_path / "0"))).text
    assert words in Page(comparison_report(*find_runs([tmp_path]))).text


def test_samples_are_embedded_with_guess_truth_and_a_mark_that_is_no_colour(run):
    html = run_report(run)
    page = Page(html)
    assert [tag for tag in page.tags if tag == "img"] == ["img"] * 3
    assert "✓ Trouser" in page.text
    assert "✗ T-shirt/top" in page.text
    assert re.search(r"is\s*<strong>Bag</strong>", html)


def test_a_long_review_is_folded_and_a_short_one_is_not(tmp_path):
    sample = inspection()["gallery"][0] | {"image": None}
    samples = [sample | {"text": "good film"}, sample | {"text": "word " * 200 + "the end"}]
    html = run_report(read_run(write_run(tmp_path / "run", inspected=inspection(gallery=samples))))
    assert '<p class="text">good film</p>' in html
    assert re.search(r"<details><summary>(word ){20,}", html)
    assert "the end</p></details>" in html


def test_nothing_that_a_user_names_becomes_markup(tmp_path):
    sample = inspection()["gallery"][0] | {"image": None, "text": EVIL}
    settings = {"name": EVIL, "model.activation": EVIL}
    fields = {
        "classes": [EVIL, *CLASSES[1:]],
        "overrides": [EVIL],
        "machine": EVIL,
        "status": "failed",
        "stop_reason": EVIL,
        "inspected": inspection(gallery=[sample], histograms={EVIL: {}}),
    }
    fields["inspected"]["histograms"] = {EVIL: inspection()["histograms"]["hidden.0.linear.weight"]}
    fields["inspected"]["dead_units"] = {EVIL: {"1": 0.5}}
    write_run(tmp_path / "sweep/0", settings, **fields)
    write_run(tmp_path / "sweep/1", {"model.activation": "$x_<b>"}, **fields)
    runs, _ = find_runs([tmp_path])
    for html in (run_report(runs[0]), comparison_report(runs, [Damaged(tmp_path / EVIL, EVIL)])):
        page = Page(html)
        assert [tag for tag in page.tags if tag == "script"] == ["script"]
        assert "b" not in page.tags
        assert page.unbalanced == []
        assert EVIL in page.text


def test_nothing_is_fetched_and_the_page_forbids_it(run, several):
    for html in (run_report(run), comparison_report(*several)):
        links = [value for name, value in Page(html).attributes if name in ("src", "href", "xlink:href")]
        assert links
        assert all(link.startswith(("#", "data:")) for link in links)
        assert not re.search(r"url\((?!#)|@import", html)
        assert "default-src 'none'" in html


def test_what_a_figure_refers_to_is_on_the_page_once(several):
    html = comparison_report(*several)
    ids = Counter(value for name, value in Page(html).attributes if name == "id")
    referred = set(re.findall(r'url\(#([^)]+)\)|xlink:href="#([^"]+)"', html))
    assert len(referred) > 50
    assert {ids[first or second] for first, second in referred} == {1}


def test_the_page_of_several_runs_compares_them(several):
    page = Page(comparison_report(*several))
    assert page.unbalanced == []
    assert "6 runs, 4 completed, 1 failed, 1 running or killed · what varies: optim.learning_rate, seed" in page.text
    assert ["0.01", "2", "2", "88.50 ± 0.71%", "0.2500 ± 0.0000", "0.7000 ± 0.0000"] in page.rows
    (failed,) = [row for row in page.rows if "failed" in str(row)]
    assert failed[:5] == ["4", "10", "0", "⚠ failed", "not finite"]
    (unfinished,) = [row for row in page.rows if "running or killed" in str(row)]
    assert unfinished[0] == "5"
    assert "88.50 ± 0.71%" in page.text
    assert "mean test accuracy of 2 seeds, of the last weights" in page.text
    assert "Best by val/loss 0.7000, mean of 2 seeds: python train.py" in page.text


def test_the_title_is_in_words_and_the_stamp_below_it(tmp_path):
    sweep = tmp_path / "20261121-060235-a2c588-mlp-digits"
    for place in range(3):
        write_run(sweep / f"{place}", {"model.dropout": place / 4, "seed": place})
    html = comparison_report(*find_runs([sweep]))
    heading = "mlp-digits: 3 runs that differ in model.dropout and seed"
    assert f"<h1>{heading}</h1>" in html
    assert f"<title>{heading}</title>" in html
    assert f"2026-11-21 06:02 · {sweep.name}</p>" in html


def hrefs(html):
    return [value for name, value in Page(html).attributes if name == "href" and not value.startswith(("data:", "#"))]


def test_each_row_leads_to_its_runs_page_also_where_all_is_moved(tmp_path):
    names = ["a run, 50% & #1", "2"]
    for loss, name in enumerate(names):
        epochs = [EPOCHS[1] | {"val/loss": 1.0 + loss}]
        write_run(tmp_path / "sweep" / name, {"model.dropout": loss / 2}, epochs)
    (tmp_path / "sweep" / names[0] / "report.html").write_text("the run's own page")
    runs, _ = find_runs([tmp_path / "sweep"])
    for folder, way in ((tmp_path / "sweep", ""), (tmp_path / "elsewhere", "../sweep/")):
        html = write_report(runs, [], folder / "r.html")[0].read_text()
        assert hrefs(html) == [f"{way}a%20run%2C%2050%25%20%26%20%231/report.html"]  # the other run has no page
        assert "as long as this file and the runs' folders stay where they are to each other" in Page(html).text
    moved = (tmp_path / "sweep").rename(tmp_path / "moved")
    (link,) = hrefs((moved / "r.html").read_text())
    assert (moved / unquote(link)).read_text() == "the run's own page"


def test_the_interval_of_the_test_accuracy_has_columns_and_stands_below_the_score(several, run, tmp_path):
    paths = write_report(*several, tmp_path / "r.html")
    rows = list(csv.DictReader(paths[1].read_text().splitlines()))
    assert float(rows[0]["test/accuracy low"]) == pytest.approx(0.6644, abs=1e-4)  # of 25 of 30, as SciPy has it
    assert float(rows[0]["test/accuracy high"]) == pytest.approx(0.9266, abs=1e-4)
    (failed,) = [row for row in rows if row["status"] == "failed"]
    assert failed["test/accuracy low"] == failed["test/accuracy high"] == ""
    words = "95% interval 66.4% to 92.7%, from 30 samples"
    assert words in " ".join(Page(run_report(run)).text.split())


def test_what_curves_and_units_mean_is_said(run):
    text = " ".join(Page(run_report(run)).text.split())
    assert "Overfitting: at epoch 2 the validation loss is 50% above its lowest (10% or more)." in text
    assert "A unit is dead if its output is the same for all validation samples" in text
    assert "At the end: 20.0% of hidden.0." in text


def test_the_headline_is_what_validation_chose_whatever_the_test_says(tmp_path):
    for place, (loss, accuracy) in enumerate([(0.6, 0.95), (0.4, 0.8)]):
        epochs = [EPOCHS[0] | {"val/loss": 0.1}, EPOCHS[1] | {"val/loss": loss}]
        write_run(tmp_path / f"s/{place}", {"model.dropout": place / 2}, epochs, **{"test/accuracy": accuracy})
    html, _, markdown = write_report(*find_runs([tmp_path]), tmp_path / "r.html")
    headline = re.search(r'<div class="card headline">(.*?)</p>', html.read_text(), re.DOTALL)[1]
    assert "80.00%" in headline
    assert "test accuracy, of the last weights (epoch 2)" in headline
    assert '<a href="#run-2">1</a>' in headline
    assert '<th scope="row"><a href="#run-2">1</a></th>' in html.read_text()  # the first row leads to the second run
    assert "Best by val/loss 0.4000; test accuracy 80.00%, of the last weights (epoch 2)" in markdown.read_text()


def test_runs_of_the_same_settings_and_seed_are_said_to_count_once(tmp_path):
    for place in range(2):
        write_run(tmp_path / f"s/{place}", {"name": f"run {place}"})
    html, _, markdown = write_report(*find_runs([tmp_path]), tmp_path / "r.html")
    for text in (Page(html.read_text()).text, markdown.read_text()):
        assert "2 runs of the same settings and seed count as one: 0, 1" in text
        assert "of 2" not in text


@pytest.mark.parametrize(
    "name", ["a_*b*_`c`~~d~~", r"x\|y|z", "<b>&lt;", "[here](now)", "_one_ __two__ a_b_c", "![x](y)", "=1+1", "$x$"]
)
def test_a_name_in_markdown_is_read_as_it_is(name):
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    page = Page(markdown.render(as_markdown(["run"], [[name]])))
    assert page.rows == [["run"], [name]]
    assert set(page.tags) == {"table", "thead", "tbody", "tr", "th", "td"}


def test_numbers_are_sorted_by_their_value_and_what_is_missing_by_none(several):
    html = comparison_report(*several)
    assert re.search(r'<td data-value="0.1">0.1</td>', html)
    assert '<td data-value="">not finite</td>' in html
    assert re.search(r'<td data-value="0.88\d+">88.50 ± 0.71%</td>', html)


def test_a_damaged_folder_is_named_with_the_reason(several):
    runs, _ = several
    text = Page(comparison_report(runs, [Damaged(runs[0].folder / "broken", "summary.json is damaged")])).text
    assert "Skipped, as they cannot be read" in text
    assert "broken: summary.json is damaged" in text


def test_one_run_beside_a_damaged_one_is_a_comparison_that_names_it(run, tmp_path):
    (html, *_) = write_report([run], [Damaged(tmp_path / "broken", "why")], tmp_path / "r.html")
    assert "why" in html.read_text()


def test_html_csv_and_markdown_stand_side_by_side(several, tmp_path):
    paths = write_report(*several, tmp_path / "there/all.html")
    assert [path.name for path in paths] == ["all.html", "all.csv", "all.md"]
    rows = list(csv.DictReader(paths[1].read_text().splitlines()))
    assert [row["status"] for row in rows] == ["completed"] * 4 + ["failed", "running or killed"]
    assert [row["run"] for row in rows] == ["2", "3", "0", "1", "4", "5"]  # by val/loss of the tested weights
    assert rows[2]["test/accuracy"] == "0.8"
    markdown = paths[2].read_text()
    assert "| 0 | 0.1 | 0 | completed | 80.00% |" in markdown
    assert "| 0.01 | 2 | 2 | 88.50 ± 0.71% |" in markdown


def test_a_folder_whose_name_is_no_utf8_is_named_in_escapes(run, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    paths = write_report([run], [Damaged(folder, "why")], tmp_path / "r.html")
    for path in (paths[0], paths[2]):
        assert r"caf\udce9" in path.read_text()


def test_what_there_are_too_many_of_to_draw_is_said(tmp_path):
    names = [f"data.s{place}" for place in range(11)]
    for number in range(5):
        settings = dict.fromkeys(names, number) | {"model.hidden": [number]}
        write_run(tmp_path / f"{number}", settings, inspected=inspection(), **{"test/accuracy": number / 10})
    html = comparison_report(*find_runs([tmp_path]))
    assert "Of 12 settings the first 6 are drawn." in html
    assert "Of 12 settings and items of lists the first 9 are drawn." in html
    assert "groups of runs the first" not in html


def test_many_runs_leave_out_the_part_of_each(tmp_path):
    for seed in range(13):
        write_run(tmp_path / f"{seed}", {"seed": seed})
    html = comparison_report(*find_runs([tmp_path]))
    assert "Each run" not in html
    assert "#run-" not in html


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "running", "epochs": None, "confusion_matrix": [], "best_epoch": None},
        {"status": "interrupted", "stop_reason": "SIGTERM", "confusion_matrix": []},
        {"classes": [], "confusion_matrix": []},
        {"classes": ["one"], "confusion_matrix": [[3]]},
        {"classes": list(map(str, range(40))), "confusion_matrix": [[i == j for j in range(40)] for i in range(40)]},
        {"classes": list(map(str, range(1500))), "confusion_matrix": [[3, 3, 9], [3, 1499, 1]]},
        {"test/accuracy": None, "test/loss": None},
        {"epochs": [{"epoch": 1, "val/loss": "nan", "val/accuracy": "nan"}]},
        {"inspected": inspection(histograms={}, dead_units={}, gallery=[], most_wrong=[])},
    ],
)
def test_a_run_of_any_kind_has_a_page_alone_and_among_others(tmp_path, fields):
    if "confusion_matrix" in fields:
        fields = fields | {"confusion_matrix": [list(map(int, row)) for row in fields["confusion_matrix"]]}
    write_run(tmp_path / "s/0", **fields)
    write_run(tmp_path / "s/1", {"model.dropout": 0.5}, **fields)
    runs, damaged = find_runs([tmp_path])
    assert damaged == []
    for html in (run_report(runs[0]), comparison_report(runs, [])):
        page = Page(html)
        assert (page.unbalanced, page.open) == ([], [])


def test_a_report_that_cannot_be_written_says_so_in_one_line(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file cannot be written to \(.*is not a folder\): choose another folder"):
        write_report([run], [], tmp_path / "file/r.html")
    with pytest.raises(UserError, match=r"r\.txt is not a name for a report: .*\.html"):
        write_report([run], [], tmp_path / "r.txt")


def test_a_reported_curve_that_a_run_has_nothing_beside_is_said(tmp_path):
    curves = {"train_eval/accuracy": {"1": 0.5}, "val/loss": {"1": 0.5, "20": 0.25}}
    for seed in (0, 1):
        write_run(tmp_path / f"{seed}", {"seed": seed}, reference_curves=curves, reference_distance=0.5)
    runs, _ = find_runs([tmp_path])
    missing = "reported: train_eval/accuracy, which the run did not log: set trainer.evaluate_train=true"
    longer = "reported up to epoch 20: val/loss; the run ended after 2"
    assert f"{missing}; {longer}" in Page(run_report(runs[0])).text
    text = Page(comparison_report(runs, [])).text
    assert f"{missing} (2 runs). {longer} (2 runs)." in text
    assert "distance from the reported curves" in text


def test_every_logged_metric_waits_to_be_chosen_and_of_many_runs_the_usual_four(tmp_path, monkeypatch):
    for seed in (0, 1):
        write_run(tmp_path / f"{seed}", {"seed": seed}, [EPOCHS[0] | {"learning_rate": 0.1}])
    runs, _ = find_runs([tmp_path])
    drawn = r'aria-label="(\S+) by epoch, all runs"'
    every = ["train/loss", "val/loss", "train/accuracy", "val/accuracy", "learning_rate"]
    assert re.findall(drawn, comparison_report(runs, [])) == every
    monkeypatch.setattr("dlproj.reports.comparison_page._RUNS_CHOSEN", 1)
    page = comparison_report(runs, [])
    assert re.findall(drawn, page) == every[:4]
    assert "Of more than 1 runs no other metric is drawn." in page
