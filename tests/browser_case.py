"""A real browser for tests: Debian's chromium under Playwright, its network off, axe-core beside."""

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
DESK, PHONE = (1440, 900), (390, 844)


@pytest.fixture(scope="module")
def browser():
    """One chromium for a module; skips where there is none, unless BAYESSEG_REQUIRE_BROWSER=1."""
    binary = next(filter(None, map(shutil.which, NAMES)), None)
    if binary is None:
        if os.environ.get("BAYESSEG_REQUIRE_BROWSER") == "1":
            pytest.fail(f"BAYESSEG_REQUIRE_BROWSER=1, and none of {', '.join(NAMES)} is installed")
        pytest.skip(f"none of {', '.join(NAMES)} is installed")
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # chromium refuses to be root in its sandbox
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=binary, args=sandbox)
        yield found
        found.close()


@dataclass(frozen=True)
class Visit:
    """A page that is open, and whatever it did that a page should not."""

    page: Page
    faults: list[str] = field(default_factory=list)

    def unfold(self):
        """Open everything that can be opened."""
        self.page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")

    def shape(self, size=DESK, scheme="light", media="screen"):
        """Look at it in another size, colour scheme or medium."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.emulate_media(color_scheme=scheme, media=media)


@contextmanager
def visit(browser: Browser, path, size=DESK, **context):
    """Open the file ``path``; ``faults`` gathers console, errors, dialogs, refusals and requests."""
    inside = browser.new_context(
        offline=True,
        reduced_motion="reduce",
        viewport={"width": size[0], "height": size[1]},
        **context,
    )
    page = inside.new_page()
    here = Visit(page)

    def note(kind, text):
        here.faults.append(f"{kind}: {text}")

    def stop(dialog):
        note("dialog", dialog.message)
        dialog.dismiss()

    page.on("console", lambda message: note("console", message.text))
    page.on("pageerror", lambda error: note("error", error))
    page.on("dialog", stop)
    page.on("popup", lambda other: note("popup", other.url))
    page.on("download", lambda other: note("download", other.url))
    page.on(
        "request",
        lambda asked: asked.url.startswith(("data:", path.as_uri())) or note("request", asked.url),
    )
    page.goto(path.as_uri())
    yield here
    inside.close()


def axe(page: Page) -> list[str]:
    """The serious and critical faults that axe-core finds; the context must bypass the page's policy."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:120]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
