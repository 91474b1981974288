"""A run that was trained on a table: its predictions, its evaluation on other tables, its page, its export."""

import errno
import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import dlproj
from dlproj.cli.app import app
from dlproj.config.checks import UserError
from dlproj.data.table_files import read_table
from dlproj.inference.export import Format, export
from dlproj.inference.trained import open_run

ROOT = Path(__file__).parents[2]
SETTINGS = ["data.target=kind", "model.hidden=[8]", "model.category_embedding_dim=3", "figures=none"]


def table(size=120):
    random = np.random.default_rng(0)
    city = random.choice(["Köln", "Paris", "Rome"], size)
    age = random.normal(40, 10, size).round(1)
    kind = np.where((city == "Rome") | (age > 45), "old", "new")
    frame = pd.DataFrame({"age": age, "city": city, "note": [f"a note on {i}" for i in range(size)], "kind": kind})
    frame.loc[::9, "age"] = np.nan
    return frame


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    table().to_csv(folder / "people.csv", index=False)
    settings = [*SETTINGS, "data=table", f"data.file={folder / 'people.csv'}"]
    return dlproj.train(*settings, max_epochs=3, progress_bar=False, folder=folder / "run")


def predicted(run, *arguments):
    done = CliRunner().invoke(app, ["predict", str(run.folder), *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def check_equal(found, expected):
    """Up to the rounding of batches of other sizes."""
    assert found["class"].tolist() == expected["class"].tolist()
    np.testing.assert_allclose(found[["new", "old"]].to_numpy(), expected[["new", "old"]].to_numpy(), atol=1e-6)


def test_columns_are_found_by_name(run, tmp_path, caplog):
    given = table(20)
    expected = run.predict(given)
    assert list(expected.columns) == ["class", "new", "old"]
    assert (expected.index == given.index).all()
    shuffled = given[["kind", "city", "note", "age"]].rename(index=lambda i: f"row {i}").iloc[::-1]
    again = run.predict(shuffled)
    assert again.index.tolist()[0] == "row 19"
    check_equal(again.iloc[::-1], expected)
    lean = given.drop(columns=["kind", "note"])
    check_equal(run.predict(lean), expected)
    assert not caplog.records
    run.predict(lean.assign(shoe=43))
    assert "columns that the model does not know are not read: shoe" in caplog.text


def test_a_row_may_come_in_many_forms(run, tmp_path):
    given = table(20)
    expected = run.predict(given).iloc[3:4]
    lean = given.drop(columns=["kind"]).iloc[3]
    path = tmp_path / "rows.xlsx"
    given.to_excel(path, index=False)
    for rows in (lean, lean.to_dict(), [lean.to_dict()], given.iloc[3:4]):
        check_equal(run.predict(rows), expected)
    check_equal(run.predict(str(path)).iloc[3:4], expected)
    assert run.predict(path).index.tolist()[0] == 2


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (table(5).drop(columns="city"), "there is no column city: the columns are age, note, kind"),
        (table(5).rename(columns={"city": "City"}), "there is no column city: did you mean City?"),
        (table(5).assign(age="old"), "row 0 of the column age holds 'old', which is no number"),
        (table(5).assign(age=np.inf), "row 0 of the column age holds 'inf': give finite numbers"),
        (table(5)[["age", "city", "city"]], "there are several columns city"),
        (table(0), "hand in a DataFrame with at least one row"),
        (np.zeros((2, 4)), "the run reads rows of a table: hand in a DataFrame"),
        ([1, 2], "the run reads rows of a table: hand in a DataFrame"),
        ("nowhere.csv", "nowhere.csv cannot be read"),
        ("rows.json", "rows.json is no table file by its name"),
    ],
)
def test_what_does_not_fit_is_refused(rows, words, run):
    with pytest.raises(UserError, match=re.escape(words)):
        run.predict(rows)


