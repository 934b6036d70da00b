"""What is asked of the text of every HTML page: its outline, and that it asks for nothing."""

import base64
import re
from html.parser import HTMLParser


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
