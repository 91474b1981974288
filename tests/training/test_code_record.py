"""What a run keeps of the code that made it, held to git and importlib.metadata."""

import re
import subprocess
from importlib.metadata import distributions
from pathlib import Path

import pytest

from dlproj.runs.manifest import CODE, add
from dlproj.training import code_record
from dlproj.training.code_record import git_commit, packages, write_code_record


def git(folder, *words):
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout as the current folder, for a package that is in none."""
    for name, value in (("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")):
        monkeypatch.setenv(name, value)
    here = tmp_path / "checkout"
    (here / "below").mkdir(parents=True)
    (here / "code.py").write_text("one\ntwo\n")
    (here / "gone.py").write_text("gone\n")
    (here / "picture.png").write_bytes(bytes(range(256)))
    (here / ".gitignore").write_text("ignored.py\n")
    git(here, "init", "-q")
    git(here, "add", ".")
    git(here, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    monkeypatch.setattr(code_record, "__file__", str(tmp_path / "installed.py"))
    monkeypatch.chdir(here / "below")
    return here


def change(here):
    (here / "code.py").write_text("one\n2\n")
    (here / "gone.py").unlink()
    (here / "picture.png").write_bytes(bytes(reversed(range(256))))
    (here / "staged.py").write_text("staged\n")
    git(here, "add", "staged.py")
    (here / "below/größe *.py").write_text("new\n")
    (here / "conf").mkdir()
    (here / "conf/mine.yaml").write_text("a: 1\n")
    (here / "run.sh").write_text("#!/bin/sh\n")
    git(here, "add", "run.sh")
    (here / "run.sh").chmod(0o755)


def tracked(here):
    paths = [here / name for name in git(here, "ls-files", "-z", "-co", "--exclude-standard").split("\0") if name]
    return {path.relative_to(here): (path.read_bytes(), path.stat().st_mode) for path in paths if path.exists()}


def test_the_commit_is_gits():
    head = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True
    )
    if head.returncode:
        pytest.skip("the tests do not run from a git checkout")
    assert str(git_commit()).removesuffix("+") == head.stdout.strip()


def test_outside_a_checkout_there_is_neither_commit_nor_patch(monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert git_commit() is None
    write_code_record(tmp_path, None)
    assert [path.name for path in tmp_path.iterdir()] == ["packages.txt"]


@pytest.mark.parametrize("setting", ["diff.noprefix", "diff.mnemonicPrefix", "diff.relative", "core.quotePath"])
def test_the_patch_makes_a_clone_the_code_of_the_run(checkout, tmp_path, setting):
    git(checkout, "config", setting, "true")
    git(checkout, "config", "color.ui", "always")
    change(checkout)
    before = git(checkout, "status", "--porcelain")
    write_code_record(tmp_path, git_commit())
    assert git(checkout, "status", "--porcelain") == before  # the index is as it was
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(checkout), str(clone))
    git(clone, "checkout", "-q", git_commit().removesuffix("+"))
    git(clone, "apply", str(tmp_path / "code.patch"))
    assert tracked(clone) == tracked(checkout)


def test_what_is_no_code_and_what_git_ignores_is_in_no_patch(checkout, tmp_path):
    change(checkout)
    for name in ("ignored.py", ".env", "data.csv", "secrets.yaml"):
        (checkout / name).write_text("TOKEN=secret\n")
    write_code_record(tmp_path, git_commit())
    assert "secret" not in (tmp_path / "code.patch").read_text()


def test_a_clean_checkout_leaves_no_patch_also_of_an_earlier_start(checkout, tmp_path):
    change(checkout)
    write_code_record(tmp_path, git_commit())
    add(tmp_path, dict.fromkeys(CODE, ""))  # as a run does
    git(checkout, "reset", "-q", "--hard")
    git(checkout, "clean", "-qfd")
    assert not git_commit().endswith("+")
    write_code_record(tmp_path, git_commit())
    assert not (tmp_path / "code.patch").exists()


def test_files_of_the_user_with_these_names_stay(checkout, tmp_path, caplog):
    change(checkout)
    (tmp_path / "packages.txt").write_text("mine")
    write_code_record(tmp_path, git_commit())
    assert (tmp_path / "packages.txt").read_text() == "mine"
    assert not (tmp_path / "code.patch").exists()
    assert caplog.messages == [f"{tmp_path}/packages.txt is not dlproj's: code.patch and packages.txt are not kept"]


def test_new_files_that_are_too_large_are_not_even_read(checkout, tmp_path, caplog):
    with (checkout / "large.py").open("wb") as file:
        file.truncate(10**12)
    write_code_record(tmp_path, git_commit())
    assert caplog.messages == ["no code.patch is kept: git does not give it"]


def test_nothing_is_left_in_the_users_repository(checkout, tmp_path):
    change(checkout)
    before = sorted(path for path in (checkout / ".git").rglob("*"))
    write_code_record(tmp_path, git_commit())
    assert sorted(path for path in (checkout / ".git").rglob("*")) == before


def test_a_large_patch_is_left_out_with_one_line(checkout, tmp_path, caplog):
    (checkout / "code.py").write_text("x" * 1_500_000)
    write_code_record(tmp_path, git_commit())
    (said,) = caplog.messages
    assert re.fullmatch(r"no code\.patch is kept: the uncommitted changes take 1\.5 MB", said)
    assert not (tmp_path / "code.patch").exists()


def test_packages_are_those_of_importlib_metadata():
    found = {}
    for one in distributions():
        found.setdefault(re.sub(r"[-_.]+", "-", one.name).lower(), one.version)
    assert packages() == [f"{name}=={version}" for name, version in sorted(found.items())]
