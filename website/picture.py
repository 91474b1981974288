"""`python -m website.picture SWEEP`: docs/report.png, the top of the page that compares a sweep's runs, by Chromium."""

import shutil
import sys
from pathlib import Path

_WIDTH, _HEIGHT = 1200, 1370


def main() -> None:
    """Take the picture of SWEEP/report.html."""
    from playwright.sync_api import sync_playwright

    page = Path(sys.argv[1], "report.html").resolve()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT}, color_scheme="light")
        view.goto(page.as_uri())
        view.screenshot(path=str(Path(__file__).parents[1] / "docs/report.png"))
        browser.close()


if __name__ == "__main__":
    main()
