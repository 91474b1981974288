"""The guard of a folder: what dlproj wrote may be replaced, and nothing else is ever lost."""

import errno
import os
from pathlib import Path

import pytest

from dlproj.config.checks import ConfigurationError
from dlproj.config.figures import FiguresConfig
from dlproj.runs import manifest
from dlproj.runs.manifest import add, claim, discard_run, foreign, holds_run, listed, recover, run_files, write_files

NAMES = run_files(FiguresConfig())


def tree(folder):
    """All files below by name, the manifest left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != manifest.NAME
    }


def write_run(folder, names=NAMES):
    """As a run does: the folder is claimed, then every file of it is written."""
    claim(folder, names, replace=False)
    for name in names:
        path = folder / name.replace("*", "1.host.7")
        path.parent.mkdir(exist_ok=True)
        path.write_text("ours")


def test_an_earlier_run_stays_unless_it_may_be_replaced(tmp_path):
    write_run(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(ConfigurationError, match=r"holds an earlier run: .*dlproj resume .*overwrite=true"):
        claim(tmp_path, NAMES, replace=False)
    assert tree(tmp_path) == before


def test_only_what_a_run_wrote_is_replaced(tmp_path):
    for name in ("checkpoints/my.pt", "figures/mine.png", "thesis.txt", "metrics.csv.bak"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    mine = tree(tmp_path)
    write_run(tmp_path)
    claim(tmp_path, NAMES, replace=True)
    assert tree(tmp_path) == mine
    assert listed(tmp_path) == NAMES


def test_a_run_leaves_no_empty_folders_of_the_replaced_one(tmp_path):
    write_run(tmp_path)
    discard_run(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["summary.json", "checkpoints/best.ckpt", "report.html", "events.out.tfevents.1.x"])
@pytest.mark.parametrize("replace", [False, True])
def test_a_file_of_somebody_is_not_overwritten_even_where_a_run_may_be(name, replace, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigurationError, match=f"{name} would be overwritten, and dlproj did not write it"):
        claim(tmp_path, NAMES, replace)
    assert tree(tmp_path) == {name: b"mine"}


def test_a_file_beside_a_run_that_had_none_of_its_name_is_not_overwritten_by_the_next(tmp_path):
    write_run(tmp_path, run_files(FiguresConfig(report=False)))
    (tmp_path / "report.html").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(ConfigurationError, match=r"report\.html would be overwritten"):
        claim(tmp_path, NAMES, replace=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(errno.EPERM, "Operation not permitted"), ConfigurationError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_run_that_cannot_be_removed_whole_is_not_removed_in_part(error, raised, tmp_path, monkeypatch):
    write_run(tmp_path)
    before = tree(tmp_path)
    replace, calls = os.replace, []

    def fails_at_the_fifth(source, target):
        calls.append(source)
        if len(calls) == 5:
            raise error
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails_at_the_fifth)
    with pytest.raises(raised):
        discard_run(tmp_path)
    assert tree(tmp_path) == before
    assert holds_run(tmp_path)


@pytest.mark.parametrize("moment", range(1, 42, 2))
def test_a_replacement_that_is_killed_is_undone_or_finished_at_the_next_start(moment, tmp_path, monkeypatch):
    """Killed: nothing of what Python would do then happens. An interrupt is undone at once, by the same function."""
    write_run(tmp_path)
    before = tree(tmp_path)
    for name in ("replace", "unlink"):
        function = getattr(os, name)

        def step(*paths, function=function, **how):
            nonlocal moment
            moment -= 1
            if moment < 0:
                raise Killed
            function(*paths, **how)

        monkeypatch.setattr(os, name, step)
    monkeypatch.setattr(Path, "unlink", lambda path: os.unlink(path))
    recovers = manifest.recover
    monkeypatch.setattr(manifest, "recover", lambda folder: recovers(folder) if moment >= 0 else None)
    try:
        discard_run(tmp_path)
    except Killed:
        monkeypatch.undo()
        recover(tmp_path)
    assert tree(tmp_path) in (before, {})
    assert holds_run(tmp_path) == (tree(tmp_path) == before)


class Killed(BaseException):
    """As SIGKILL."""


def test_a_run_of_a_version_without_manifests_is_known_by_its_settings(tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    assert not holds_run(tmp_path)
    (tmp_path / "config.yaml").write_text("schema:\n  data: digits\n")
    assert holds_run(tmp_path)
    for content in ("defaults: []\n", "schema: ./schema.graphql\n"):  # somebody's, or Hydra's
        (tmp_path / "config.yaml").write_text(content)
        assert not holds_run(tmp_path)


def test_a_run_whose_manifest_is_damaged_is_known_by_its_settings(tmp_path):
    write_run(tmp_path)
    (tmp_path / "config.yaml").write_text("schema:\n  data: digits\n")
    (tmp_path / manifest.NAME).write_text("")
    assert holds_run(tmp_path)
    claim(tmp_path, NAMES, replace=True)
    assert tree(tmp_path) == {}


def test_a_sweep_of_a_version_without_manifests_has_its_logs_and_reports(tmp_path):
    (tmp_path / "relu/s1").mkdir(parents=True)
    (tmp_path / "relu/s1/config.yaml").write_text("schema:\n")
    (tmp_path / "multirun.yaml").write_text("_target_: hydra_plugins.dlproj_sweepers.GridSweeper")
    for name in ("relu/s1.log", "thesis.log", "report.html"):
        (tmp_path / name).touch()
    assert [path.name for path in foreign(tmp_path, ["relu/s1.log", "thesis.log", "report.html"])] == ["thesis.log"]
    (tmp_path / "multirun.yaml").write_text("of another program")
    assert len(foreign(tmp_path, ["relu/s1.log", "thesis.log", "report.html"])) == 3


def test_a_run_that_failed_before_its_first_checkpoint_is_in_nobodys_way(tmp_path):
    write_run(tmp_path)
    (tmp_path / "summary.json").write_text('{"status": "failed"}')
    with pytest.raises(ConfigurationError, match="holds an earlier run"):
        claim(tmp_path, NAMES, replace=False)
    (tmp_path / "checkpoints/last.ckpt").unlink()
    claim(tmp_path, NAMES, replace=False)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', '{"format": 2, "files": {"report.html": ""}}'])
def test_a_damaged_manifest_lets_nothing_go(content, tmp_path):
    (tmp_path / manifest.NAME).write_text(content)
    (tmp_path / "report.html").write_text("whose?")
    with pytest.raises(ConfigurationError, match=r"report\.html would be overwritten"):
        write_files(tmp_path, {"report.html": "new"})


def test_what_was_written_in_part_can_be_written_anew(tmp_path, monkeypatch):
    write = manifest.write_whole

    def full(path, content):
        if path.name == "b.csv":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, content)

    monkeypatch.setattr(manifest, "write_whole", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        write_files(tmp_path, {"a.html": "1", "b.csv": "1"})
    monkeypatch.undo()
    write_files(tmp_path, {"a.html": "2", "b.csv": "2"})
    assert tree(tmp_path) == {"a.html": b"2", "b.csv": b"2"}


def test_a_report_of_a_run_that_still_trains_stays_the_runs(tmp_path):
    write_run(tmp_path)
    write_files(tmp_path, {"report.html": "so far"})
    (tmp_path / "report.html").write_text("at the end")
    claim(tmp_path, NAMES, replace=True)
    assert tree(tmp_path) == {}


def test_a_star_in_a_name_is_a_star(tmp_path):
    add(tmp_path, {"y*.log": ""})
    (tmp_path / "y-thesis.log").write_text("mine")
    assert foreign(tmp_path, ["y-thesis.log"]) == [tmp_path / "y-thesis.log"]


def test_files_are_written_anew_until_somebody_changes_them(tmp_path):
    write_files(tmp_path, {"a.html": "first", "a.csv": "1"})
    write_files(tmp_path, {"a.html": "second", "a.csv": "2"})
    (tmp_path / "a.csv").write_text("2, and my notes")
    with pytest.raises(ConfigurationError, match=r"a\.csv would be overwritten"):
        write_files(tmp_path, {"a.html": "third", "a.csv": "3"})
    assert tree(tmp_path) == {"a.html": b"second", "a.csv": b"2, and my notes"}
    write_files(tmp_path, {"a.html": "third", "a.csv": "3"}, overwrite=True)
    assert tree(tmp_path) == {"a.html": b"third", "a.csv": b"3"}


def test_links_are_somebodys_files(tmp_path):
    (tmp_path / "summary.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"summary\.json would be overwritten"):
        claim(tmp_path, NAMES, replace=False)


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "checkpoints").write_text("mine")
    with pytest.raises(ConfigurationError, match="checkpoints and 1 other file would be overwritten"):
        claim(tmp_path, NAMES, replace=False)


def test_what_commands_add_to_a_run_goes_with_it(tmp_path):
    write_run(tmp_path)
    write_files(tmp_path, {"report.csv": "a table"})
    discard_run(tmp_path)
    assert not Path(tmp_path, "report.csv").exists()


def test_adding_keeps_what_was_listed(tmp_path):
    add(tmp_path, {"a": ""})
    add(tmp_path, {"b": "1"})
    assert listed(tmp_path) == {"a": "", "b": "1"}
