"""Texts of a study that would run code in a browser, and a parser that finds the code in a page."""

from html.parser import HTMLParser
from typing import Any

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;b&gt; %{x} $x$"
HOSTILE_SPACE: list[dict[str, Any]] = [
    {"name": HOSTILE, "type": "real", "low": 0.0, "high": 1.0},
    {"name": "<b>bold</b>", "type": "categorical", "choices": [HOSTILE, "<a href='javascript:alert(3)'>x</a>"]},
]


class PageText(HTMLParser):
    """The elements of a page with their attributes, its scripts, and its text outside of scripts."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.scripts, self.text, self._in = [], [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._in = ""

    def handle_data(self, data):
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in != "style":
            self.text.append(data)
