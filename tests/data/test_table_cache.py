"""Parsed tables in memory-mapped files: equal to those in memory, parsed once, and anew if anything has changed."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from dlproj.cli.app import app
from dlproj.config.data import ValidationSplit
from dlproj.config.images import Caching
from dlproj.config.table import TableConfig, TableScaling
from dlproj.data import mapped_files, table_encoding, table_rows

ROWS = 120


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DLPROJ_CACHE_DIR", str(tmp_path / "cache"))
    table_rows._read.cache_clear()
    yield tmp_path / "cache"
    table_rows._read.cache_clear()


@pytest.fixture
def file(tmp_path):
    """Whole numbers, others, missing ones and categories."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.integers(0, 256, (ROWS, 5)), columns=list("abcde"))
    frame["height"] = random.random(ROWS)
    frame["width"] = np.where(random.random(ROWS) < 0.2, np.nan, random.random(ROWS))
    frame["city"] = random.choice(["Köln", "Paris", "Rome"], ROWS)
    frame["patient"] = random.integers(0, 30, ROWS)
    frame["y"] = random.choice(["no", "yes"], ROWS)
    frame.to_csv(tmp_path / "table.csv", index=False)
    frame.iloc[:40].to_csv(tmp_path / "test.csv", index=False)
    return tmp_path / "table.csv"


@pytest.fixture
def read(monkeypatch):
    """Files that are parsed."""
    files, usual = [], table_rows.read_table
    monkeypatch.setattr(table_rows, "read_table", lambda path, **kw: files.append(str(path)) or usual(path, **kw))
    return files


def data(table, cache=Caching.always, **settings):
    table_rows._read.cache_clear()
    module = TableConfig(**{"file": str(table)} | settings, target="y", cache=cache, batch_size=16).build(0)
    module.prepare_data()
    module.setup()
    return module


def assert_equal(one, other):
    assert one.encoder == other.encoder
    assert one.schema() == other.schema()
    for split in ("train", "val", "test"):
        ours, theirs = getattr(one, split), getattr(other, split)
        assert torch.equal(ours.inputs, theirs.inputs)
        assert torch.equal(ours.targets, theirs.targets)
    assert one.fingerprint() == other.fingerprint()


@pytest.mark.parametrize("small_memory", [False, True])
@pytest.mark.parametrize(
    ("settings", "copies"),  # of parts: by each split but that of the last rows, and of three when they are encoded
    [
        ({}, 5),
        ({"val": ValidationSplit.stratified, "folds": 3, "fold": 1, "group_column": "patient"}, 7),
        ({"scaling": TableScaling.quantile_normal}, 5),
        ({"test": True}, 3),
    ],
)
def test_a_mapped_table_is_that_in_memory(file, settings, copies, small_memory, monkeypatch):
    settings = dict(settings)
    if settings.pop("test", False):
        settings |= {"file": "", "train_file": str(file), "test_file": str(file.with_name("test.csv"))}
    usual = data(file, Caching.never, **settings)
    if small_memory:
        monkeypatch.setattr(mapped_files, "_IN_MEMORY", 0)
    files, temporary = [], mapped_files.TemporaryFile
    monkeypatch.setattr(mapped_files, "TemporaryFile", lambda **kw: files.append(temporary(**kw)) or files[-1])
    for _ in range(2):
        assert_equal(data(file, **settings), usual)
    assert len(files) == 2 * copies * small_memory


def test_a_table_is_parsed_once(file, cache, read, tmp_path):
    data(file)
    data(file, scaling=TableScaling.min_max, val=ValidationSplit.stratified)
    assert len(read) == 1
    moved = tmp_path / "elsewhere" / file.name
    moved.parent.mkdir()
    shutil.copy2(file, moved)
    data(moved)
    assert len(read) == 1
    data(file, columns={"a": "drop"})
    data(file, group_column="patient", val=ValidationSplit.stratified)
    data(file, rare_count=50)
    assert len(read) == 4
    os.utime(file, ns=(0, 0))
    data(file)
    assert len(read) == 5
    assert len(list(cache.glob("*.npy"))) == 5


def test_small_tables_are_not_kept_of_themselves(file, cache, monkeypatch):
    data(file, Caching.auto)
    assert not cache.exists()
    monkeypatch.setattr(table_rows, "_LARGE", file.stat().st_size)
    data(file, Caching.auto)
    assert len(list(cache.glob("*.npy"))) == 1


@pytest.mark.parametrize("harm", ["truncated", "zeroed", "note", "lost note", "table"])
def test_a_damaged_file_is_said_and_made_anew(file, cache, read, caplog, harm):
    usual = data(file, Caching.never)
    data(file)
    read.clear()
    caplog.clear()
    (path,) = cache.glob("*.npy")
    note, content = path.with_suffix(".json"), path.read_bytes()
    if harm in ("truncated", "zeroed"):
        path.write_bytes(content[:-1] if harm == "truncated" else content[:200] + bytes(len(content) - 200))
    elif harm == "table":
        note.write_text(note.read_text().replace("Paris", "Parma"))
    else:
        note.write_text('{"checksum": 1}') if harm == "note" else note.unlink()
    assert_equal(data(file), usual)
    assert len(read) == 1
    (line,) = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert line.endswith(": it is made anew")
    data(file)
    assert len(read) == 1


def test_without_room_the_table_is_read_into_memory(file, cache, caplog, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    usual = data(file, Caching.never)
    monkeypatch.setattr(os, "posix_fallocate", full)
    assert_equal(data(file), usual)
    assert "the parsed table is not kept for later" in caplog.text
    assert "set DLPROJ_CACHE_DIR to a folder with room, or data.cache=never" in caplog.text
    assert not list(cache.iterdir())


def test_kept_tables_are_listed(file):
    data(file)
    lines = CliRunner().invoke(app, ["data", "cache"]).output.splitlines()
    assert lines[1].split("\t")[3] == str(file)


@pytest.mark.parametrize("scaling", TableScaling)
@pytest.mark.parametrize("sizes", [(7, 2), (50, 3), (1000, 1000)])
def test_rows_are_encoded_in_parts_to_the_same_bits(file, scaling, sizes, monkeypatch):
    usual = data(file, Caching.never, scaling=scaling)
    monkeypatch.setattr(table_encoding, "_ROWS", sizes[0])
    monkeypatch.setattr(table_encoding, "_COLUMNS", sizes[1])
    assert_equal(data(file, Caching.never, scaling=scaling), usual)


def test_numbers_keep_all_their_digits(tmp_path):
    path = tmp_path / "table.csv"
    for cells, kind in ((["1", "16777216", "3"], np.float32), (["1", "16777217", "3"], np.float64)):
        path.write_text("a,y\n" + "".join(f"{cell},{i % 2}\n" for i, cell in enumerate(cells * 4)))
        table_rows._read.cache_clear()
        rows = TableConfig(file=str(path), target="y").table().train
        assert rows.dtype == kind
        assert rows[:3, 0].tolist() == [float(cell) for cell in cells]
