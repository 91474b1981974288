"""Runs kept in results.json are the runs that they were, also after settings have been added."""

import json
import math
from dataclasses import replace

import pytest
from folders import summary

from dlproj.config.checks import DataError
from dlproj.config.root import from_settings
from dlproj.labs.reproduce.recorded import as_json, key, read, recorded
from dlproj.runs.record import read_run


@pytest.fixture
def run(composed, tmp_path):
    """Call with overrides: what is recorded of a run of them."""

    def make(*overrides, **changes):
        config = composed("data=digits", *overrides)
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        config.save(folder / "config.yaml")
        (folder / "summary.json").write_text(json.dumps(summary(seed=config.seed, **changes)))
        (folder / "metrics.csv").write_text("epoch,train/loss,val/loss\n1,0.5,\n2,0.25,0.75\n")
        return recorded(read_run(folder))

    return make


def test_what_is_written_is_read(run, tmp_path):
    runs = [run("seed=0"), run("seed=1"), run("model.hidden=[8]", git_commit="abc", machine="a machine")]
    (tmp_path / "results.json").write_text(as_json(runs))
    found = read(tmp_path / "results.json")
    assert list(found) == [one.key for one in runs]
    for one in runs:
        same = found[one.key]
        for name in ("seed", "quantities", "epochs", "machine", "versions", "git_commit", "seconds"):
            assert getattr(same, name) == getattr(one, name)
        assert same.epochs[1] == {"train/loss": 0.5}


def test_equal_runs_are_kept_once(run):
    assert len(json.loads(as_json([run(), run()]))["points"][0]["runs"]) == 1


def test_a_number_that_is_not_finite_stays_one(run, tmp_path):
    (tmp_path / "results.json").write_text(as_json([run(**{"val/loss": None})]))
    (found,) = read(tmp_path / "results.json").values()
    assert math.isnan(found.quantities["val/loss"])


def test_where_the_data_lies_and_the_reference_decide_nothing(composed):
    settings = composed("data=fmnist", "data.root=/here").settings()
    assert key(settings) == key(composed("data=fmnist", "data.root=/there", "reference.place=x", "name=y").settings())
    assert key(settings) != key(composed("data=fmnist", "data.batch_size=8").settings())


def test_no_path_of_the_machine_is_kept(composed, run):
    one = replace(run(), settings=composed("data=fmnist", "data.root=/home/somebody").settings())
    assert "/home/somebody" not in as_json([one])


def test_settings_that_were_added_since_have_their_default(run, tmp_path):
    one = run()
    content = json.loads(as_json([one]))
    del content["points"][0]["settings"]["trainer"]["val_check_interval"]
    (tmp_path / "results.json").write_text(json.dumps(content))
    assert list(read(tmp_path / "results.json")) == [one.key]
    assert from_settings(one.settings).trainer.val_check_interval is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", [1]),
        ("seed", "x"),
        ("seed", -1),
        ("seed", 10**9),
        ("seed", True),
        ("versions", []),
        ("machine", None),
        ("quantities", {}),
        ("quantities", {"seconds": "long"}),
        ("epochs", {"val/loss": ["x"]}),
        ("epochs", {"val/loss": [0.5], "train/loss": [0.5, 0.25]}),
        ("git_commit", 7),
        ("data_fingerprint", None),
    ],
)
def test_a_value_of_another_kind_is_one_line(name, value, run, tmp_path):
    content = json.loads(as_json([run()]))
    content["points"][0]["runs"][0][name] = value
    (tmp_path / "results.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"is damaged( at {name}\S*)?: take it from another copy"):
        read(tmp_path / "results.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is missing or damaged"),
        ("{}", "is not a results.json of this version"),
        ('{"format": true, "points": []}', "is not a results.json of this version"),
        ('{"format": 1, "points": [{"settings": {}, "runs": []}]}', "is damaged"),
        ('{"format": 1, "points": [{}]}', "is damaged"),
    ],
)
def test_a_damaged_file_is_one_line(content, message, tmp_path):
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "results.json")
