"""Links of a built site that lead nowhere: to a page, a picture, an anchor; and what it would fetch from elsewhere."""

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_FETCHED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "link": "href"}


class _Page(HTMLParser):
    """The anchors of a page, its links, and what a browser fetches for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in _FETCHED and given.get("rel") not in ("canonical", "prev", "next"):
            self.fetched += [given[name] for name in (_FETCHED[tag],) if name in given]


@cache
def _page(path: Path) -> _Page:
    return _Page(path.read_text(encoding="utf-8"))


def dead_links(site: Path) -> list[str]:
    """A line for each link, picture, style or script of a page that is not in the site, or fetched from elsewhere."""
    _page.cache_clear()
    pages = sorted(path for path in site.rglob("*.html") if not path.is_relative_to(site / "files"))
    return [f"{path.relative_to(site)}: {link}" for path in pages for link in _dead(path, site)]


def _dead(path: Path, site: Path) -> list[str]:
    page = _page(path)
    outside = [link for link in page.fetched if urlsplit(link).netloc]
    return outside + [link for link in {*page.links, *page.fetched} if not _leads(link, path, site)]


def _leads(link: str, path: Path, site: Path) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    base = site if parts.path.startswith("/") else path.parent
    target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return False
    fragment = unquote(parts.fragment)
    return not fragment or target.suffix != ".html" or fragment in _page(target).anchors
