"""Reports in Chromium: they load without a network, sort, print, and fit a phone and a screen."""

import importlib.util
import shutil
from itertools import pairwise

import pytest
from folders import inspection, png, write_run

from dlproj.reports.comparison_report import write_report
from dlproj.runs.record import Damaged, find_runs

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="playwright is not installed"),
]
WIDTHS = (400, 1400)

# Boxes of siblings that cover one another, and what leaves its box to the side without a way to scroll to it.
TROUBLE = """() => {
  const trouble = [];
  const name = (e) => `${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 30)}`;
  const style = (e) => getComputedStyle(e);
  const shown = (e) => !e.closest("svg, script") && e.checkVisibility() && e.getClientRects().length;
  const block = (e) => shown(e) && style(e).display !== "inline";
  const apart = (e) => ["sticky", "absolute"].includes(style(e).position);
  for (const element of [...document.body.querySelectorAll("*")].filter(block)) {
    const box = element.getBoundingClientRect();
    if (!element.closest(".scroll") && (box.left < -0.5 || box.right > innerWidth + 0.5))
      trouble.push("outside: " + name(element));
    if (!element.matches(".scroll, table, thead, tbody, tr") && element.scrollWidth > element.clientWidth + 1)
      trouble.push("too wide: " + name(element));
    for (let next = element.nextElementSibling; next; next = next.nextElementSibling) {
      if (!block(next) || apart(element) || apart(next)) continue;
      const other = next.getBoundingClientRect();
      const x = Math.min(box.right, other.right) - Math.max(box.left, other.left);
      const y = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
      if (x > 1 && y > 1) trouble.push(`overlap: ${name(element)} and ${name(next)}`);
    }
  }
  return trouble;
}"""
# The texts of each figure that cover one another: labels and ticks.
TEXTS = """() => [...document.querySelectorAll("svg")].flatMap((svg) => {
  const texts = [...svg.querySelectorAll("text")].map((e) => [e.textContent, e.getBoundingClientRect()]);
  const cover = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  return texts.flatMap(([text, box], place) =>
    texts.slice(place + 1).filter(([, other]) => cover(box, other)).map(([other]) => `${text} and ${other}`));
})"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Paths of a run's page, of a run of reviews, of a sweep over two settings, of one over seeds."""
    root = tmp_path_factory.mktemp("reports")
    sample = inspection()["gallery"][0]
    images = [sample | {"guess": place % 3, "image": png(40 * place)} for place in range(6)]
    reviews = [
        sample | {"guess": place % 2, "image": None, "text": "a word and " * 20 * place + "x" * 90}
        for place in range(4)
    ]
    rates = {"gradient_norms": {"hidden.0.linear.weight": {"1": 0.1, "2": 0.05}}}
    graph = [
        {"name": "inputs", "operation": "inputs", "kind": "data", "shape": [784]},
        {"name": "hidden.0.weight", "operation": "parameter", "kind": "parameter", "shape": [1000, 784]},
        {"name": "hidden.0", "operation": "matmul", "kind": "operation", "shape": [1000], "reads": [0, 1]},
    ]
    write_run(
        root / "run/0",
        inspected=inspection(gallery=images, graph=graph, **rates),
        overrides=["data.root=/" + "long" * 20],
    )
    write_run(root / "reviews/0", inspected=inspection(gallery=reviews, most_wrong=reviews))
    for place, (rate, dropout) in enumerate((rate, dropout) for rate in (0.1, 0.01, 0.001) for dropout in (0.0, 0.3)):
        settings = {"optim.learning_rate": rate, "model.dropout": dropout}
        reported = {"reference": {"test/accuracy": 0.85, "seconds": 0.5}}
        write_run(
            root / f"sweep/{place}",
            settings,
            inspected=inspection(),
            **{"test/accuracy": 0.9 - rate * dropout} | reported,
        )
    write_run(
        root / "sweep/10",
        {"optim.learning_rate": 10.0},
        status="failed",
        stop_reason="ValueError: " + "x" * 200,
        confusion_matrix=[],
        **{"test/accuracy": None},
    )
    reported = {"reference_curves": {"val/loss": {"1": 0.4, "3": 0.3}, "train_eval/accuracy": {"1": 0.5}}}
    for seed in range(4):
        write_run(root / f"seeds/{seed}", {"seed": seed}, **{"test/accuracy": 0.9 + seed / 1000} | reported)
    damaged = [Damaged(root / "sweep/11", "summary.json is missing or damaged: take it from another copy")]
    for name in ("run", "reviews", "sweep", "seeds"):
        runs, _ = find_runs([root / name])
        write_report(runs, damaged if name == "sweep" else [], root / f"{name}.html")
    return {path.stem: path for path in root.glob("*.html")}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, reports):
    """Call with the name of a report: its page, without a network. No request and no script may have failed."""
    contexts, trouble = [], []

    def go(name, width=1400, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("requestfailed", lambda request: trouble.append(request.url[:200]))
        page.on("request", lambda request: trouble.append(request.url) if request.url.startswith("http") else None)
        page.goto(reports[name].as_uri())
        return page

    yield go
    for context in contexts:
        context.close()
    assert trouble == []


ALL = pytest.mark.parametrize("name", ["run", "reviews", "sweep", "seeds"])


@ALL
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overlaps_or_leaves_the_page(visit, name, width, scheme):
    page = visit(name, width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach((part) => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(TROUBLE) == []
    assert page.evaluate(TEXTS) == []


@ALL
def test_on_a_phone_only_tables_scroll_sideways_and_figures_stack(visit, name):
    page = visit(name, width=400)
    page.evaluate("document.querySelectorAll('details').forEach((part) => part.open = true)")
    wide = "[...document.querySelectorAll('*')].filter((e) => !e.closest('svg') && e.scrollWidth > e.clientWidth + 1"
    scrolling = page.evaluate(f"{wide} && getComputedStyle(e).overflowX !== 'visible').map((e) => e.className)")
    assert all({"table", "confusion"} & set(names.split()) for names in scrolling)
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every((e) => e.querySelector('table'))")
    boxes = [box for figure in page.locator(".figure:has(svg)").all() if (box := figure.bounding_box())]
    assert boxes
    assert all(box["x"] < 40 and box["width"] > 320 for box in boxes)
    below = sorted(boxes, key=lambda box: box["y"])
    assert all(one["y"] + one["height"] <= other["y"] + 1 for one, other in pairwise(below))


def test_training_stands_beside_validation_on_a_screen(visit):
    page = visit("sweep")
    boxes = [card.bounding_box() for card in page.locator(".chosen").all()]
    for train, val in (boxes[:2], boxes[2:]):
        assert train["y"] == val["y"]
        assert train["x"] + train["width"] < val["x"]
    assert boxes[2]["y"] > boxes[0]["y"]


def test_histograms_and_layers_use_the_whole_width(visit):
    page = visit("run")
    main = page.locator("main").bounding_box()
    panels = [panel.bounding_box() for panel in page.locator(".figures.small .figure").all()]
    assert page.locator(".figures.small").bounding_box()["width"] > 0.9 * main["width"]
    assert all(panel["width"] >= 250 for panel in panels)
    names, shapes = (page.locator(f".network {of}").all_inner_texts() for of in ("strong", ".shape"))
    assert dict(zip(names, shapes, strict=True)) == {"inputs": "784", "hidden.0": "1,000"}


def column(page, table, heading):
    """The texts of a column."""
    place = page.locator(f"{table} thead th").all_inner_texts().index(heading) + 1
    return page.locator(f"{table} tbody tr > :nth-child({place})").all_inner_texts()


def test_a_click_sorts_by_number_and_another_the_other_way_with_what_is_missing_last(visit):
    page = visit("sweep")
    button = page.locator("#runs thead button", has_text="optim.learning_rate")
    button.click()
    rates = ["0.001", "0.001", "0.01", "0.01", "0.1", "0.1", "10"]
    assert column(page, "#runs", "optim.learning_rate") == rates
    assert page.locator("#runs th[aria-sort]").get_attribute("aria-sort") == "ascending"
    button.click()
    assert column(page, "#runs", "optim.learning_rate") == rates[::-1]
    assert page.locator("#runs th[aria-sort]").get_attribute("aria-sort") == "descending"
    for _ in range(2):
        page.locator("#runs thead button", has_text="test/accuracy").click()
        assert column(page, "#runs", "test/accuracy")[-1] == "not finite"


def test_names_of_runs_are_sorted_as_numbers_are(visit):
    page = visit("sweep")
    for expected in (["0", "1", "2", "3", "4", "5", "10"], ["10", "5", "4", "3", "2", "1", "0"]):
        page.locator("#runs thead button", has_text="run").first.click()
        assert column(page, "#runs", "run") == expected


def test_the_keyboard_sorts_too(visit):
    page = visit("run")
    page.locator(".scores thead button", has_text="F1").focus()
    page.keyboard.press("Enter")
    scores = [float(text.rstrip("%")) for text in column(page, ".scores", "F1")]
    assert scores == sorted(scores)
    assert len(set(scores)) > 1


FOUR = ["train/loss", "val/loss", "train/accuracy", "val/accuracy"]


def shown(page):
    """What is drawn in the cards of curves."""
    return [svg.get_attribute("aria-label").split()[0] for svg in page.locator(".chosen svg").all()]


def test_the_metric_of_each_card_is_chosen_by_name_and_from_the_keyboard(visit):
    page = visit("sweep", width=400)
    first, second, *_ = page.get_by_label("Metric").all()
    assert shown(page) == FOUR
    assert first.locator("option").all_inner_texts() == ["train/loss", "train/accuracy", "val/loss", "val/accuracy"]
    first.select_option("train/accuracy")
    second.focus()
    page.keyboard.type("train/l")
    assert shown(page)[:2] == ["train/accuracy", "train/loss"]
    first.select_option("train/loss")
    assert shown(page)[:2] == ["train/loss", "train/loss"]
    first.select_option("val/loss")
    assert shown(page) == ["val/loss", "train/loss", *FOUR[2:]]
    assert page.evaluate(TROUBLE) == page.evaluate(TEXTS) == []
    page.emulate_media(media="print")
    assert not first.is_visible()


def test_without_a_script_the_usual_metrics_are_shown_and_nothing_to_choose(browser, reports):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(reports["sweep"].as_uri())
    assert shown(page) == FOUR
    assert not page.locator(".chosen select").first.is_visible()
    context.close()


def test_a_link_opens_the_part_of_its_run(visit):
    page = visit("sweep")
    page.locator("#runs tbody a").nth(2).click()
    page.wait_for_function("document.getElementById('run-3').open")
    assert page.locator("#run-3 .confusion").is_visible()
    assert not page.locator("#run-2 .confusion").is_visible()


@pytest.mark.parametrize("name", ["run", "sweep"])
def test_the_scheme_decides_the_colours_and_paper_is_light(visit, name):
    ink = "getComputedStyle(document.body).color"
    light, dark = visit(name, scheme="light"), visit(name, scheme="dark")
    assert light.evaluate(ink) == "rgb(27, 31, 36)"
    assert dark.evaluate(ink) == "rgb(230, 233, 237)"
    assert dark.locator("svg text").first.evaluate("(text) => getComputedStyle(text).fill") == "rgb(230, 233, 237)"
    dark.emulate_media(media="print", color_scheme="dark")
    assert dark.evaluate(ink) == "rgb(27, 31, 36)"


@ALL
def test_paper_has_every_part_open_and_nothing_cut_off(visit, name):
    page = visit(name, width=760)  # A4 without its margins, in CSS pixels, is about that
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 760
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0
    assert page.pdf(format="A4").startswith(b"%PDF")
