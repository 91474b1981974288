"""Runs are read whole or named as damaged with the file at fault."""

import math
import os
import re
from datetime import datetime

import pytest
from folders import COUNTS, inspection, summary, write_run

from dlproj.config.checks import DataError
from dlproj.runs.record import find_runs, read_run, run_folders, started


def test_a_run_is_read_as_it_was_written(tmp_path):
    run = read_run(write_run(tmp_path / "run", {"optim.learning_rate": 0.5}, inspected=inspection()))
    assert run.settings["optim"]["learning_rate"] == 0.5
    assert run.result.metrics["test/accuracy"] == 0.8333
    assert run.result.confusion_matrix == COUNTS
    assert run.epochs[2]["val/accuracy"] == 0.875
    assert run.inspection.gallery[1].guess == 0


def test_a_metric_that_was_not_finite_is_nan(tmp_path):
    run = read_run(write_run(tmp_path / "run", **{"test/loss": None}))
    assert math.isnan(run.result.metrics["test/loss"])


def test_reported_curves_are_read_by_epoch_and_an_older_run_has_none(tmp_path):
    curves = {"val/loss": {"1": 0.5, "10": 0.25}}
    run = read_run(write_run(tmp_path / "run", reference_curves=curves, reference_distance=0.5))
    assert run.result.reference_curves == {"val/loss": {1: 0.5, 10: 0.25}}
    assert run.result.reference_distance == 0.5
    older = read_run(write_run(tmp_path / "older")).result
    assert (older.reference_curves, older.reference_distance) == ({}, None)


def test_a_run_before_its_first_epoch_and_one_of_an_older_version_are_whole(tmp_path):
    run = read_run(write_run(tmp_path / "run", epochs=None, confusion_matrix=[], status="running"))
    assert run.epochs == {}
    assert run.inspection.gallery == []


def test_what_an_epoch_did_not_log_is_absent(tmp_path):
    folder = write_run(tmp_path / "run", epochs=[{"epoch": 1, "val/loss": 0.5, "train/loss": ""}])
    assert read_run(folder).epochs == {1: {"val/loss": 0.5}}


SAMPLE = inspection()["gallery"][0]
DAMAGE = {
    "summary.json": [
        "",
        "{",
        "[]",
        "{}",
        '{"status": "completed"}',
        '{"name": 1, "status": "completed", "stop_reason": "", "seed": 0}',
        '{"name": "n", "status": "s", "stop_reason": "", "seed": 0, "test/loss": "low"}',
        '{"name": "n", "status": "s", "stop_reason": "", "seed": 0, "classes": ["a"], "confusion_matrix": [[1, 2]]}',
        '{"name": "n", "status": "s", "stop_reason": "", "seed": 0, "reference_curves": {"val/loss": {"one": 0.5}}}',
        '{"name": "n", "status": "s", "stop_reason": "", "seed": 0, "reference_curves": {"val/loss": [0.5]}}',
        '{"name": "n", "status": "s", "stop_reason": "", "seed": 0, "reference_curves": {"val/loss": {"1": null}}}',
    ],
    "config.yaml": ["", "schema: [", "data: {}", "\x00"],
    "metrics.csv": ["val/loss\n0.5\n", "epoch,val/loss\n1,low\n", "epoch,val/loss\n1,0.5,0.5\n", "epoch,val/loss\n1\n"],
    "inspection.json": ["{", "{}"],
}


@pytest.mark.parametrize(("name", "content"), [(name, one) for name, many in DAMAGE.items() for one in many])
def test_a_damaged_file_is_named(tmp_path, name, content):
    folder = write_run(tmp_path / "run", inspected=inspection())
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=f"run/{name} is .*damaged"):
        read_run(folder)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seed": "0"}, "seed"),
        ({"parameters": True}, "parameters"),
        ({"val/loss": "low"}, "metrics.val/loss"),
        ({"classes": ["a", None]}, "classes.1"),
        ({"reference_curves": {"val/loss": {"one": 0.5}}}, "reference_curves.val/loss.one.[key]"),
        ({"seconds": -1.0}, "seconds"),
        ({"confusion_matrix": [[1]]}, "confusion_matrix"),
        ({"class_weights": [1.0]}, "class_weights"),
        ({"class_weights": ["a"]}, "class_weights.0"),
    ],
)
def test_the_entry_that_is_damaged_is_named(tmp_path, changes, key):
    with pytest.raises(DataError, match=rf"summary.json is damaged at {re.escape(key)}: take it from another copy"):
        read_run(write_run(tmp_path / "run", **changes))


def test_a_name_with_half_a_character_makes_no_run_unreadable(tmp_path):
    run = read_run(write_run(tmp_path / "run", overrides=["data.root=/x/\udce9"], stop_reason="\udce9"))
    assert run.result.overrides == ["data.root=/x/?"]


