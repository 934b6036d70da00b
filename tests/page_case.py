"""What is asked of every HTML page: its outline, that it asks for nothing, and what a browser says."""

import base64
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest


class Outline(HTMLParser):
    """What a page is made of: tags with attributes, levels of headings, words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.headings, self.words, self._skip = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._skip = tag in ("style", "script")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag):
        self._skip = False

    def handle_data(self, data):
        if not self._skip:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def asks_for_nothing(html):
    """The page loads nothing and sends nothing, neither itself nor by its pictures."""
    outline = Outline(html)
    for tag, attributes in outline.tags:
        for name in ("src", "href", "data", "action", "srcset"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:image/svg+xml;base64,")), (tag, name, value[:60])
    assert "http" not in outline.text
    assert "@import" not in html
    assert "url(" not in html
    for svg in pictures(html):
        assert not re.search(r'(href|src)="(?!#)', svg)
        assert "<script" not in svg


def pictures(html):
    """The SVG of every picture."""
    codes = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    return [base64.b64decode(code).decode() for code in codes]


def browsed(html, folder):
    """What Debian's chromium makes of the page, its scripts run; the console must stay silent."""
    browser = shutil.which("chromium")
    if not browser:
        pytest.skip("chromium is not installed")
    (folder / "page.html").write_text(html, encoding="utf-8")
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    quiet += " --disable-background-networking --disable-component-update --enable-logging=stderr"
    done = subprocess.run(
        [
            browser,
            *quiet.split(),
            f"--user-data-dir={folder / 'profile'}",
            "--virtual-time-budget=2000",
            "--dump-dom",
            (folder / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    return done.stdout
