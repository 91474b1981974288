"""data=text_table: texts and labels in columns of a table."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from test_text_folder import texts, write

from dlproj.config.checks import UserError
from dlproj.config.data import ValidationSplit
from dlproj.config.texts import TextFolderConfig, TextTableConfig, Tokens
from dlproj.data import text_table, tokenized
from dlproj.data.labelled_rows import labelled_rows

ROWS = [(text, name.split("/")[1]) for name, text in texts().items() if name.startswith("train")]
TEST = [(text, name.split("/")[1]) for name, text in texts().items() if name.startswith("test")]


def table(rows, columns=("text", "label")):
    return pd.DataFrame(rows, columns=list(columns))


@pytest.fixture
def files(tmp_path):
    """Call with rows to train and to test on: the settings that name their files."""

    def written(train=ROWS, test=TEST):
        for name, rows in (("train", train), ("test", test)):
            table(rows).to_csv(tmp_path / f"{name}.csv", index=False)
        return {"train_file": str(tmp_path / "train.csv"), "test_file": str(tmp_path / "test.csv")}

    return written


def data(**settings):
    module = TextTableConfig(**({"length": 10, "batch_size": 4} | settings)).build(0)
    module.prepare_data()
    module.setup()
    return module


def samples(module):
    parts = [(module.train, module.val), (module.test,)]
    return [
        sorted(
            (module.shown(ids), int(target))
            for part in some
            for ids, target in zip(part.inputs, part.targets, strict=True)
        )
        for some in parts
    ]


def test_a_table_is_read_as_a_folder_of_the_same_texts(tmp_path, files):
    folder = TextFolderConfig(root=str(write(tmp_path / "folder", texts())), length=10, batch_size=4).build(0)
    folder.prepare_data()
    folder.setup()
    module = data(**files())
    assert (module.words, module.spec) == (folder.words, folder.spec)
    assert samples(module) == samples(folder)


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "feather", "xlsx"])
def test_any_kind_of_table_gives_the_same(tmp_path, files, kind):
    first = data(**files())
    paths = {}
    for name, rows in (("train", ROWS), ("test", TEST)):
        path = tmp_path / f"own.{name}.{kind}"
        frame = table(rows, ("what is said", "class")).assign(more=1.5)
        own = {"csv": frame.to_csv, "tsv": frame.to_csv, "parquet": frame.to_parquet, "xlsx": frame.to_excel}
        options = {"sep": "\t"} if kind == "tsv" else {}
        frame.to_feather(path) if kind == "feather" else own[kind](path, index=False, **options)
        paths[f"{name}_file"] = str(path)
    module = data(**paths, text_column="what is said", label_column="class")
    assert module.fingerprint() == first.fingerprint()


def test_rows_keep_their_order(files):
    module = data(**files(), val=ValidationSplit.test)
    assert module.train.targets.tolist() == [0] * 6 + [1] * 6
    assert module.shown(module.train.inputs[7]) == "the film1 is good isn't it"


def test_one_file_has_no_test_set(files):
    file = files()["train_file"]
    with pytest.raises(UserError, match=r"the data has no test set: set data.test_fraction=0.2, or data.folds=5"):
        data(file=file)
    with_test_set = data(file=file, test_file=files()["test_file"])
    assert with_test_set.fingerprint() == data(**files()).fingerprint()
    module = data(file=file, test_fraction=0.25)
    assert [len(part) for part in (module.train, module.val, module.test)] == [8, 1, 3]


def test_classes_are_numbers_in_their_order_or_names_by_the_alphabet(files):
    assert data(**files([("a", 10), ("b", 9), ("c", -1)] * 3, [("a", 9)])).spec.classes == ("-1", "9", "10")
    assert data(**files([("a", "x"), ("b", "10"), ("c", "B")] * 3, [("a", "B")])).spec.classes == ("10", "B", "x")
    rows = labelled_rows("name", ["a", "b"], np.array([1.0, 2.5]), [2, 3])
    assert rows.labels == ["1", "2.5"]


def test_the_cache_lies_beside_the_table_and_depends_on_texts_and_labels(files, tmp_path, monkeypatch):
    monkeypatch.setattr(text_table, "WORTH_KEEPING", 0)
    first = data(**files())
    assert len(list(tmp_path.glob("tokenized-train.csv-*.pt"))) == 1
    monkeypatch.setattr(tokenized, "rank", None)
    assert data(**files()).fingerprint() == first.fingerprint()
    monkeypatch.undo()
    monkeypatch.setattr(text_table, "WORTH_KEEPING", 0)
    assert data(**files([(text, "good" if label == "bad" else "bad") for text, label in ROWS])).train.targets[0] == 1
    assert len(list(tmp_path.glob("*.pt"))) == 2


def test_another_table_gets_the_ids_and_classes_of_training(files, tmp_path):
    module = data(**files())
    table([("unseen words", "bad")] * 9).to_csv(tmp_path / "other.csv", index=False)
    one = str(tmp_path / "other.csv")
    restored = TextTableConfig(train_file=one, test_file=one, length=10).build(0)
    restored.load_state_dict(module.state_dict())
    restored.setup()
    assert restored.spec.classes == ("bad", "good")
    assert restored.shown(restored.test.inputs[0]) == "<unknown> <unknown>"


READ = {  # texts that are strange, but texts
    "in quotes with commas and line breaks": 'a, "b"\nc\r\nd',
    "a formula of a spreadsheet": "=SUM(A1:A2)",
    "a number": "12345",
    "a word for missing values": "NULL",
    "HTML": "<br /><script>",
    "emoji": "👍🏽👍",
    "a huge text": "word " * 50_000,
    "punctuation alone": "?!",
    "a settings interpolation": "${oc.env:HOME}",
}


@pytest.mark.parametrize("case", READ)
@pytest.mark.parametrize("tokens", list(Tokens), ids=lambda tokens: tokens.value)
def test_strange_texts_are_read(files, case, tokens):
    module = data(**files([*ROWS, (READ[case], "bad")]), val=ValidationSplit.test, tokens=tokens)
    assert len(module.train) == 13
    assert torch.equal(module.encode([READ[case]])[0], module.train.inputs[-1])


REFUSED = {  # by the training rows, and a part of the message
    "an empty text": ([*ROWS, ("", "bad")], "train.csv: row 14 has no text: fill it in, or remove the row"),
    "white space for a text": ([*ROWS, ("  ", "bad")], "train.csv: row 14 has no text"),
    "no label": ([*ROWS, ("a", None)], "train.csv: row 14 has no label: fill it in"),
    "one class": (ROWS[:6], "train.csv has one class only, bad: add rows of another"),
    "another label in each row": (
        [(text, text) for text, _ in ROWS],
        "has another label in each row: set data.label_co",
    ),
    "a label of several lines": ([*ROWS, ("a", "b\nc")], r"row 14 has the label 'b\nc', which cannot be written"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rows_that_cannot_be_used_are_named(files, case):
    rows, message = REFUSED[case]
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        data(**files(rows))
    assert "\n" not in str(caught.value)


def test_a_label_that_training_lacks_is_named(files):
    with pytest.raises(UserError, match=r"test.csv: row 3 has the label ugly, the classes are bad, good: change it"):
        data(**files(test=[("a", "bad"), ("a", "ugly")]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"text_column": "review"}, "has no column review, but text, label: set data.text_column to one of them"),
        ({"label_column": "Label"}, "has no column Label, but text, label: set data.label_column"),
        ({"file": "x.csv"}, "data.file and data.train_file both name training rows: set one"),
        ({"train_file": ""}, "data.file is empty: set it to a table"),
        ({"test_file": ""}, "the data has no test set: set data.test_fraction=0.2"),
        ({"test_file": "/nowhere.csv"}, "/nowhere.csv cannot be read"),
        ({"test_file": "/nowhere.doc"}, "/nowhere.doc is no table file by its name"),
    ],
)
def test_settings_that_do_not_fit_the_table(files, settings, message):
    with pytest.raises(UserError, match=re.escape(message)):
        data(**files() | settings)


@pytest.mark.parametrize("cell", [b"bytes", ["a", "b"], {"a": 1}, np.zeros(2), float("nan"), None, "a\0b", "\ud800"])
def test_cells_that_are_no_text_are_refused(cell):
    for texts_, labels in ((["a", cell], ["x", "y"]), (["a", "b"], ["x", cell])):
        with pytest.raises(UserError, match=r"^there: row 3 ") as caught:
            labelled_rows("there", texts_, labels, [2, 3])
        assert "\n" not in str(caught.value)
