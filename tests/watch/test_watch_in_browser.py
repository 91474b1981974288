"""`dlproj watch` in Chromium: runs appear, grow and end while the page is open."""

import importlib.util
import shutil
import threading

import pytest
from folders import EPOCHS, write_run

from dlproj.config.whole_files import write_whole
from dlproj.runs.lock import run_lock
from dlproj.watch.server import Server

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="playwright is not installed"),
]
RUNNING = {"status": "running", "last_epoch": 0, "best_epoch": None, "seconds": 0.0, "confusion_matrix": []}
DEADLINE_MS = 120_000


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=DEADLINE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def logs(tmp_path):
    return tmp_path / "logs"


@pytest.fixture
def visit(browser, logs):
    """Call for a page that shows the folder; no script and nothing that it loads may fail, but what is refused."""
    contexts, servers, trouble = [], [], []

    def go(width=1400, scheme="light", host="127.0.0.1", refused="nothing"):
        server = Server(logs, host, 0)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.set_default_timeout(DEADLINE_MS)
        page.on("console", lambda message: trouble.append(message.text) if refused not in message.text else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(server.url.replace(f"//{server.url.split('/')[2]}", f"//127.0.0.1:{server.port}"))
        return page

    yield go
    for context in contexts:
        context.close()
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()
    assert trouble == []


@pytest.fixture
def expect():
    from playwright.sync_api import expect

    return expect


def row(page, folder):
    return page.locator(f'#runs tr[data-run="{folder}"]')


def points(page, metric, line):
    """How many values are drawn of a line."""
    path = page.locator("figure", has=page.get_by_role("heading", name=metric, exact=True))
    return path.locator(f'path[data-line="{line}"]').get_attribute("d").count(",")


def grow(folder, epochs):
    """Write the table as a run does when an epoch has ended."""
    columns = list(epochs[0])
    lines = [columns, *([str(epoch[name]) for name in columns] for epoch in epochs)]
    write_whole(folder / "metrics.csv", "".join(",".join(line) + "\n" for line in lines))


def test_a_run_appears_grows_and_ends(visit, logs, tmp_path, expect):
    page = visit()
    expect(page.locator("#empty code")).to_have_text("dlproj train model=mlp data=digits")
    folder = logs / "runs/20261128-170015-212096-mlp-digits-adam"
    write_run(tmp_path / "made", {"trainer.max_epochs": 3}, epochs=None, **RUNNING)
    folder.parent.mkdir(parents=True)
    (tmp_path / "made").rename(folder)
    with run_lock(folder):
        one = row(page, "runs/20261128-170015-212096-mlp-digits-adam")
        expect(one.locator(".status")).to_have_text("running")
        expect(page.locator("#empty")).to_be_hidden()
        expect(page.locator("#news")).to_have_text("mlp-digits-adam has started")
        expect(page).to_have_title("1 running · " + page.locator("#folder").inner_text() + " · dlproj")
        for ended in (1, 2):
            grow(folder, EPOCHS[:ended])
            expect(one.locator("progress")).to_have_attribute("value", str(ended))
            expect(page.locator("#about")).to_contain_text(f"running, epoch {ended} of 3")
            expect(page.locator("figcaption").first).to_contain_text(
                f"epoch {ended}: train {EPOCHS[ended - 1]['train/loss']}"
            )
            assert points(page, "loss", "val") == points(page, "accuracy", "train") == ended
    write_run(tmp_path / "done", epochs=None)
    (folder / "report.html").write_text("<h1>its report</h1>")
    write_whole(folder / "summary.json", (tmp_path / "done/summary.json").read_bytes())
    expect(one.locator(".status")).to_have_text("completed")
    expect(one.locator("progress")).to_be_hidden()
    expect(page.locator("#news")).to_have_text("mlp-digits-adam has ended: completed, test accuracy 83.33%")
    one.get_by_role("link", name="report").click()
    expect(page.get_by_role("heading", name="its report")).to_be_visible()


@pytest.mark.slow  # it starts a process of the command line; the test above writes the same files
def test_a_real_run_is_seen_to_its_end(visit, logs, commands, expect):
    page = visit()
    expect(page.locator("#empty")).to_be_visible()
    quick = ["data=digits", "trainer.accelerator=cpu", "trainer.max_epochs=3", "model.hidden=[8]", "figures=none"]
    run = commands.start([*quick, f"hydra.run.dir={logs}/runs/real"], logs.parent, {})
    expect(row(page, "runs/real").locator(".status")).to_have_text("completed")
    assert run.wait() == 0
    expect(page.locator("#about")).to_have_text("runs/real: completed, epoch 3 of 3")
    assert points(page, "loss", "train") == points(page, "accuracy", "val") == 3


def test_chosen_runs_are_drawn_over_one_another_and_stand_in_the_address(visit, logs, expect):
    for place, rate in enumerate((0.1, 0.01, 0.001)):
        write_run(
            logs / f"{place}", {"optim.learning_rate": rate}, overrides=["data=digits", f"optim.learning_rate={rate}"]
        )
    page = visit()
    boxes = page.get_by_role("checkbox")
    expect(page.locator("#legend li")).to_have_text(["train", "val"])  # of the first alone, until one is chosen
    expect(boxes.nth(0)).to_be_checked()
    boxes.nth(1).check()
    expect(page.locator("#legend li")).to_have_text(["optim.learning_rate=0.001", "optim.learning_rate=0.01"])
    assert points(page, "loss", "optim.learning_rate=0.01 val") == 2
    assert page.url.endswith("/#2,1")
    page.reload()
    expect(page.locator("#legend li")).to_have_count(2)
    row(page, "0").get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#about")).to_have_text("0: completed, epoch 2 of 2")
    assert page.url.endswith("/#0")


def test_the_keyboard_keeps_its_place_when_a_run_comes(visit, logs, expect):
    write_run(logs / "20261101-000000-a")
    page = visit()
    row(page, "20261101-000000-a").get_by_role("button").focus()
    write_run(logs / "20261102-000000-b")
    expect(page.locator("#runs tbody tr")).to_have_count(2)
    expect(row(page, "20261101-000000-a").get_by_role("button")).to_be_focused()


def test_the_sweep_has_its_table_best_first_while_it_runs(visit, logs, expect):
    sweep = logs / "sweeps/20261101-000000-rates"
    for place, loss in enumerate((0.5, 0.25)):
        epochs = [epoch | {"val/loss": loss} for epoch in EPOCHS]
        write_run(sweep / f"{place}", {"optim.learning_rate": 10.0**-place}, epochs=epochs)
    (sweep / "multirun.yaml").write_text("dlproj_sweepers")
    page = visit()
    part = page.locator("#sweeps details")
    expect(part.locator("summary")).to_have_text("20261101-000000-rates2 completed")
    part.locator("summary").click()
    expect(part.locator("tbody th")).to_have_text(["1", "0"])
    write_run(sweep / "2", {"optim.learning_rate": 0.01}, epochs=None, **RUNNING)
    expect(part.locator("tbody th")).to_have_text(["1", "0", "2"])
    expect(part.locator("tbody tr").last.locator("td").nth(1)).to_have_text("running")
    part.get_by_role("button", name="Draw all").click()
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(3)


def test_the_filter_and_the_button_for_all(visit, logs, expect):
    for place in range(60):
        write_run(
            logs / f"{place:02}",
            {"seed": place},
            overrides=[f"seed={place}", "optim=sgd" if place % 2 else "optim=adam"],
        )
    page = visit(width=400)
    rows = page.locator("#runs tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Show all 60 runs").click()
    expect(rows).to_have_count(60)
    page.get_by_label("Filter").fill("SGD seed=7")
    expect(rows).to_have_count(1)
    page.get_by_label("Filter").fill("nothing")
    expect(page.get_by_text("No run fits the filter.")).to_be_visible()


def test_the_damaged_and_the_deleted_are_called_so(visit, logs, expect):
    write_run(logs / "a")
    write_run(logs / "b")
    page = visit()
    expect(page.locator("#runs tbody tr")).to_have_count(2)
    (logs / "a/summary.json").write_text('{"name": "<img src=x onerror=alert(1)>"')
    expect(row(page, "a").locator(".status")).to_have_text("⚠ damaged")
    expect(row(page, "a")).to_contain_text("a/summary.json is missing or damaged")
    shutil.rmtree(logs / "a")
    expect(row(page, "a")).to_have_count(0)


def test_names_are_texts(visit, logs, expect):
    write_run(logs / "<b>x", {"name": "<img src=x onerror=alert(1)>"}, overrides=["name=<i>y"])
    page = visit()
    expect(row(page, "<b>x").get_by_role("button")).to_have_text("<img src=x onerror=alert(1)>")
    assert page.locator("#runs img, #runs i, #runs b").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_a_phone_and_a_screen(visit, logs, expect, width, scheme):
    write_run(logs / ("20261101-000000-" + "long" * 20), overrides=["data.root=/" + "long" * 20])
    write_run(logs / "b", status="failed", stop_reason="ValueError: " + "x" * 200)
    page = visit(width, scheme)
    expect(page.locator("figure")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.querySelector('#list .table').scrollWidth") < width
    ink = "rgb(27, 31, 36)" if scheme == "light" else "rgb(230, 233, 237)"
    expect(page.locator("body")).to_have_css("color", ink)


def test_with_a_token_the_page_and_its_reports_open(visit, logs, expect):
    (write_run(logs / "a") / "report.html").write_text("<h1>its report</h1>")
    page = visit(host="0.0.0.0")
    expect(page.locator("#runs tbody tr")).to_have_count(1)
    assert "token" not in page.url
    page.get_by_role("link", name="report").click()
    expect(page.get_by_role("heading", name="its report")).to_be_visible()


def test_a_report_cannot_read_the_other_runs(visit, logs, expect):
    script = (
        "fetch('/runs.json').then(() => 'read', () => 'refused').then((words) => document.body.textContent = words)"
    )
    (write_run(logs / "a") / "report.html").write_text(f"<body><script>{script}</script>")
    page = visit(refused="Content Security Policy")
    page.get_by_role("link", name="report").click()
    expect(page.locator("body")).to_have_text("refused")
