"""Tables as data: roles of columns, what the training rows teach, and strange tables answered in one line."""

import re
import shlex

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, QuantileTransformer, StandardScaler

from dlproj.api.overrides import as_overrides
from dlproj.config.checks import ConfigurationError, DataError, UserError
from dlproj.config.data import Kind, ValidationSplit
from dlproj.config.root import data_config
from dlproj.config.table import ColumnRole, Missing, TableConfig, TableScaling, columns_setting
from dlproj.data.table_files import read_table

N = 60


def frame(**columns):
    """A table of N rows with a number and a target of two classes, and these columns."""
    random = np.random.default_rng(0)
    given = {"x": random.normal(size=N), "y": ["no", "yes"] * (N // 2)}
    return pd.DataFrame(given | columns)


def written(folder, table, name="table.csv"):
    path = folder / name
    table.to_csv(path, index=False)
    return str(path)


def module(folder, table, **settings):
    settings = {"file": written(folder, table), "target": "y"} | settings
    return TableConfig(**settings).build(0)


def set_up(folder, table, **settings):
    data = module(folder, table, **settings)
    data.prepare_data()
    data.setup()
    return data


def roles(data):
    return {name: role for name, role, _ in data.roles()}


def test_roles_are_guessed_and_said(tmp_path, caplog, capsys):
    random = np.random.default_rng(0)
    table = frame(
        city=random.choice(["Köln", "Paris"], N),
        whole=random.integers(0, 9, N),
        money=[f"{value:,.2f}" for value in random.uniform(1e3, 1e7, N)],
        euros=[f"{value:.2f}".replace(".", ",") for value in random.uniform(1, 99, N)],
        row=range(N),
        customer_id=random.permutation(10_000)[:N],
        code=[f"K{i}" for i in range(N)],
        note=[f"a note of {i} words" for i in range(N)],
        day=pd.date_range("2020-01-01", periods=N).astype(str),
        slashes=[f"{i % 28 + 1}/{i % 12 + 1}/2020" for i in range(N)],
        same="one",
        empty=np.nan,
        yes=[True, False] * (N // 2),
    )
    data = set_up(tmp_path, table)
    by_role = {}
    for name, role in roles(data).items():
        by_role.setdefault(role, []).append(name)
    assert by_role == {
        "target": ["y"],
        "numeric": ["x", "whole", "money", "euros"],
        "categorical": ["city", "yes"],
        "left out": ["row", "customer_id", "code", "note", "day", "slashes", "same", "empty"],
    }
    said = capsys.readouterr().err
    assert "numeric: x, whole, money, euros\n" in said
    assert "categorical: city (2), yes (2)\n" in said
    for words in ("row (numbers the rows)", "note (texts)", "day (dates: to use them", "same (the same value in every"):
        assert words in said
    assert "the column yes has one value for each class of the target" in caplog.text
    raw = data.config.table().train
    assert np.allclose(raw[:, 2], [float(text.replace(",", "")) for text in table["money"]])
    assert np.allclose(raw[:, 3], [float(text.replace(",", ".")) for text in table["euros"]])


def test_roles_are_told_anew_for_another_table_or_way_of_reading_it(tmp_path, caplog, capsys):
    """Not for a table of which they were told, as by the runs of a sweep; here of the same columns."""

    def told(table, **settings):
        caplog.clear()
        set_up(tmp_path, table, **settings)
        return capsys.readouterr().err.splitlines(), [line for line in caplog.messages if "one value for each" in line]

    first = frame(city=["Köln", "Paris"] * (N // 2))
    lines, warnings = told(first, file=written(tmp_path, first, "first.csv"))
    assert lines == ["numeric: x", "categorical: city (2)"]
    assert len(warnings) == 1
    again = {"file": str(tmp_path / "first.csv"), "scaling": TableScaling.none, "fold": 1, "folds": 3}
    assert told(first, **again) == ([], [])
    assert told(first, **again, columns={"x": "drop"}) == (
        ["categorical: city (2)", "left out: x (as data.columns says)"],
        warnings,
    )
    assert told(first, file=written(tmp_path, first, "another.csv")) == (lines, warnings)
    assert told(first, **again) == ([], [])


def test_roles_that_are_set_are_taken(tmp_path):
    table = frame(whole=[1, 2, 3] * (N // 3), row=range(N), other=1.5)
    columns = {"whole": "categorical", "row": "numeric", "x": "drop"}
    data = set_up(tmp_path, table, columns=columns)
    assert roles(data) == {
        "y": "target",
        "row": "numeric",
        "whole": "categorical",
        "x": "left out",
        "other": "left out",
    }
    assert data.spec.shape == (1 + 4,)


def matrix(data, split="train"):
    return data.transform(getattr(data, split).inputs).numpy()


SCALERS = {
    TableScaling.none: None,
    TableScaling.standardize: StandardScaler(),
    TableScaling.min_max: MinMaxScaler(),
    TableScaling.quantile_normal: QuantileTransformer(n_quantiles=43, output_distribution="normal"),
    TableScaling.quantile_uniform: QuantileTransformer(n_quantiles=43),
}


@pytest.mark.parametrize("scaling", SCALERS)
@pytest.mark.parametrize("missing", Missing)
def test_inputs_are_those_of_scikit_learn(scaling, missing, tmp_path):
    """Fitted to the training rows alone; the other rows are transformed."""
    random = np.random.default_rng(1)
    table = frame(a=random.lognormal(size=N).round(1), city=random.choice(["a", "b", "c"], N))
    table.loc[random.random(N) < 0.2, "a"] = np.nan
    data = set_up(tmp_path, table, scaling=scaling, missing=missing, rare_count=1)
    raw = module(tmp_path, table)
    train, test = raw.with_test_set(*raw.load())
    train, val = raw.split(train, test)
    imputer = SimpleImputer(strategy=missing.name, add_indicator=True)
    numbers = make_pipeline(imputer, SCALERS[scaling]) if SCALERS[scaling] is None else imputer
    filled = numbers.fit(train.inputs[:, :2].numpy())
    scaler = SCALERS[scaling]
    if scaler is not None:
        scaler.fit(filled.transform(train.inputs[:, :2].numpy())[:, :2])
    categories = OneHotEncoder(sparse_output=False).fit(train.inputs[:, 2:].numpy())
    for split, samples in (("train", train), ("val", val), ("test", test)):
        inputs = filled.transform(samples.inputs[:, :2].numpy())
        scaled = inputs[:, :2] if scaler is None else scaler.transform(inputs[:, :2])
        one_hot = categories.transform(samples.inputs[:, 2:].numpy())
        expected = np.hstack([scaled, inputs[:, 2:], one_hot])
        found = matrix(data, split)
        assert found[:, -1].sum() == 0  # the input of other categories, which there are none of
        np.testing.assert_allclose(found[:, :-1], expected, rtol=1e-5, atol=1e-5)


def test_rare_missing_and_unseen_categories(tmp_path):
    """Worked by hand: a and b have an input each; c and d, once each, share that of all others."""
    cities = ["a"] * 30 + ["b"] * 20 + ["c", "d"] + [None] * 8
    table = frame(city=cities)
    data = set_up(
        tmp_path, table, test_file=written(tmp_path, table, "test.csv"), val=ValidationSplit.test, rare_count=2
    )
    assert data.encoder.schema.labels("city") == ["a", "b", "(missing)", "(other)"]
    one_hot = matrix(data)[:, -4:]
    place = {"a": 0, "b": 1, None: 2, "c": 3, "d": 3}
    assert one_hot.argmax(1).tolist() == [place[city] for city in cities]
    assert (one_hot.sum(1) == 1).all()
    new = data.transform(data.encode_frame(table.head(1).assign(city="new")))
    assert new[0, -4:].tolist() == [0, 0, 0, 1]


def test_an_unseen_category_is_zeros_where_training_has_no_others(tmp_path, caplog):
    data = set_up(tmp_path, frame(city=["a", "b"] * (N // 2)))
    new = data.transform(data.encode_frame(pd.DataFrame({"city": ["new", "a"], "x": [0.0, 1.0]})))
    assert new[:, -3:].tolist() == [[0, 0, 0], [1, 0, 0]]
    assert "categories that training had not, or seldom, count as others (city: 1)" in caplog.text


def test_only_training_rows_teach(tmp_path):
    """Outliers and categories of val and test change nothing in the inputs of training."""
    table = frame(city=["a", "b", "c"] * (N // 3))
    plain = set_up(tmp_path, table, rare_count=1)
    held_out = plain.test_indices.numpy()
    table.loc[held_out, "x"] *= 1000
    table.loc[held_out[0], "x"] = np.nan
    table.loc[held_out[1:], "city"] = "only there"
    changed = set_up(tmp_path, table, rare_count=1)
    before, after = matrix(plain), matrix(changed)
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert (after[:, 1] == 0).all()  # the indicator: no training row lacks x
    np.testing.assert_array_equal(after[:, 2:5], before[:, 1:4])
    assert (after[:, 5:] == 0).all()
    assert (matrix(changed, "test")[:, 1] == 0).all()
    assert (matrix(changed, "test")[1:, 2:] == 0).all()


def test_the_state_restores_the_encoding(tmp_path):
    random = np.random.default_rng(2)
    table = frame(city=random.choice(["a", "b", None], N), a=[f"{i / 7:.2f}".replace(".", ",") for i in range(N)])
    data = set_up(tmp_path, table, scaling=TableScaling.quantile_normal)
    path = tmp_path / "state.pt"
    torch.save(data.state_dict(), path)
    restored = TableConfig(file="elsewhere.csv", target="y").build(0)
    restored.load_state_dict(torch.load(path, weights_only=True))
    assert restored.spec == data.spec
    shuffled = read_table(data.config.file)[["city", "y", "a", "x"]].iloc[::-1]
    assert torch.equal(restored.encode_frame(shuffled).flip(0), data.encode_frame(read_table(data.config.file)))
    assert restored.shown(data.train.inputs[0]) == data.shown(data.train.inputs[0])


def test_the_state_of_other_columns_leaves_the_table_as_it_was(tmp_path):
    other = set_up(tmp_path, frame(z=["a", "b"] * (N // 2))).state_dict()
    data, own = (module(tmp_path, frame(w=np.arange(N) % 7)) for _ in range(2))
    with pytest.raises(DataError, match="the columns do not fit the model"):
        data.restore(other)
    assert data.schema() == own.schema()


@pytest.mark.parametrize("scaling", TableScaling)
def test_a_stored_row_is_shown_as_it_was_read(scaling, tmp_path):
    table = frame(city=["Köln", "Paris", None] * (N // 3), age=np.arange(N) % 41 * 2.0 + 2)
    table.loc[3, "age"] = np.nan
    data = set_up(tmp_path, table, scaling=scaling)
    raw = module(tmp_path, table)
    train = raw.split(*raw.with_test_set(*raw.load()))[0]
    for stored, row in zip(data.train.inputs, train.inputs, strict=True):
        assert data.shown(stored) == raw.shown(row)


@pytest.mark.parametrize("scaling", TableScaling)
def test_numbers_are_shown_without_the_rounding_of_float32(scaling, tmp_path):
    data = set_up(tmp_path, frame(x=np.arange(N) % 5, income=np.arange(N) * 1001 + 50_000), scaling=scaling)
    read = {f"x {i % 5}, income {i * 1001 + 50_000}" for i in range(N)}
    assert set(map(data.shown, data.train.inputs)) <= read


def test_classes_are_sorted_numbers_by_value(tmp_path):
    assert module(tmp_path, frame(y=[10, 9, 100] * (N // 3))).spec.classes == ("9", "10", "100")
    assert module(tmp_path, frame(y=[1.0, 2.0] * (N // 2))).spec.classes == ("1", "2")
    assert module(tmp_path, frame(y=["b", "a"] * (N // 2))).spec.classes == ("a", "b")
    assert module(tmp_path, frame(y=[True, False] * (N // 2))).spec.classes == ("False", "True")


def test_a_fifth_is_held_out_unless_the_settings_say_otherwise(tmp_path):
    data = set_up(tmp_path, frame())
    assert [len(part) for part in (data.train, data.val, data.test)] == [43, 5, 12]
    assert data.spec.kind is Kind.features
    file = written(tmp_path, frame())
    assert TableConfig(file=file, target="y", folds=5).test_fraction is None
    other = set_up(tmp_path, frame(), test_file=written(tmp_path, frame().head(10), "test.csv"))
    assert [len(part) for part in (other.train, other.val, other.test)] == [54, 6, 10]


def test_a_group_stays_in_one_fold(tmp_path):
    table = frame(patient=np.arange(N) // 4)
    data = set_up(tmp_path, table, group_column="patient", folds=3, fold=1, val=ValidationSplit.random)
    tested = set((data.test_indices // 4).tolist())
    assert len(data.test) == 4 * len(tested)
    assert roles(data)["patient"] == "left out"


@pytest.mark.parametrize("name", ["Größe in cm", "=z", "a{b}", "x, y", "it's", 'a "b"', "1st", "two words", "plain"])
def test_any_column_can_be_given_a_role_on_the_command_line(name, tmp_path):
    frame(height=range(N)).rename(columns={"height": name}).to_csv(tmp_path / "own.csv", index=False)
    typed = " ".join(shlex.split(columns_setting(name, ColumnRole.drop)))
    config = data_config("table", [f"file='{tmp_path / 'own.csv'}'", "target=y", typed])
    assert config.roles() == {name: ColumnRole.drop}
    (override,) = as_overrides([], {"data__columns": {name: "drop"}})
    assert data_config("table", [override]).roles() == {name: ColumnRole.drop}


def test_a_share_that_the_groups_do_not_allow_is_not_said_to_be_of_folds(tmp_path):
    table = frame().assign(patient=np.arange(N) % 2)
    needs = r"data\.test_fraction=0\.2 of the samples in whole groups needs 5 groups of samples, the data has 2"
    with pytest.raises(DataError, match=needs):
        set_up(tmp_path, table, group_column="patient", val=ValidationSplit.random)


def test_a_row_from_python_has_no_delimiter(tmp_path):
    data = set_up(tmp_path, frame())
    with pytest.raises(DataError, match=r"there is no column x: the columns are height"):
        data.encode_frame(pd.DataFrame({"height": [1.0]}))


def test_duplicates_between_the_splits_are_counted(tmp_path, caplog):
    table = frame()
    set_up(tmp_path, table, val=ValidationSplit.test, test_file=written(tmp_path, table.head(7), "test.csv"))
    assert "7 of 7 test rows are among the training rows, too" in caplog.text


STRANGE = {  # a table, and words of the line that refuses it
    "one row": (frame().head(1), "the target y has one class only, no: give rows of two"),
    "one class": (frame(y="no"), "the target y has one class only, no"),
    "a class with one row": (
        frame(y=["a"] * (N - 1) + ["b"]),
        "the class b of the target y has a single row of 60, row 61",
    ),
    "a number to be guessed": (frame(y=np.random.default_rng(0).normal(size=N)), "has a single row"),
    "many numbers to be guessed": (
        pd.DataFrame({"x": range(0, 800, 2), "y": np.arange(400) / 3}),
        "the target y has 400 different numbers, such as 0, and looks like that of a regression",
    ),
    "no class in some rows": (
        frame(y=["a", None, "b"] * 20),
        "the target y is missing in 20 of 60 rows (3, 6, 9, 12, 15, …)",
    ),
    "a class that looks missing": (frame(y=["a", "NA"] * 30), "the target y is missing in 30 of 60 rows"),
    "no such target": (frame().rename(columns={"y": "Y"}), "there is no column y: did you mean Y?"),
    "no delimiter": ("x:y\n1:2\n", "there is no column y: no delimiter was found; the columns are x:y"),
    "the target alone": (frame()[["y"]], "no column is left to learn from (there are no others)"),
    "constants alone": (frame(x=1), "no column is left to learn from (x: the same value in every row)"),
    "row numbers alone": (frame(x=range(N)), "no column is left to learn from (x: numbers the rows)"),
    "texts alone": (frame(x=[f"a text of {i}" for i in range(N)]), "no column is left to learn from (x: texts)"),
    "dates alone": (frame(x=[f"2020-01-{i % 28 + 1:02}" for i in range(N)]), "(x: dates: to use them, add a column of"),
    "a word among numbers": (
        frame(x=["12"] * 30 + ["abc"] + ["13"] * 29),
        "row 32 of the column x holds 'abc', which is no number: correct it, or set data.columns={x: categorical}",
    ),
    "an infinite number": (frame(x=[1.5, np.inf] * 30), "row 3 of the column x holds 'inf': give finite numbers"),
    "a number beyond float32": (frame(x=[1.5, 1e300] * 30), "row 3 of the column x holds '1e+300'"),
    "thousands or a decimal comma": (
        frame(x=["1,234", "2,345", "3,456"] * 20),
        "row 2 of the column x: '1,234' may be two numbers: write it without separators of thousands",
    ),
    "both ways to write numbers": (frame(x=["1,5", "2.5", "3,5"] * 20), "row 2 of the column x holds '1,5'"),
    "names of rows alone": (frame(x=[f"K{i}" for i in range(N)]), "(x: mostly different values)"),
    "percentages": (frame(x=[f"{i}%" for i in range(N)]), "(x: numbers with a currency or percent sign: to use them"),
    "prices": (frame(x=[f"1.{i:03},50 €" for i in range(N)]), "(x: numbers with a currency or percent sign: to use"),
    "a class of control characters": (frame(y=["a\x07", "b"] * 30), "has a class 'a\\x07', which cannot be written"),
    "a class over two lines": (frame(y=["a\nb", "b"] * 30), "has a class 'a\\nb', which cannot be written"),
    "a name over two lines": (frame().rename(columns={"x": "a\nb"}), "has a column 'a\\nb', which cannot be written"),
    "200 columns of one value": (pd.DataFrame(0, range(9), ["y", *map(str, range(200))]), "has one class only"),
    "an empty file": ("", "is empty"),
    "a line of delimiters": (",,,\n,,,\n", "is empty"),
    "names alone": ("x,y\n", "has the columns' names only"),
    "a short row": ("x,y\n1,a\n2\n", "row 3 has 1 cell"),
    "a wrong quote": ('x,y\n"1,a\n2,b\n', "row 2 opens a quote"),
    "no names": ("1.5,2\n2.5,3\n", "has numbers in its first row"),
    "the same name": ("x,y,x\n1,a,2\n", "has several columns named x"),
    "other letters": ("x,y\n1,é\n2,b\n".encode("latin-1"), "row 2 is not UTF-8 text"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", "row 1 is not UTF-8 text"),
    "null characters": (b"x,y\n1,a\0\n", "row 2 holds null characters"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_a_strange_table_is_refused_in_one_line(case, tmp_path):
    table, words = STRANGE[case]
    path = tmp_path / "table.csv"
    if isinstance(table, pd.DataFrame):
        table.to_csv(path, index=False)
    else:
        path.write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(DataError, match=re.escape(str(path))) as error:
        TableConfig(file=str(path), target="y").spec()
    assert words in str(error.value)


random = np.random.default_rng(3)
TAKEN = {  # a table, and how many inputs it has
    "two columns": (frame(), 1),
    "an index that pandas wrote": (frame(**{"": range(N)})[["", "x", "y"]], 1),
    "a number in few rows": (frame(x=[1.5, 2.5, *[np.nan] * (N - 2)]), 2),
    "a single value or none": (frame(a=["v", None] * 30), 1 + 3),
    "true and false": (frame(a=random.random(N) < 0.5), 1 + 3),
    "leading zeros": (frame(a=random.choice(["007", "010"], N)), 2),
    "whole numbers with gaps": (frame(a=random.choice([1.0, 2.0, np.nan], N)), 1 + 2),
    "a huge but finite number": (frame(a=random.choice([1e30, -1e30], N)), 2),
    "spaces around": (frame(a=random.choice([" a", "a ", "b"], N)), 1 + 3),
    "capitals": (frame(a=random.choice(["a", "A"], N)), 1 + 3),
    "names with spaces, commas and quotes": (frame(**{'a, "b" c': random.normal(size=N)}), 2),
    "emoji": (frame(**{"🙂": random.choice(["🙃", "é", "e\u0301"], N)}), 1 + 4),
    "numbers in Arabic digits": (frame(a=random.choice(["١٢", "١٣"], N)), 1 + 3),
    "hexadecimal": (frame(a=random.choice(["0x1A", "0x1B"], N)), 1 + 3),
    "scientific notation": (frame(a=[f"{value:e}" for value in random.normal(size=N)]), 2),
    "numbers with thin spaces": (frame(a=[f"{i} {i * 7 % 1000:03}" for i in range(1, N + 1)]), 2),
    "a number and its unit": (frame(a=random.choice(["1 kg", "2 kg"], N)), 1 + 3),
    "two kinds of values": (frame(a=random.choice(["1", "2", "a", "b"], N)), 1 + 5),
    "formulas": (frame(a=random.choice(["=1+1", "=A1"], N)), 1 + 3),
    "a name like a setting": (frame(**{"target": random.normal(size=N)}), 2),
    "a name like a number": (frame(**{"1e5": random.normal(size=N)}), 2),
    "classes that are yes and no": (frame(y=random.permutation(["True", "False"] * 30)), 1),
    "twelve classes": (frame(y=[f"c{i % 12}" for i in range(N)]), 1),
    "1,000 categories of 2 rows": (
        pd.DataFrame({"a": [f"k{i % 1000}" for i in range(2000)], "y": [0, 1] * 1000}),
        1001,
    ),
    "a very long name and value": (frame(**{"n" * 5000: random.choice(["v" * 5000, "w"], N)}), 1 + 3),
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_strange_table_is_read(case, tmp_path):
    table, inputs = TAKEN[case]
    data = set_up(tmp_path, table)
    assert data.spec.shape == (inputs,)
    assert matrix(data).shape == (len(data.train), inputs)
    assert np.isfinite(matrix(data)).all()
    assert data.shown(data.test.inputs[0]).isprintable()


def test_more_categories_than_are_read_unasked(tmp_path):
    table = pd.DataFrame({"a": [f"k{i % 1100}" for i in range(2200)], "x": range(2200), "y": [0, 1] * 1100})
    columns = {"x": "numeric"}
    assert roles(module(tmp_path, table, columns=columns))["a"] == "left out"
    asked = module(tmp_path, table, columns=columns | {"a": "categorical"})
    assert asked.spec.shape == (1 + 1101,)


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_columns(count, tmp_path, capsys):
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.integers(0, 9, (30, count))).add_prefix("c").assign(y=["a", "b"] * 15)
    data = set_up(tmp_path, table)
    assert data.spec.shape == (count,)
    [line] = capsys.readouterr().err.splitlines()
    assert len(line) < 300
    assert len(data.shown(data.test.inputs[0])) < 300


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"file": ""}, "data.file is empty: set it to a table"),
        ({"target": ""}, "data.target is empty: set the column of classes, one of x, y"),
        ({"columns": {"X": "drop"}}, "there is no column X: did you mean x?"),
        ({"columns": {"y": "drop"}}, "data.columns names the target, y"),
        ({"columns": {"y2": "numeric"}}, "there is no column y2: did you mean y?"),
        ({"group_column": "person"}, "there is no column person: the columns are x, y"),
        ({"group_column": "y"}, "data.group_column is the target, whose classes would not be in all splits"),
        ({"train_file": "a.csv"}, "data.file and data.train_file both name training rows"),
        ({"test_file": "missing.csv"}, "missing.csv cannot be read"),
        ({"file": "missing.csv"}, "missing.csv cannot be read (No such file or directory)"),
        ({"file": "table.xls"}, "table.xls is no table file by its name"),
        ({"columns": {"x": "number"}}, "data.columns.x=number must be one of numeric, categorical, drop"),
        ({"rare_count": 0}, "data.rare_count=0 must be in [1, inf)"),
        ({"test_fraction": 0.2, "test_file": "x.csv"}, "data.test_fraction is for data without a test set"),
    ],
)
def test_settings_that_do_not_fit(settings, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=re.escape(words)):
        module(tmp_path, frame(), **settings).spec  # noqa: B018


def test_a_column_that_is_to_be_numeric_names_the_first_row_that_is_not(tmp_path):
    table = frame(a=["1", "2", "many"] * 20)
    with pytest.raises(DataError, match="row 4 of the column a holds 'many', which is no number"):
        module(tmp_path, table, columns={"a": "numeric"}).spec  # noqa: B018


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.drop(columns="x"), "there is no column x: the columns are y, city"),
        (lambda table: table.assign(x="much"), "row 2 of the column x holds 'much', which is no number"),
        (lambda table: table.assign(y="maybe"), "row 2 has the class maybe, which no training row has"),
        (lambda table: table.assign(y=None), "the target y is missing in 60 of 60 rows"),
        (lambda table: table.drop(columns="y"), "there is no column y"),
    ],
)
def test_a_test_file_has_to_fit(change, words, tmp_path):
    table = frame(city=["a", "b"] * 30)
    other = written(tmp_path, change(table), "other.csv")
    with pytest.raises(DataError, match=re.escape(f"{other}: {words}")):
        module(tmp_path, table, test_file=other).spec  # noqa: B018


def test_an_unknown_scaling_is_refused():
    with pytest.raises((ConfigurationError, TypeError, ValueError)):
        TableScaling("robust")
