"""The pages of the documentation, their blocks of code and the commands in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`((?:python train\.py|dlproj|make) [^`]+)`")
_PLACEHOLDER = re.compile(r"…|\b[A-Z]{3,}\b|\[|\bmine\b")  # of what a reader fills in: RUN, NAME, --config-dir mine


@dataclass(frozen=True)
class Block:
    """A fenced block of code: its language and text."""

    language: str
    text: str

    def lines(self):
        """The commands of a block, without comments."""
        return [line for line in self.text.splitlines() if line.strip() and not line.startswith("#")]


def name(page):
    return str(page.relative_to(ROOT))


def blocks(page):
    return [
        Block(language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE))
        for indent, language, text in FENCE.findall(page.read_text(encoding="utf-8"))
    ]


def typed(page):
    """Every command of the page, in blocks and within sentences."""
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        if block.language == "bash":
            yield from block.lines()
    yield from (command for command in _INLINE.findall(FENCE.sub("", text)) if not _PLACEHOLDER.search(command))


def simple(line):
    """The words of each command that begins with one of ours, in a line of the shell."""
    line = re.sub(r"\$\([^()]*\)|\$\w+", "FOLDER", line)
    words = shlex.split(line, comments=True)
    starts = [
        i for i, word in enumerate(words) if word in ("python", "dlproj", "make") and words[i - 1 : i] != ["which"]
    ]
    for i in starts:
        end = next((j for j in range(i, len(words)) if words[j] in ("|", "||", "&&", ">", ";")), len(words))
        yield words[i:end]