def test_whole_numbers_are_at_home_in_fractions_too(tmp_path):
    run = read_run(write_run(tmp_path / "run", seconds=2, **{"test/loss": 0}))
    assert (run.result.seconds, run.result.metrics["test/loss"]) == (2, 0)


def test_every_float_is_read_to_the_bit(tmp_path):
    numbers = {f"val/{place}": value for place, value in enumerate([0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0])}
    metrics = read_run(write_run(tmp_path / "run", **numbers)).result.metrics
    assert {name: metrics[name].hex() for name in numbers} == {name: one.hex() for name, one in numbers.items()}


@pytest.mark.parametrize("matrix", [[[0, 300, 1]], [[-1, 0, 1]], [[0, 1]], [[0, 1, 2.5]]])
def test_entries_of_a_confusion_matrix_that_cannot_be_are_damage(tmp_path, matrix):
    classes = list(map(str, range(300)))
    right = write_run(tmp_path / "right", classes=classes, confusion_matrix=[[0, 299, 1]])
    assert read_run(right).result.confusion_matrix == [[0, 299, 1]]
    with pytest.raises(DataError, match=r"summary.json is .*damaged"):
        read_run(write_run(tmp_path / "run", classes=classes, confusion_matrix=matrix))


@pytest.mark.parametrize("sample", [SAMPLE | {"truth": 3}, SAMPLE | {"guess": -1}, SAMPLE | {"image": 5}])
def test_a_sample_that_cannot_be_is_damage(tmp_path, sample):
    folder = write_run(tmp_path / "run", inspected=inspection(gallery=[sample]))
    with pytest.raises(DataError, match=r"inspection.json is .*damaged"):
        read_run(folder)


@pytest.mark.parametrize("missing", ["summary.json", "config.yaml"])
def test_a_missing_file_is_named(tmp_path, missing):
    folder = write_run(tmp_path / "run")
    (folder / missing).unlink()
    with pytest.raises(DataError, match=f"run/{missing} is missing"):
        read_run(folder)


def test_runs_are_found_at_any_depth_in_the_order_of_their_numbers_and_once(tmp_path):
    for name in ("sweeps/s/10", "sweeps/s/9", "runs/r"):
        write_run(tmp_path / name)
    found = run_folders([tmp_path / "sweeps", tmp_path, tmp_path / "runs/r"])
    assert [folder.relative_to(tmp_path).as_posix() for folder in found] == ["sweeps/s/9", "sweeps/s/10", "runs/r"]


def test_neither_the_configuration_of_the_project_nor_hidden_folders_are_runs(tmp_path):
    write_run(tmp_path / ".trash/run")
    write_run(tmp_path / "run")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/config.yaml").write_text("defaults:\n- schema_root\n")
    assert run_folders([tmp_path]) == [tmp_path / "run"]


def test_damaged_runs_are_named_and_the_others_read(tmp_path):
    write_run(tmp_path / "whole")
    (write_run(tmp_path / "cut") / "summary.json").write_text("{")
    (write_run(tmp_path / "killed early") / "summary.json").unlink()
    runs, damaged = find_runs([tmp_path])
    assert [run.folder.name for run in runs] == ["whole"]
    assert {one.folder.name for one in damaged} == {"cut", "killed early"}
    assert all("summary.json is missing or damaged" in one.reason for one in damaged)


def test_a_path_that_is_no_folder_or_holds_no_run_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere is not a folder"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(DataError, match=r"no run in "):
        find_runs([tmp_path])


@pytest.mark.parametrize("name", ["20261121-060235-a2c588-mlp-digits", "20261121-060235-a2c588-mlp-digits/3"])
def test_the_beginning_is_in_the_stamp_of_the_run_or_its_sweep(tmp_path, name):
    assert started(write_run(tmp_path / name)) == datetime(2026, 11, 21, 6, 2, 35)


def test_without_a_stamp_the_beginning_is_the_time_of_the_summary(tmp_path):
    folder = write_run(tmp_path / "copy")
    os.utime(folder / "summary.json", (86400, 86400))
    assert started(folder) == datetime.fromtimestamp(86400)


def test_entries_that_this_version_does_not_know_are_left_alone(tmp_path):
    assert read_run(write_run(tmp_path / "run", of_a_later_version={"a": 1})).result.seconds == summary()["seconds"]


def test_a_stamp_that_is_no_date_is_no_stamp(tmp_path):
    folder = tmp_path / "20269999-999999-x"
    folder.mkdir()
    (folder / "summary.json").write_text("{}")
    assert started(folder).year >= 2026


def test_a_folder_whose_settings_cannot_be_read_is_skipped_and_harms_no_other(tmp_path):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.yaml").symlink_to(tmp_path / "nothing")
    runs, damaged = find_runs([tmp_path])
    assert (runs, [one.folder.name for one in damaged]) == ([], ["odd"])
