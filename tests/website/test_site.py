"""The site: built strictly, without a dead link, with a diagram of its own and notebooks with their outputs."""

import importlib.util
import re
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import nbformat
import pytest
from pages import PAGES, ROOT, name

from website import build, notebooks
from website.diagram import as_svg
from website.links import dead_links

CHROMIUM = shutil.which("chromium")
HAS_BROWSER = CHROMIUM is not None and importlib.util.find_spec("playwright") is not None


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build.build(tmp_path_factory.mktemp("site") / "build")


def test_the_site_has_every_page(site):
    pages = {str(path.relative_to(site)) for path in site.rglob("*.html")}
    named = {"index.html", "guide/data.html", "commands.html", "settings.html", "results.html", "changelog.html"}
    assert named <= pages
    assert "dlproj data fetch" in (site / "commands.html").read_text()
    assert "confusion_matrix" in (site / "api.html").read_text()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_says_first_what_it_is_for(page):
    title, _, rest = page.read_text(encoding="utf-8").partition("\n")
    assert title.startswith("# ")
    first = rest.strip().partition("\n\n")[0]
    assert re.match(r"[A-Zd].*\.", " ".join(first.split())), first


def test_a_picture_is_beside_the_command_that_makes_it():
    for page in PAGES:
        for section in re.split(r"^#+ ", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
            assert "![" not in section or "```bash" in section, f"{name(page)}: {section.splitlines()[0]}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160


def test_a_promise_names_a_test_that_there_is():
    named = re.findall(r"`(tests/[\w/]+)(?:\.py)?/?(?:::(\w+))?`", (ROOT / "docs/reliability.md").read_text())
    assert len(named) > 25
    for path, test in named:
        file = ROOT / f"{path}.py"
        assert file.is_file() if test else file.is_file() or (ROOT / path).is_dir(), path
        assert f"def {test}(" in file.read_text() if test else True, test


WRONG = {
    "a dead link": "[a](gone.md)",
    "a dead anchor": "[a](index.md#gone)",
    "a dead picture": "![a](gone.png)",
    "a dead anchor of this page": "[a](#gone)",
    "an unknown object": "::: dlproj.gone",
    "a page that is not in the navigation": None,
}


def test_a_whole_page_is_built(tmp_path, monkeypatch):
    assert (built_with("[a](index.md#start)", tmp_path, monkeypatch) / "broken.html").is_file()


@pytest.mark.parametrize("what", WRONG)
def test_a_broken_page_is_refused(what, tmp_path, monkeypatch):
    with pytest.raises(build.SiteError):
        built_with(WRONG[what], tmp_path, monkeypatch)


def built_with(text, folder, monkeypatch):
    """A site of two pages, of which one has the text; without a text it is not in the navigation."""
    pages = {folder / "broken.md": f"# Broken\n\n{text}\n", folder / "index.md": "# Start\n\nThis page is whole.\n"}
    for path, content in pages.items():
        path.write_text(content)
    (folder / "website").mkdir()
    (folder / "website/extra.css").write_text("")
    settings = build.CONFIG.read_text().partition("\nnav:\n")[0]
    listed = ["  - index.md", *["  - broken.md"] * (text is not None)]
    (folder / "mkdocs.yml").write_text("\n".join([settings, "nav:", *listed, ""]))
    monkeypatch.setattr(build, "CONFIG", folder / "mkdocs.yml")
    monkeypatch.setattr(build, "ROOT", folder)
    monkeypatch.setattr(build, "_pages", lambda: {path: path.name for path in pages})
    return build.build(folder / "build")


def test_links_of_a_site_are_followed(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="b.html#there"></a><a href="#top"></a><a href="https://example.org/"></a>'
        '<a href="b.html#gone"></a><a href="c.html"></a><img src="d.png"><script src="https://cdn.example/x.js"></script>'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p>')
    dead = {"b.html#gone", "c.html", "d.png", "https://cdn.example/x.js"}
    assert set(dead_links(tmp_path)) == {f"a.html: {link}" for link in dead}


def test_a_diagram_has_its_boxes_from_top_to_bottom():
    svg = as_svg("graph TD\n    a --> b\n    b --> c\n    a --> c\n")
    height = {text: float(y) for y, text in re.findall(r'y="(\S+)">(\w)</text>', svg)}
    assert height["a"] < height["b"] < height["c"]
    assert svg.count('class="arrow"') == 3


def test_a_notebook_keeps_its_outputs(tmp_path):
    frame = '<iframe srcdoc="&lt;h1&gt;A run&lt;/h1&gt;&#10;" style="width:100%"></iframe>'
    table = "<div>\n<style scoped>\n td {}\n</style>\n\n<table>\n\n<tr><td>0.5</td></tr></table></div>"
    outputs = [nbformat.v4.new_output("display_data", data={"text/html": html}) for html in (frame, table)]
    cells = [
        nbformat.v4.new_markdown_cell("# First run\n\nThis notebook trains. It is short."),
        nbformat.v4.new_code_cell("run", outputs=outputs),
    ]
    path = tmp_path / "first_run.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    text = notebooks.as_markdown(path, tmp_path / "out/first_run.md")
    assert (tmp_path / "out/first_run_files/page-0.html").read_text().strip() == "<h1>A run</h1>"
    assert 'src="first_run_files/page-0.html"' in text
    assert "<table>\n<tr><td>0.5</td></tr></table>" in text


@pytest.fixture(scope="module")
def address(site):
    """The site, served on this machine: its search fetches its index."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


# What can be scrolled sideways or leaves the screen, but for tables in their boxes.
TOO_WIDE = """() => [...document.querySelectorAll("body *")].filter((e) => {
  if (!e.checkVisibility() || e.closest("svg, header, .md-sidebar, .md-search, .md-typeset__scrollwrap")) return false;
  if (e.closest("pre") && /^[┏┌]/.test(e.closest("pre").textContent.trim())) return false;  // a table, drawn in lines
  const scrolled = ["auto", "scroll"].includes(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1;
  const box = e.getBoundingClientRect();
  return scrolled || (box.width && (box.left < -0.5 || box.right > document.documentElement.clientWidth + 0.5));
}).map((e) => `${e.tagName}.${e.className}: ${e.textContent.trim().slice(0, 60)}`)"""


@pytest.mark.slow
@pytest.mark.skipif(not HAS_BROWSER, reason="chromium or playwright is not installed")
def test_nothing_but_tables_is_wider_than_a_phone(browser, address, site):
    page = browser.new_page(viewport={"width": 400, "height": 800})
    for path in sorted(site.rglob("*.html")):
        if "files" not in str(path.relative_to(site)):
            page.goto(f"{address}/{path.relative_to(site)}")
            assert page.evaluate(TOO_WIDE) == [], path
    page.close()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_BROWSER, reason="chromium or playwright is not installed")
def test_a_page_is_found_and_darkened_without_anything_from_elsewhere(browser, address):
    page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme="light")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}/index.html")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("label[for^=__palette]:visible").first.click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.keyboard.press("/")
    page.keyboard.type("tensor parallel")
    page.get_by_role("link", name=re.compile("Several processes|Glossary")).first.wait_for()
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    page.close()
