"""Table files, damaged by accident and on purpose: read and encoded, or refused in one line."""

import io
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from mutations import amounts, damaged, fuzz, is_one_line, read_or_refused

from dlproj.config.images import Caching
from dlproj.config.table import TableConfig
from dlproj.data import table_rows
from dlproj.data.table_files import read_table

FRAME = pd.DataFrame(
    {
        "age": [30, None, 41.5, 12] * 6,
        "city": ["Köln", "Paris", None, 'a "b", c'] * 6,
        "price": ["1,234.5", "12.25", "7", "8"] * 6,
        "kind": ["no", "yes"] * 12,
    }
)


def content(kind):
    file = io.BytesIO()
    if kind == "xlsx":
        FRAME.to_excel(file, index=False)
    elif kind == "parquet":
        FRAME.to_parquet(file)
    elif kind == "feather":
        FRAME.to_feather(file)
    else:
        FRAME.to_csv(file, index=False)
    return file.getvalue()


def encoded(path):
    """What a model is given of it."""
    data = TableConfig(file=str(path), target="kind", eval_batch_size=5).build(0)
    data.setup()
    for part in (data.train, data.val, data.test):
        inputs = data.transform(part.inputs)
        assert inputs.shape == (len(part), *data.spec.shape)
        assert inputs.isfinite().all()
        assert 0 <= part.targets.min() <= part.targets.max() < len(data.spec.classes)
        assert is_one_line(data.shown(part.inputs[0]))
    return data


@amounts
@pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet", "feather"])
def test_damaged_tables(kind, examples, tmp_path):
    path = tmp_path / f"table.{kind}"
    whole = content(kind)

    @fuzz(examples // 2, content=damaged(whole))
    def check(content):
        path.write_bytes(content)
        read_or_refused(partial(encoded if kind == "csv" else read_table, path), tmp_path)


CELLS = st.sampled_from(
    ["", "1", "2", "-3.5", "1,5", "1.234,5", "1,234", "1 234", "NA", "nan", "inf", "1e999", "x", "yes", "a b c d"]
) | st.text(max_size=6)


@amounts
def test_tables_of_odd_cells(examples, tmp_path):
    path = tmp_path / "table.csv"
    row = st.tuples(CELLS, CELLS, st.sampled_from(["no", "yes"]) | CELLS)

    @fuzz(
        examples // 4, rows=st.lists(row, min_size=4, max_size=30), names=st.tuples(CELLS, CELLS), repeat=st.booleans()
    )
    def check(rows, names, repeat):
        frame = pd.DataFrame(rows * 4 if repeat else rows, columns=[*names, "kind"])
        path.write_bytes(frame.to_csv(index=False).encode("utf-8", "surrogatepass"))
        read_or_refused(partial(encoded, path), tmp_path)


@amounts
def test_rows_to_predict(examples, tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(content("csv"))
    data = encoded(path)
    value = CELLS | st.sampled_from([None, 1, 2.5, True, float("inf"), 10**400, [1], {"a": 1}, np.nan])

    @fuzz(examples, rows=st.lists(st.tuples(value, value, value), min_size=1, max_size=5))
    def check(rows):
        frame = pd.DataFrame(rows, columns=["price", "city", "age"], dtype=object)
        stored = read_or_refused(partial(data.encode_frame, frame))
        assert stored is None or stored.isfinite().all()


@amounts
def test_damaged_files_of_parsed_tables(examples, tmp_path, monkeypatch):
    """The array, which is the same or parsed anew, and its note."""
    monkeypatch.setenv("DLPROJ_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "table.csv"
    path.write_bytes(content("csv"))

    def read(cache):
        table_rows._read.cache_clear()
        return TableConfig(file=str(path), target="kind", cache=cache).table()

    usual = read(Caching.never)
    read(Caching.always)
    (array,) = (tmp_path / "cache").glob("*.npy")
    whole = {path: path.read_bytes() for path in (array, array.with_suffix(".json"))}

    @fuzz(examples // 2, place=st.integers(0, 1), content=st.data())
    def check(place, content):
        for path, before in whole.items():
            path.write_bytes(before)
        path = list(whole)[place]
        path.write_bytes(content.draw(damaged(whole[path])))
        table = read(Caching.always)
        assert table.schema == usual.schema
        assert np.array_equal(table.train, usual.train, equal_nan=True)
        assert np.array_equal(table.targets, usual.targets)
