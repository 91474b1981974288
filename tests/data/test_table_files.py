"""Tables read from files of each kind, and files that cannot be read: one line that names file, row and column."""

import re
import sys

import numpy as np
import pandas as pd
import pyarrow
import pytest
from pyarrow import feather, parquet

from dlproj.config.checks import DataError
from dlproj.data.table_files import read_table, write_table

FRAME = pd.DataFrame({"city": ["Köln", None, "Paris"], "age": [30, 41, 7], "height": [1.5, np.nan, 1.25]})


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "txt", "xlsx", "parquet", "feather", "arrow"])
def test_a_table_is_the_same_from_each_kind_of_file(kind, tmp_path):
    path = tmp_path / f"table.{kind}"
    {
        "csv": lambda: FRAME.to_csv(path, index=False),
        "tsv": lambda: FRAME.to_csv(path, index=False, sep="\t"),
        "txt": lambda: FRAME.to_csv(path, index=False, sep="|"),
        "xlsx": lambda: FRAME.to_excel(path, index=False),
        "parquet": lambda: FRAME.to_parquet(path),
        "feather": lambda: FRAME.to_feather(path),
        "arrow": lambda: FRAME.to_feather(path),
    }[kind]()
    table = read_table(path)
    assert list(table.columns) == list(FRAME.columns)
    for name, column in FRAME.items():
        assert (table[name].isna().to_numpy() == column.isna().to_numpy()).all()
        given = [type(column.iloc[0])(cell) for cell in table[name].dropna()]
        assert given == column.dropna().tolist()


READ = {
    "semicolons and decimal commas": ("a;b\n1,5;x\n2,5;y\n", [["1,5", "x"], ["2,5", "y"]]),
    "a tab-separated file full of commas": ("a\tb\n1,2\t3,4\n", [["1,2", "3,4"]]),
    "a delimiter, quotes and a line break within quotes": ('a,b\n"x, ""y""\nz",2\n', [['x, "y"\nz', "2"]]),
    "a mark of Windows editors": (b"\xef\xbb\xbfa,b\n1,2\n", [["1", "2"]]),
    "UTF-16": ("a,b\nä,2\n".encode("utf-16"), [["ä", "2"]]),
    "line ends of Windows and of old Macs": (b"a,b\r\n1,2\r3,4\n", [["1", "2"], ["3", "4"]]),
    "empty rows and columns, as spreadsheets leave them": ("a,b,\n1,2,\n\n,,\n", [["1", "2"]]),
    "words for missing values": ("a,b\nNA, nan \nnull,\nx,NaN\n", [[None, None], [None, None], ["x", None]]),
    "leading zeros are kept": ("a,b\n007,1\n", [["007", "1"]]),
    "no line end at the end": ("a,b\n1,2", [["1", "2"]]),
    "a single column": ("text\nA long film\nA short one\n", [["A long film"], ["A short one"]]),
}


@pytest.mark.parametrize("case", READ)
def test_text_files_are_read_as_people_write_them(case, tmp_path):
    content, expected = READ[case]
    table = read_table(written(tmp_path, "table.tsv" if "tab" in case else "table.csv", content))
    cells = [[None if pd.isna(cell) else cell for cell in row] for row in table.to_numpy().tolist()]
    assert cells == expected


def test_words_for_missing_values_can_be_texts(tmp_path):
    path = written(tmp_path, "table.csv", "text,label\nNone,1\n,0\n")
    assert read_table(path, missing_words=False)["text"].fillna("missing").tolist() == ["None", "missing"]


def test_the_index_is_the_row_in_the_file(tmp_path):
    path = written(tmp_path, "table.csv", 'a,b\n1,2\n\n"3\n",4\n5,6\n')
    assert read_table(path).index.tolist() == [2, 4, 6]


REFUSED = {
    "a short row": ("a,b\n1,2\n3\n", "row 3 has 1 cell, the first row 2: give each row as many"),
    "a long row": ("a,b\n1,2\n3,4,5\n", "row 3 has 3 cells, the first row 2"),
    "an open quote": ('a,b\n1,2\n"3,4\n5,6\n', "row 3 opens a quote that is not closed"),
    "a quote within quotes": ('a,b\n"x"y",2\n', "row 2 has odd quotes"),
    "Latin letters of Windows": ("a,b\n1,2\n3,é\n".encode("cp1252"), "row 3 is not UTF-8 text: save it as UTF-8, or"),
    "half a UTF-16 file": ("a,b".encode("utf-16")[:-1], "row 1 is not UTF-16 text"),
    "UTF-16 without a mark": ("a,b\n1,2\n".encode("utf-16-le"), "row 1 holds null characters"),
    "an empty file": ("", "is empty: write the columns' names into the first row"),
    "white space": (" \n\n", "is empty"),
    "names alone": ("a,b\n", "has the columns' names only"),
    "a name twice": ("a,b,a\n1,2,3\n", "has several columns named a: rename all but one"),
    "no name": ("a,,b\n1,2,3\n", "column 2 has no name"),
    "numbers for names": ("1.5,2.5\n3,4\n", "has numbers in its first row, 1.5, …: write the columns' names there"),
    "a control character in a name": ("a\x1b,b\n1,2\n", "has a column 'a\\x1b', which cannot be written"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_damaged_text_file_is_refused_with_its_row(case, tmp_path):
    content, words = REFUSED[case]
    path = written(tmp_path, "table.csv", content)
    with pytest.raises(DataError, match=re.escape(str(path))) as error:
        read_table(path)
    assert words in str(error.value)


@pytest.mark.parametrize("kind", ["xlsx", "parquet", "arrow", "feather"])
@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PK\x03\x04", b"PAR1PAR1", b"ARROW1\0\0"])
def test_a_damaged_binary_file_is_refused(kind, content, tmp_path):
    path = written(tmp_path, f"table.{kind}", content)
    with pytest.raises(DataError, match="damaged, or no"):
        read_table(path)


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_a_table_that_takes_more_memory_than_there_is_says_so(kind, tmp_path, monkeypatch):
    def read(*arguments, **settings):
        raise pyarrow.ArrowMemoryError("malloc of size 149999616 failed")

    path = tmp_path / f"table.{kind}"
    write_table(pd.DataFrame({"a": [1, 2]}), path)
    monkeypatch.setattr(parquet.ParquetFile, "read", read)
    monkeypatch.setattr(feather, "read_table", read)
    with pytest.raises(DataError, match="more memory than there is"):
        read_table(path)


def test_what_is_no_table_is_refused(tmp_path):
    for name in ("table.xls", "table.json", "table", "table.csv.gz"):
        with pytest.raises(DataError, match=r"is no table file by its name: it can end in \.csv, "):
            read_table(written(tmp_path, name, "a,b\n1,2\n"))
    (tmp_path / "folder.csv").mkdir()
    for name in ("folder.csv", "missing.csv", "missing.parquet"):
        with pytest.raises(DataError, match="cannot be read"):
            read_table(tmp_path / name)


@pytest.mark.parametrize(("kind", "package"), [("xlsx", "openpyxl"), ("parquet", "pyarrow")])
def test_a_missing_package_is_named_with_its_extra(kind, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=rf'needs the package {package}: pip install "dlproj\[tables\]"'):
        read_table(written(tmp_path, f"table.{kind}", b""))
