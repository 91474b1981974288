"""Executed notebooks as Markdown pages, with their outputs."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FRAME = re.compile(r'<iframe srcdoc="([^"]*)"', re.DOTALL)


def as_markdown(notebook: Path, page: Path) -> str:
    """The notebook's text; its pictures and framed pages are written beside the page."""
    import nbformat
    from nbconvert import MarkdownExporter

    content = nbformat.read(notebook, as_version=4)
    folder = page.parent / f"{page.stem}_files"
    folder.mkdir(parents=True, exist_ok=True)
    for i, data in enumerate(_outputs(content)):
        if "text/html" in data:
            data["text/html"] = _markup(data["text/html"], folder, i)
    text, resources = MarkdownExporter().from_notebook_node(content)
    for name, picture in resources["outputs"].items():
        (folder / name).write_bytes(picture)
        text = text.replace(f"]({name})", f"]({folder.name}/{name})")
    return text


def _outputs(content: Any) -> Iterator[Any]:
    """What the cells have shown, by MIME type."""
    for cell in content.cells:
        yield from (output["data"] for output in cell.get("outputs", ()) if "data" in output)


def _markup(text: str, folder: Path, number: int) -> str:
    """HTML without what Markdown would take for its own: blank lines, and a page within a page, which gets a file."""
    framed = _FRAME.search(text)
    if framed:
        file = folder / f"page-{number}.html"
        file.write_text(html.unescape(framed[1]), encoding="utf-8")
        text = text.replace(framed[0], f'<iframe loading="lazy" src="{folder.name}/{file.name}"', 1)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    return re.sub(r"\n\s*", "\n", text)


def titles(folder: Path) -> Iterator[str]:
    """For each notebook a link with its title, and the first sentence below it."""
    for path in sorted(folder.glob("*.ipynb")):
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        title, _, rest = first.lstrip("# ").partition("\n")
        sentence = re.split(r"(?<=[.:])\s", " ".join(rest.split()), maxsplit=1)[0]
        yield f"[{title.strip()}](../notebooks/{path.name}): {sentence}"