@pytest.mark.parametrize("kind", ["csv", "tsv", "xlsx", "parquet", "feather"])
def test_the_same_file_is_written_with_classes(kind, run, tmp_path):
    given, output = tmp_path / "rows.csv", tmp_path / f"out.{kind}"
    table(20).to_csv(given, index=False)
    done = predicted(run, given, "--output", output)
    assert done.exit_code == 0
    assert "20 rows with their classes in" in done.stderr
    written, expected = read_table(output), run.predict(given)
    names = ["age", "city", "note", "kind", "predicted_class", "probability_new", "probability_old"]
    assert list(written.columns) == names
    assert written["note"].tolist() == table(20)["note"].tolist()
    assert written["predicted_class"].tolist() == expected["class"].tolist()
    np.testing.assert_allclose(written["probability_old"].astype(float), expected["old"], rtol=1e-6)
    again = predicted(run, output, "--output", output, "--overwrite")
    assert again.exit_code == 0
    assert list(read_table(output).columns) == names


@pytest.mark.parametrize(
    ("name", "delimiter", "output", "written"),
    [
        ("rows.csv", ";", "out.csv", ";"),
        ("rows.csv", "\t", "out.csv", "\t"),
        ("rows.txt", "|", "out.csv", "|"),
        ("rows.csv", ";", "out.tsv", "\t"),
        ("rows.tsv", "\t", "out.csv", ","),
        ("rows.parquet", "", "out.txt", ","),
    ],
)
def test_the_delimiter_is_that_of_the_table(name, delimiter, output, written, run, tmp_path):
    given = table(4).drop(columns="note").assign(city=["a; b", "a, b", "a\tb", "a|b"])
    if delimiter:
        given.to_csv(tmp_path / name, sep=delimiter, index=False)
    else:
        given.to_parquet(tmp_path / name)
    predicted(run, tmp_path / name, "--output", tmp_path / "new" / output)
    again = pd.read_csv(tmp_path / "new" / output, sep=written)
    assert list(again.columns) == [*given.columns, "predicted_class", "probability_new", "probability_old"]
    assert again["city"].tolist() == given["city"].tolist()


