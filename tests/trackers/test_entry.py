"""What is read of a folder for trackers."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from folders import write_run

from dlproj.config.checks import ConfigurationError
from dlproj.runs.lock import run_lock
from dlproj.runs.manifest import add, claim, listed
from dlproj.runs.record import read_run
from dlproj.trackers.entry import NAME, entry_of_run, identity


def known(folder):
    with identity(folder) as kept:
        return kept["id"]


def test_all_who_ask_at_once_get_one_identity(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(known, [tmp_path] * 40))
    assert len(found) == 1
    assert known(tmp_path) in found


def test_what_a_tracker_keeps_is_there_the_next_time_also_after_an_error(tmp_path):
    def fail():
        with identity(tmp_path) as kept:
            kept["there"] = "digest"
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fail()
    with identity(tmp_path) as kept:
        assert kept["there"] == "digest"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"id": 3}', '{"no": "id"}', '{"id": "a\' OR \'"}'])
def test_a_damaged_identity_is_made_anew(content, tmp_path):
    (tmp_path / NAME).write_text(content)
    assert known(tmp_path) == known(tmp_path) == json.loads((tmp_path / NAME).read_text())["id"]


def test_a_run_that_replaces_another_is_another_one(tmp_path):
    folder = write_run(tmp_path / "run")
    claim(folder, {"summary.json": "", "config.yaml": "", "metrics.csv": ""}, replace=True)
    write_run(tmp_path / "other")
    for path in (tmp_path / "other").iterdir():
        path.rename(folder / path.name)
    before = known(folder)
    assert NAME in listed(folder)
    claim(folder, {"summary.json": ""}, replace=True)
    assert known(folder) != before


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written to"), identity(tmp_path / "nowhere"):
        pass


def test_a_run_that_says_it_runs_does_so_only_while_its_folder_is_locked(tmp_path):
    run = read_run(write_run(tmp_path / "run", status="running"))
    assert entry_of_run(run).status == "interrupted"
    with run_lock(tmp_path / "run"):
        assert entry_of_run(run).status == "running"
        assert entry_of_run(run, alive=False).status == "interrupted"
    done = read_run(write_run(tmp_path / "done"))
    assert entry_of_run(done).status == "completed"
    assert entry_of_run(done, alive=True).status == "running"
    assert entry_of_run(done, alive=True).files == []


def test_nothing_outside_of_the_folder_is_sent(tmp_path):
    folder = write_run(tmp_path / "run")
    (tmp_path / "secret").write_text("secret")
    (folder / "report.html").symlink_to(tmp_path / "secret")
    add(folder, dict.fromkeys(["config.yaml", "../secret", str(tmp_path / "secret"), "report.html", "/etc/passwd"], ""))
    names = [path.relative_to(folder).as_posix() for path in entry_of_run(read_run(folder)).files]
    assert names == ["config.yaml", "metrics.csv", "summary.json"]


def test_where_a_run_logs_to_is_not_sent(tmp_path):
    run = read_run(write_run(tmp_path / "run", {"data.root": "/here"}))
    run.settings["logger"] = {"mlflow": {"tracking_uri": "https://here"}}
    assert not [key for key in entry_of_run(run).settings if key.startswith("logger")]
