"""`python -m website.build`: gathers all pages in build/docs, renders them into site/, and checks every link.

A page may link to any file of the repository, as it does when it is read there. In the site a link to another page
leads to that page, one to any other file to a copy of that file, and one to a folder is left out.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from website import notebooks
from website.diagram import as_svg
from website.links import dead_links

ROOT = Path(__file__).parents[1]
SITE = ROOT / "site"
CONFIG = ROOT / "website/mkdocs.yml"
ELSEWHERE = {  # pages that lie outside of docs/, and the sentence that says what they are for
    "README.md": ("index.md", ""),
    "RESULTS.md": (
        "results.md",
        "This page has every reported figure of the five documents beside the reproduced one.",
    ),
    "CONTRIBUTING.md": ("contributing.md", ""),
    "CHANGELOG.md": ("changelog.md", "This page says what has changed for users, version by version."),
    "benchmarks/RESULTS.md": ("benchmarks.md", "This page has all measurements of speed and memory, on one thread."),
    "benchmarks/RESULTS-2-threads.md": ("benchmarks-2-threads.md", "This page has the measurements on two threads."),
}
_SHOWN = (".png", ".svg", ".gif", ".html", ".txt")  # by a browser; of other files it gets a copy as text
_LINK = re.compile(  # or code, which may look like one
    r"^ *```.*?^ *```|`[^`\n]+`|(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", re.DOTALL | re.MULTILINE
)
_MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class SiteError(Exception):
    """What is wrong with the pages: a line for each dead link, or page that is not in the navigation."""


def main() -> None:
    """Build the site; with --serve, show it at http://127.0.0.1:8000. Exits with 1 for a warning or a dead link."""
    try:
        built = build(ROOT / "build")
    except SiteError as error:
        sys.exit(str(error))
    shutil.rmtree(SITE, ignore_errors=True)
    built.rename(SITE)
    if "--serve" in sys.argv:
        server = ["-m", "http.server", "8000", "--bind", "127.0.0.1", "--directory", str(SITE)]
        subprocess.run([sys.executable, *server])


def build(folder: Path) -> Path:
    """Gather the pages in `folder` and build the site in folder/site, which is returned. Raises SiteError."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = _pages()
    _gather(pages, folder / "docs")
    (folder / "mkdocs.yml").write_text(_config(pages), encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(folder / "mkdocs.yml")]
    if subprocess.run(command, env=os.environ | {"NO_COLOR": "1"}).returncode:
        raise SiteError("the pages have errors, as listed above")
    if dead := dead_links(folder / "site"):
        raise SiteError("\n".join(["dead links:", *dead]))
    return folder / "site"


def _gather(pages: dict[Path, str], docs: Path) -> None:
    """Write all pages, and what they link to, into docs. Raises SiteError."""
    docs.mkdir(parents=True)
    shutil.copy(ROOT / "website/extra.css", docs)
    for origin, target in pages.items():
        path = docs / target
        path.parent.mkdir(parents=True, exist_ok=True)
        text = _MERMAID.sub(lambda match: as_svg(match[1]), _introduced(_text(origin, path), origin))
        path.write_text(_Links(origin, path, pages, docs).turned(text), encoding="utf-8")


def _text(origin: Path, path: Path) -> str:
    if origin.suffix == ".ipynb":
        return notebooks.as_markdown(origin, path)
    return _GENERATED[path.name]() if path.name in _GENERATED else origin.read_text(encoding="utf-8")


def _pages() -> dict[Path, str]:
    """Where each page comes from, and its path in the site."""
    here = {path: str(path.relative_to(ROOT / "docs")) for path in sorted((ROOT / "docs").rglob("*.md"))}
    elsewhere = {ROOT / origin: target for origin, (target, _) in ELSEWHERE.items()}
    executed = {path: f"notebooks/{path.stem}.md" for path in notebooks.in_order(ROOT / "notebooks")}
    return here | elsewhere | executed | {ROOT / "docs" / target: target for target in _GENERATED}


def _config(pages: dict[Path, str]) -> str:
    """mkdocs.yml with the notebooks in its navigation. Raises SiteError unless that has every page once."""
    added = [f"      - {target}" for origin, target in pages.items() if origin.suffix == ".ipynb"]
    config = CONFIG.read_text(encoding="utf-8").replace("      # build.py adds them", "\n".join(added))
    listed = re.findall(r"^ *- (?:.+: )?(\S+\.md)$", config.partition("\nnav:\n")[2], re.MULTILINE)
    if wrong := set(listed) ^ set(pages.values()):
        raise SiteError(f"only in docs/ or only in the navigation of {CONFIG}: {', '.join(sorted(wrong))}")
    return config


def _introduced(text: str, origin: Path) -> str:
    """The page with its first sentence below the title, where ELSEWHERE has one."""
    sentence = ELSEWHERE.get(str(origin.relative_to(ROOT)), ("", ""))[1]
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{sentence}\n{rest}" if sentence else text


class _Links:
    """Turns the links of a page to what the site has."""

    def __init__(self, origin: Path, path: Path, pages: dict[Path, str], docs: Path) -> None:
        self.origin, self.path, self.pages, self.docs = origin, path, pages, docs

    def turned(self, text: str) -> str:
        """The page with its links turned, but for what is code. Raises SiteError for one that leads nowhere."""
        return _LINK.sub(lambda match: self._one(*match.groups()) if match[3] else match[0], text)

    def _one(self, sign: str, words: str, link: str) -> str:
        name, mark, anchor = link.partition("#")
        if "://" in link or not name:
            return f"{sign}[{words}]({link})"
        file = Path(os.path.normpath(self.origin.parent / name))
        if file in self.pages:
            target = self.docs / self.pages[file]
        elif file.is_dir():
            return words
        elif file.is_file() and file.is_relative_to(ROOT):
            target = self._copied(file)
        elif (self.path.parent / name).is_file():  # a notebook's picture is beside the page already
            return f"{sign}[{words}]({link})"
        else:
            raise SiteError(f"{self.origin.relative_to(ROOT)}: {link} is not there")
        return f"{sign}[{words}]({os.path.relpath(target, self.path.parent)}{mark}{anchor})"

    def _copied(self, file: Path) -> Path:
        inside = file.relative_to(ROOT)
        target = self.docs / "files" / (inside if file.suffix in _SHOWN else inside.with_name(f"{inside.name}.txt"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
        return target


def _commands() -> str:
    """The page of all commands, by typer."""
    command = [
        sys.executable,
        "-m",
        "typer",
        "dlproj.cli.app",
        "utils",
        "docs",
        "--name",
        "dlproj",
        "--title",
        "Commands",
    ]
    done = subprocess.run(command, env=os.environ | {"TERM": "dumb"}, capture_output=True, text=True, check=True)
    first = "This page lists every command of `dlproj` with its arguments and options, as `--help` prints them."
    return done.stdout.replace("# Commands\n", f"# Commands\n\n{first}\n", 1)


_GENERATED: dict[str, Callable[[], str]] = {"commands.md": _commands}

if __name__ == "__main__":
    main()
