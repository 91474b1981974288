"""Executed notebooks as Markdown pages, with their outputs."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ORDER = ("first_run", "which_activation", "your_own_data", "recurrent_networks", "lab_reproduced")
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
    text = re.sub(r"<table[^>]*>", "<table>", text)  # styled, and scrolled on a phone, as those of other pages
    return re.sub(r"\n\s*", "\n", text)


def in_order(folder: Path) -> list[Path]:
    """The notebooks as they are to be read."""
    return sorted(folder.glob("*.ipynb"), key=lambda path: (*_ORDER, path.stem).index(path.stem))
