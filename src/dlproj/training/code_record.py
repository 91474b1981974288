"""The code that made a run: the commit, code.patch with what is not committed, packages.txt."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

from dlproj.config.whole_files import write_whole
from dlproj.runs.manifest import CODE, foreign

_log = logging.getLogger(__name__)
_LARGEST = 1_000_000  # bytes of code.patch
_NEW = ("*.py", "conf/*.yaml")  # untracked files of these names are code, too
# As git itself writes a patch, whatever the user's configuration says.
_DIFF = "diff --binary --full-index --no-color --no-ext-diff --no-textconv --no-relative --ignore-submodules=dirty"
_DIFF_OPTIONS = [*_DIFF.split(), "--ita-visible-in-index", "--src-prefix=a/", "--dst-prefix=b/", "HEAD"]


def git_commit() -> str | None:
    """Commit of the code, with "+" for uncommitted changes; None outside a checkout.

    The checkout is that of this package, or of the current folder if the package is installed.
    """
    root = _checkout()
    if root is None:
        return None
    commit, changes = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain")
    return None if commit is None else commit.decode().strip() + ("" if changes == b"" else "+")


def write_code_record(folder: Path, commit: str | None) -> None:
    """Write packages.txt, and code.patch if there are uncommitted changes.

    commit: as git_commit() returned it. `git apply code.patch` restores the code in a checkout of that commit: changes
    of tracked files, and new Python files and YAML files below conf/ that git does not ignore. A patch of more than
    1 MB is left out, with a warning; so are both where the user has files of these names.
    """
    if paths := foreign(folder, CODE):
        _log.warning("%s is not dlproj's: code.patch and packages.txt are not kept", paths[0])
        return
    write_whole(folder / "packages.txt", "".join(f"{line}\n" for line in packages()))
    patch = _patch() if commit and commit.endswith("+") else b""
    if patch is None or len(patch) > _LARGEST:
        why = "git does not give it" if patch is None else f"the uncommitted changes take {len(patch) / 1e6:.1f} MB"
        _log.warning("no code.patch is kept: %s", why)
        patch = b""
    if patch:
        write_whole(folder / "code.patch", patch)
    else:
        (folder / "code.patch").unlink(missing_ok=True)  # of the code before a resume


def packages() -> list[str]:
    """The installed packages as name==version, sorted.

    Read from the names of their folders, as the wheel format defines them: a hundred times faster than
    importlib.metadata.
    """
    found: dict[str, str] = {}
    for place in sys.path:
        for path in Path(place).glob("*-*.dist-info"):
            name, _, version = path.stem.rpartition("-")
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _checkout() -> Path | None:
    package = Path(__file__).parent
    tracked = _git(package, "ls-files", "--error-unmatch", Path(__file__).name) is not None
    root = _git(package if tracked else Path.cwd(), "rev-parse", "--show-toplevel")
    return None if root is None else Path(os.fsdecode(root.removesuffix(b"\n")))


def _patch() -> bytes | None:
    """The uncommitted changes; new files become part of them in an index of its own, not in the user's.

    None if git does not give them, or if the new files alone are too large.
    """
    root = _checkout()
    git = root and _git(root, "rev-parse", "--absolute-git-dir")
    if not root or not git:
        return None
    new = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *_NEW) or b""
    try:
        if sum((root / os.fsdecode(name)).lstat().st_size for name in new.split(b"\0") if name) > _LARGEST:
            return None
        with TemporaryDirectory() as temporary:
            return _diff(root, Path(os.fsdecode(git.strip())), Path(temporary), new)
    except OSError:  # no room for temporary files, or a new file that has gone
        return None


def _diff(root: Path, git: Path, temporary: Path, new: bytes) -> bytes | None:
    with suppress(FileNotFoundError):  # nothing was ever added
        copyfile(git / "index", temporary / "index")
    objects = _git(root, "rev-parse", "--git-path", "objects") or b""
    own = {
        "GIT_INDEX_FILE": str(temporary / "index"),
        "GIT_OBJECT_DIRECTORY": str(temporary),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str((root / os.fsdecode(objects.strip())).resolve()),
    }
    if new:
        words = ("add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul")
        _git(root, "--literal-pathspecs", *words, own=own, given=new)
    return _git(root, *_DIFF_OPTIONS, own=own)


def _git(folder: Path, *words: str, own: Mapping[str, str] | None = None, given: bytes = b"") -> bytes | None:
    """What git prints; None if it fails, takes 10 s or is not installed.

    own: further variables of its environment. given: its standard input.
    """
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"} | dict(own or {})
    try:
        options: Any = {"capture_output": True, "check": True, "env": environment, "input": given, "timeout": 10}
        return subprocess.run(["git", "-C", str(folder), *words], **options).stdout
    except (OSError, subprocess.SubprocessError):
        return None