def test_a_full_disk_leaves_the_table_before(run, tmp_path, monkeypatch):
    path, write = tmp_path / "rows.csv", Path.write_bytes
    table(20).to_csv(path, index=False)
    before = path.read_bytes()

    def full(beside, content):
        write(beside, content[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"rows.csv cannot be written \(No space left on device\): name another file"):
        predicted(run, path, "--output", path, "--overwrite")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [before]


def test_a_table_that_the_format_cannot_hold_is_answered_in_one_line(run, tmp_path):
    given, output = tmp_path / "rows.xlsx", tmp_path / "out.parquet"
    table(4).assign(mixed=["a", 1, 2.5, "b"]).to_excel(given, index=False)
    with pytest.raises(UserError, match=r"out.parquet cannot hold this table \(.*\): let the file end in .csv"):
        predicted(run, given, "--output", output)


def test_rows_are_named_and_files_that_cannot_be_read_are_left_out(run, tmp_path):
    for name in ("a.csv", "b.csv"):
        table(3).to_csv(tmp_path / name, index=False)
    done = predicted(run, tmp_path / "a.csv", "--format", "csv", "--top", "1")
    assert done.stdout.splitlines()[0] == "input,class,probability"
    assert [line.split(",")[0] for line in done.stdout.splitlines()[1:]] == ["row 2", "row 3", "row 4"]
    with pytest.raises(UserError, match="1 of 7 inputs were left out"):
        predicted(run, tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "missing.csv")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to predict: name a table file, one of .csv"),
        (["a film"], "a film is no table file by its name"),
        (["-"], "- is no table file by its name"),
        (["a.csv", "b.csv", "--output", "c.csv"], "--output takes one table, not 2"),
        (["a.csv", "--output", "c.json"], "c.json is no table file by its name"),
        (["a.csv", "--output", "a.csv"], "a.csv exists: set --output to another file, or --overwrite"),
        (["a.csv", "--output", "a.csv/c.csv"], "a.csv/c.csv cannot be written (a.csv is not a folder)"),
    ],
)
def test_arguments_that_do_not_fit(arguments, words, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table(3).to_csv("a.csv", index=False)
    with pytest.raises(UserError, match=re.escape(words)):
        predicted(run, *arguments)


def test_another_table_is_evaluated_whole(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = table(90).iloc[::-1]
    metrics = run.evaluate(data=other)
    right = (run.predict(other)["class"] == other["kind"]).mean()
    assert metrics["test/accuracy"] == pytest.approx(right)
    other.to_csv(tmp_path / "other.csv", index=False)
    assert run.evaluate(data=tmp_path / "other.csv") == metrics
    own = run.evaluate()
    assert own["test/accuracy"] == run.metrics["test/accuracy"]
    assert own["test/loss"] == run.metrics["test/loss"]


def test_a_table_of_one_row_is_evaluated_whatever_training_held_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grouped = table().assign(person=np.arange(120) // 3)
    held_out = ["data.val=stratified", "data.group_column=person", "data.batch_size=8", "data.drop_last=true"]
    run = dlproj.train(*SETTINGS, *held_out, data=grouped, max_epochs=1, progress_bar=False)
    for row in (grouped.iloc[[0]], grouped.iloc[[1]].drop(columns="person")):
        right = (run.predict(row)["class"] == row["kind"]).mean()
        assert run.evaluate(data=row)["test/accuracy"] == right


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (table(30).assign(kind="other"), "row 2 has the class other, which no training row has"),
        (table(30).drop(columns="kind"), "there is no column kind"),
        (table(30).drop(columns="age"), "there is no column age"),
    ],
)
def test_other_tables_have_to_fit(data, words, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=re.escape(words)):
        run.evaluate(data=data)


def test_a_data_frame_trains_as_its_file_does(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    again = dlproj.train(*SETTINGS, data=table(), max_epochs=3, progress_bar=False)
    assert again.metrics == run.metrics


def test_columns_of_any_name_can_have_a_role(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = table().assign(**{"length (cm), a: b": range(120)})
    roles = {"length (cm), a: b": "numeric", "note": "categorical"}
    settings = {"max_epochs": 1, "progress_bar": False}
    again = dlproj.train("data.target=kind", "figures=none", data=given, data__columns=roles, **settings)
    assert again.settings["data"]["columns"] == roles
    assert "length (cm), a: b" in again.report.read_text()


def test_the_page_tells_the_columns(run):
    page = run.report.read_text()
    for words in ("<h2>Columns</h2>", "numeric: with missing values", "categorical: 3 categories", "left out: texts"):
        assert words in page


def test_an_export_gives_the_same_probabilities(run, tmp_path):
    trained = open_run(run.folder)
    done = export(trained, Format.exported_program, tmp_path / "model.pt2")
    assert done.largest_difference < 1e-5
    stored = trained.data.encode_frame(table(6))
    probabilities = torch.export.load(tmp_path / "model.pt2").module()(stored)
    np.testing.assert_allclose(probabilities.detach().numpy(), run.predict(table(6))[["new", "old"]], atol=1e-6)


@pytest.fixture(scope="module")
def texts_run(tmp_path_factory):
    """A run that was trained on texts in the column comment of a table."""
    folder = tmp_path_factory.mktemp("texts")
    rows = pd.DataFrame({"comment": ["a fine day", "late and cold"] * 20, "label": ["good", "bad"] * 20})
    rows.to_csv(folder / "train.csv", index=False)
    settings = ["data=text_table", f"data.file={folder / 'train.csv'}", "data.test_fraction=0.2", "data.length=8"]
    settings += ["data.text_column=comment", "model.hidden=[8]", "figures=none"]
    return dlproj.train(*settings, max_epochs=30, progress_bar=False, folder=folder / "run")


def comments():
    """Texts that only a table can hold, with other columns."""
    return pd.DataFrame({"id": ["007", "008", "009"], "comment": ["a fine\nday; fine", 'late, "cold"', "NULL"]})


def test_a_model_of_texts_reads_its_column(texts_run, tmp_path):
    comments().to_csv(tmp_path / "new.csv", index=False)
    done = predicted(texts_run, tmp_path / "new.csv", "--format", "csv")
    frame = pd.read_csv(io.StringIO(done.stdout))
    alone = texts_run.predict(comments()["comment"].tolist())
    assert frame["input"].tolist() == ["row 2", "row 4", "row 5"]  # a text of two lines takes two
    assert frame["class"].tolist() == alone["class"].tolist()
    np.testing.assert_allclose(frame["probability"], alone[["bad", "good"]].max(axis=1), rtol=1e-6)
    for x in (tmp_path / "new.csv", comments().assign(label="")):
        np.testing.assert_allclose(texts_run.predict(x)[["bad", "good"]], alone[["bad", "good"]], rtol=1e-6)
    lines = predicted(texts_run, tmp_path / "new.csv", "--lines", "--format", "csv", "--top", "1")
    assert len(lines.stdout.splitlines()) == 1 + 5


@pytest.mark.parametrize("kind", ["csv", "txt", "tsv", "xlsx", "parquet", "feather"])
def test_a_table_of_texts_is_written_with_classes(kind, texts_run, tmp_path):
    given, output = tmp_path / "new.csv", tmp_path / f"out.{kind}"
    comments().to_csv(given, index=False, sep=";")
    done = predicted(texts_run, given, "--output", output)
    assert "3 rows with their classes in" in done.stderr
    written, alone = read_table(output, missing_words=False), texts_run.predict(comments()["comment"].tolist())
    assert list(written.columns) == ["id", "comment", "predicted_class", "probability_bad", "probability_good"]
    for name in ("id", "comment"):
        assert written[name].tolist() == comments()[name].tolist()
    assert written["predicted_class"].tolist() == alone["class"].tolist()
    np.testing.assert_allclose(written["probability_bad"].astype(float), alone["bad"], rtol=1e-6)
    again = predicted(texts_run, output, "--output", output, "--overwrite")
    assert "3 rows with their classes in" in again.stderr


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (comments().drop(columns="comment").assign(comments=1), "there is no column comment: did you mean comments?"),
        (comments().assign(comment=["a", " ", "b"]), "row 3 has no text: fill it in, or remove the row"),
        (None, "new.csv cannot be read"),
    ],
)
def test_a_table_of_texts_that_cannot_be_read_is_named(rows, words, texts_run, tmp_path):
    if rows is not None:
        rows.to_csv(tmp_path / "new.csv", index=False)
    for output in ([], ["--output", tmp_path / "out.csv"]):
        with pytest.raises(UserError, match=re.escape(words)) as caught:
            predicted(texts_run, tmp_path / "new.csv", *output)
        assert "new.csv" in str(caught.value)
        assert not (tmp_path / "out.csv").exists()


def test_a_table_and_a_text_at_once(texts_run, tmp_path):
    comments().to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(UserError, match="1 of 4 inputs were left out"):
        predicted(texts_run, tmp_path / "new.csv", "a fine day")


def test_an_export_is_used_without_dlproj_as_the_guide_says(run, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    export(open_run(run.folder), Format.onnx, tmp_path / "logs/wine/export/model.onnx")
    given = table(30)
    given.loc[[1, 2], "city"] = ["Oslo", None]
    given.to_csv("new.csv", index=False)
    (code,) = re.findall(
        r"```python\n(import json\n.*?)```", (ROOT / "docs/guide/tables.md").read_text("utf-8"), re.DOTALL
    )
    names = dict[str, Any]()
    exec(code, names)
    np.testing.assert_allclose(names["probabilities"], run.predict(given)[["new", "old"]], atol=1e-6)


def test_a_model_of_texts_is_evaluated_on_another_table(tmp_path):
    rows = pd.DataFrame({"text": ["a fine day", "late and cold"] * 20, "label": ["good", "bad"] * 20})
    rows.to_csv(tmp_path / "train.csv", index=False)
    pd.concat([rows.iloc[:3], rows.iloc[[0]].assign(label="bad")]).to_csv(tmp_path / "other.csv", index=False)
    settings = ["data=text_table", f"data.file={tmp_path / 'train.csv'}", "data.test_fraction=0.2", "data.length=8"]
    run = dlproj.train(
        *settings, "model.hidden=[8]", "figures=none", max_epochs=30, progress_bar=False, folder=tmp_path / "run"
    )
    assert run.metrics["test/accuracy"] == 1
    assert run.evaluate(test_file=str(tmp_path / "other.csv"))["test/accuracy"] == 0.75
    assert run.evaluate(file=str(tmp_path / "train.csv")) == run.evaluate()
