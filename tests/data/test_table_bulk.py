"""Tables read in bulk: the same as cell by cell, whatever the cells are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlproj.config.checks import DataError
from dlproj.config.table import TableConfig
from dlproj.data import table_bulk, table_files
from dlproj.data.table_columns import guess, names, numbers
from dlproj.data.table_files import read_table

WHOLE = st.integers(-(10**3), 10**5) | st.integers(-(10**15), 10**15) | st.integers(-(10**30), 10**30)
DECIMAL = st.decimals(-(10**6), 10**6, places=3) | st.floats(-1e6, 1e6, allow_subnormal=False)
DECIMAL |= st.floats(allow_subnormal=False)  # training in the same process flushes subnormal numbers to zero
ODD_NUMBERS = "0|7|007|-0|-0.0|+5|1e5|1E-5|0.00001|0.0001|.5|5.|1.50|00.5| 7|7 |nan|NaN|-nan|NA|inf|True|0x1f|1_000|1,5"
ODD_TEXTS = "|1 234|1.2.3|1-2|--1|-|.|²|٣|\u00a07|\ufeff7|2020-01-02|123456789012345|1234567890123456|x y|é"
ODD = st.sampled_from(f"{ODD_NUMBERS}|{ODD_TEXTS}".split("|"))
TEXT = st.text(st.characters(exclude_characters="\0\x1c\x1d\x1e", exclude_categories=["Cs"]), max_size=4)
COLUMN = st.sampled_from(
    [WHOLE.map(str), DECIMAL.map(str), DECIMAL.map(str) | st.just(""), ODD, ODD | WHOLE.map(str), TEXT]
)


@st.composite
def contents(draw):
    """A table's text of columns that are plain, odd or both."""
    columns = draw(st.lists(COLUMN, min_size=1, max_size=4))
    rows = draw(st.lists(st.tuples(*columns), min_size=1, max_size=12))
    delimiter, end = draw(st.sampled_from(",;\t")), st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n"])
    lines = [[f"c{i}" for i in range(len(columns))], *rows]
    return "".join(delimiter.join(line) + draw(end) for line in lines).encode()


def read(path, as_numbers):
    """The table, or the message of why it is refused."""
    try:
        return read_table(path, numbers=as_numbers)
    except DataError as error:
        return str(error)


def told(what, column):
    """What it says of a column, or the message of why it is refused."""
    try:
        result = what(column)
    except DataError as error:
        return str(error)
    return [part.tobytes() if isinstance(part, np.ndarray) else part for part in result]


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(contents(), st.sampled_from([16, 64, 1 << 22]))
def test_a_table_read_in_bulk_is_that_read_cell_by_cell(tmp_path_factory, content, block):
    path = tmp_path_factory.getbasetemp() / "table.csv"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(table_bulk, "_BLOCK", block)
        bulk, usual = read(path, as_numbers=True), read(path, as_numbers=False)
    if isinstance(usual, str):
        assert bulk == usual
        return
    assert bulk.columns.equals(usual.columns)
    assert bulk.index.equals(usual.index)
    assert bulk.to_csv() == usual.to_csv()
    for name in usual:
        assert names(bulk[name]).tolist() == names(usual[name]).tolist()
        assert told(numbers, bulk[name]) == told(numbers, usual[name])
        assert told(guess, bulk[name]) == told(guess, usual[name])


def test_plain_columns_are_not_read_cell_by_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "_of_rows", None)
    monkeypatch.setattr(table_bulk, "_BLOCK", 32)
    path = tmp_path / "table.csv"
    path.write_text(
        "pixel,id,height,name,code\n" + "".join(f"{i % 256},{10**9 + i},{i}.25,a{i},007\n" for i in range(300))
    )
    table = read_table(path, numbers=True)
    assert [str(kind) for kind in table.dtypes] == ["int16", "int64", "float64", "object", "object"]
    expected = pd.read_csv(path, dtype={"code": str}).set_axis(range(2, 302))
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)


def test_numbers_with_decimal_commas_are_read_as_in_training(tmp_path):
    """1.234 is 1234 there, in each cell of a column of them."""
    path, other = tmp_path / "train.csv", tmp_path / "test.csv"
    path.write_text("a;y\n" + "1,5;0\n2,5;1\n1.234,5;0\n7;1\n" * 5)
    other.write_text("a;y\n1.234;0\n5.678;1\n")
    table = TableConfig(file="", train_file=str(path), test_file=str(other), target="y").table()
    assert table.test.ravel().tolist() == [1234, 5678]
