"""Draws docs/report.png, the top of the demo's page: ``python tests/report_picture.py [REPORT.html]``.

Without a page it makes one by ``bayesseg demo``.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from browser_case import DESK, NAMES
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parent.parent / "docs" / "report.png"
LARGEST = 250_000


def picture(path: Path) -> bytes:
    """The page as PNG from its top to the end of the verdicts."""
    binary = next(filter(None, map(shutil.which, NAMES)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        view = {"width": DESK[0], "height": 2 * DESK[1]}
        page = browser.new_context(offline=True, viewport=view).new_page()
        page.goto(path.resolve().as_uri())
        last = page.locator(".judgements").bounding_box()
        height = last["y"] + last["height"] + 16
        drawn = page.screenshot(clip={"x": 0, "y": 0, "width": DESK[0], "height": height})
        browser.close()
    return drawn


def main(given: list[str]) -> None:
    with TemporaryDirectory() as folder:
        if not given:
            demo = [sys.executable, "-m", "bayesseg", "demo", "-o", f"{folder}/demo"]
            subprocess.run(demo, check=True)
            given = [f"{folder}/demo/report.html"]
        drawn = picture(Path(given[0]))
    if len(drawn) > LARGEST:
        sys.exit(f"{len(drawn):,} bytes are more than {LARGEST:,}")
    PICTURE.write_bytes(drawn)


if __name__ == "__main__":
    main(sys.argv[1:])
